"""Convolution by fast Fourier transforms, for large kernels.

What it does to the loops: a convolution becomes a product, number by number, of the transforms
(spectra) of picture and weights. The loops multiply KH·KW times for each output and each pair
(ci, co); here it is a fixed number of times, however large the kernel is:

    y[n, co] = back( Σ over ci of  conjugate(transform(w[co, ci])) · transform(x[n, ci]) )

A transform takes n·log(n) steps, but one of x serves every co, one of w every picture, and the
way back comes after the sum over ci. They are `scipy.fft`'s; the rest is three nests of loops.
(Mathieu, Henaff and LeCun, "Fast training of convolutional networks through FFTs", 2014.)

- forward: outputs are cut into tiles, and for each the inputs that its windows see; these
  overlap. Tiles keep spectra small; ``_fft_plan.py`` weighs that against what overlaps. A product
  of spectra is a convolution on a ring: what leaves a tile on one side comes in on the other. The
  outputs where that happens are left out. A thread owns vectors of all spectra.
- backward_input: the same with dy for x, ci and co exchanged, and without the conjugate.
- backward_weight: dw[co, ci] = back( Σ over tiles of  conjugate(transform(dy)) · transform(x) ).
- A dilated kernel is one with zeros between its taps: it costs what a full one of its size does.

Each complex number of a spectrum is a problem of its own, so the product runs on vectors of them.
The sums of ROWS × PAIRS products stay in registers (``_simd.py``): those of re·re and im·im in one
vector, those of re·im and im·re in another, so that lanes are added across only at the end. Every
sum runs in a fixed order: results don't depend on the number of threads.

When it pays: in turn with direct on 2 cores with AVX-512 (16 pictures of 64×64, 16 → 32 channels,
shared machine), medians: with 15×15 taps direct took 2.6 times as long forward, 3.1 for dx, 2.8
for dw; with 11×11 1.4, 2.2 and 1.4; with 9×9 1.1, 1.6 and 1.1; with 7×7 0.8, 0.9 and 0.7. Large
batches share the transforms of the weights. With a stride most of what is computed would be thrown
away (11×11 taps at stride 4: 7 to 20 times direct's time); such convolutions are passed on to
``conv2d_direct.py``, and float64 to the loops.

What it costs: rounding errors are relative to the largest numbers of a tile, not to each output. A
NaN or an infinity makes NaN of its whole tile, often of the whole picture. A few temporary arrays,
none larger than 16 MiB unless the spectra of one tile, or of one filter, are.
"""

import numba
import numpy as np
import scipy.fft
from numba.core import config

from . import _simd, conv2d_direct, conv2d_loops
from ._fft_plan import plan, slices, tile_slices
from ._jit import helper, kernel, prange
from ._order import as_planes, put_planes, room_planes

WIDTH = _simd.WIDTH
ROWS = 6
PAIRS = 1 if WIDTH == 8 else 2
COLUMNS = 2 * PAIRS
CHUNK = 8  # vectors of a spectrum that are gathered at once, since every plane is far away


def serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
    """Return whether this algorithm computes such a convolution itself."""
    return weight.dtype == np.float32 and (stride_h, stride_w) == (1, 1)


def _other(weight):
    """Return the module that computes what this one doesn't serve."""
    return conv2d_direct if weight.dtype == np.float32 else conv2d_loops


@helper
def _copy_row(source, spread, left, reach, target):
    """target[j] = source[(j + left) / spread] for j below reach; the rest stays as it is."""
    begin = max(0, -(-left // spread))
    end = min(source.size, -(-(reach + left) // spread))
    if begin < end:
        own = source[begin:end]
        to = target[begin * spread - left :]
        for k in range(own.size):
            to[k * spread] = own[k]


@kernel
def _cut(x, first, channel, across, step, pads, spread, reach, tiles):
    """Write tiles[t, c] = what tile number first + t of picture n sees of channel + c.

    x has `spread` - 1 zeros put between its pixels, and a frame of zeros; pads is how much of it
    is above and left. Columns from `reach` on are zeros. A thread owns a tile's channel.
    """
    count, channels, height, width = tiles.shape
    per_picture = across[0] * across[1]
    for task in prange(count * channels):
        t = (first + task // channels) % per_picture
        source = x[(first + task // channels) // per_picture, channel + task % channels]
        target = tiles[task // channels, task % channels]
        top = t // across[1] * step[0] - pads[0]
        left = t % across[1] * step[1] - pads[1]
        for i in range(height):
            row = target[i]
            for j in range(width):
                row[j] = 0
            ih = top + i
            if 0 <= ih < source.shape[0] * spread[0] and ih % spread[0] == 0:
                _copy_row(source[ih // spread[0]], spread[1], left, reach, row)


@kernel
def _put_down(tiles, first, channel, across, step, begin, stride, bias, y):
    """Write what tiles hold, columns from `begin` on, every stride-th of it, to y; add the bias.

    A thread owns a tile's channel.
    """
    count, channels = tiles.shape[:2]
    per_picture = across[0] * across[1]
    for task in prange(count * channels):
        t = (first + task // channels) % per_picture
        c = channel + task % channels
        target = y[(first + task // channels) // per_picture, c]
        source = tiles[task // channels, task % channels]
        top = t // across[1] * step[0]
        left = t % across[1] * step[1]
        ow = -(-left // stride[1])
        end = min(target.shape[1], -(-(left + step[1]) // stride[1]))
        oh = -(-top // stride[0])
        for i in range(oh, min(target.shape[0], -(-(top + step[0]) // stride[0]))):
            row = target[i, ow : max(ow, end)]
            own = source[i * stride[0] - top, begin + ow * stride[1] - left :]
            for j in range(row.size):
                row[j] = own[j * stride[1]] + bias[c]


@helper
def _gather_left(flat, at, steps, rows, terms, packed):
    """packed[v, block, t, r] = vector v of row block * ROWS + r and term t, or zeros."""
    to = 0
    for block in range(0, rows, ROWS):
        for t in range(terms):
            for i in range(block, block + ROWS):
                plane = at + min(i, rows - 1) * steps[1] + t * steps[2]
                factor = np.float32(i < rows)
                for v in range(packed.shape[0]):
                    vector = _simd.load(flat, plane + v * WIDTH)
                    _simd.store(_simd.times(vector, factor), packed[v], to, 0)
                to += WIDTH


@helper
def _gather_right(flat, at, steps, terms, columns, packed):
    """packed[v, block, t, pair] = vector v of a column; then the same, re and im exchanged."""
    to = 0
    for block in range(0, columns, PAIRS):
        for t in range(terms):
            for j in range(block, block + PAIRS):
                plane = at + t * steps[1] + min(j, columns - 1) * steps[2]
                for v in range(packed.shape[0]):
                    vector = _simd.load(flat, plane + v * WIDTH)
                    _simd.store(vector, packed[v], to, 0)
                    _simd.store(_simd.exchange(vector), packed[v], to + WIDTH, 0)
                to += 2 * WIDTH


@helper
def _multiply(left, a, right, b, terms, lanes, sums):
    """sums[i, j] = sum over t of left[a + t, i] * right[b + t, j], lane by lane."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for t in range(terms):
        at, to = a + t * ROWS * WIDTH, b + t * COLUMNS * WIDTH
        tile = _simd.multiply_add_rows(tile, left, at, WIDTH, right, to, lanes, 0)
    _simd.store(tile, sums, 0, COLUMNS * WIDTH)


@helper
def _join(sums, rows, columns, sign, add, out, at, steps):
    """Make complex numbers of rows × columns sums, and write them or add them to out."""
    for i in range(rows):
        for j in range(columns):
            own = (i * COLUMNS + 2 * j) * WIDTH
            squares = _simd.load(sums, own)  # re·re, im·im
            mixed = _simd.load(sums, own + WIDTH)  # re·im, im·re
            re = _simd.plus(squares, _simd.exchange(squares), sign)
            im = _simd.plus(_simd.exchange(mixed), mixed, -sign)
            vector = _simd.merge(re, im)
            to = at + i * steps[1] + j * steps[2]
            if add:
                vector = _simd.plus(vector, _simd.load(out, to), 1)
            _simd.store(vector, out, to, 0)


@kernel
def _products(left, right, counts, left_steps, right_steps, steps, sign, add, out):
    """out[g, i, j] (+)= sum over t of left[g, i, t] * right[g, t, j], for each complex number.

    Where sign is 1, the conjugate of left counts. counts is (groups, rows, terms, columns, floats
    of a spectrum); steps say how far apart spectra stand. A thread owns CHUNK vectors of all.
    """
    groups, rows, terms, columns, floats = counts
    vectors = floats // WIDTH
    chunks = -(-vectors // CHUNK)
    for task in prange(groups * chunks):
        group = task // chunks
        first = task % chunks * CHUNK
        count = min(CHUNK, vectors - first)
        a = np.empty((count, -(-rows // ROWS) * ROWS * terms * WIDTH), np.float32)
        b = np.empty((count, -(-columns // PAIRS) * COLUMNS * terms * WIDTH), np.float32)
        sums = np.empty(ROWS * COLUMNS * WIDTH, np.float32)
        lanes = np.arange(COLUMNS) * WIDTH
        place = first * WIDTH
        _gather_left(left, place + group * left_steps[0], left_steps, rows, terms, a)
        _gather_right(right, place + group * right_steps[0], right_steps, terms, columns, b)
        for j in range(0, columns, PAIRS):
            for i in range(0, rows, ROWS):
                for v in range(count):
                    to = j // PAIRS * terms * COLUMNS * WIDTH
                    _multiply(a[v], i * terms * WIDTH, b[v], to, terms, lanes, sums)
                    at = place + v * WIDTH + group * steps[0] + i * steps[1] + j * steps[2]
                    own = min(ROWS, rows - i), min(PAIRS, columns - j)
                    _join(sums, *own, sign, add, out, at, steps)


def _transform(tiles, height):
    """Return the spectra (N, C, floats) of tiles (N, C, rows, width) of `height` rows.

    The rows that are missing are zeros, and need no transform along the width.
    """
    workers = numba.get_num_threads()
    rows = scipy.fft.rfft(tiles, axis=3, workers=workers)
    found = scipy.fft.fft(rows, height, axis=2, workers=workers, overwrite_x=True)
    return found.view(np.float32).reshape(*tiles.shape[:2], -1)


def _back(spectra, size, begin, rows):
    """Return rows (N, C, rows, width), from `begin` on, of the tiles whose spectra these are."""
    workers = numba.get_num_threads()
    numbers = spectra.view(np.complex64).reshape(*spectra.shape[:2], size[0], -1)
    half = scipy.fft.ifft(numbers, axis=2, workers=workers, overwrite_x=True)
    kept = half[:, :, begin : begin + rows]
    return scipy.fft.irfft(kept, size[1], axis=3, workers=workers)


def _weight_spectra(weight, span, dilation, own):
    """Return the spectra of weights whose taps stand `dilation` apart."""
    tiles = np.empty((*weight.shape[:2], span[0], own.size[1]), np.float32)
    _cut(weight, 0, 0, (1, 1), (0, 0), (0, 0), dilation, own.size[1], tiles)
    return _transform(tiles, own.size[0])


def _tile_spectra(x, first, count, channels, pads, reach, own):
    """Return the spectra of `count` tiles of the channels (begin, end) of pictures x."""
    tiles = np.empty((count, channels[1] - channels[0], reach[0], own.size[1]), np.float32)
    _cut(x, first, channels[0], own.tiles, own.step, pads, (1, 1), reach[1], tiles)
    return _transform(tiles, own.size[0])


def _steps(spectra, *axes):
    """Return how many numbers apart spectra stand along these axes."""
    return tuple(spectra.strides[axis] // spectra.itemsize for axis in axes)


def _span(kernel, dilation):
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))


def _convolve(x, weight, bias, pads, dilation, groups, sign, begin, y):
    """Write y; weight is (filters, channels of a group, KH, KW), sign as in `_products`.

    begin says where the outputs that are of use stand in a tile.
    """
    rows, channels = weight.shape[0] // groups, weight.shape[1]
    span = _span(weight.shape[2:], dilation)
    own = plan(x.shape[0], channels, rows, *y.shape[2:], *span)
    x, room = as_planes(x), room_planes(y)
    for group, end, f, stop in slices(groups, rows, channels, own):
        w = _weight_spectra(weight[f:stop], span, dilation, own)
        w = w.reshape(end - group, -1, channels, own.floats)
        part = (group * channels, end * channels)
        for first, count in tile_slices(x.shape[0], max(stop - f, part[1] - part[0]), own):
            d = _tile_spectra(x, first, count, part, pads, own.size, own)
            d = d.reshape(count, end - group, channels, own.floats)
            out = np.empty((count, *w.shape[:2], own.floats), np.float32)
            counts = (*w.shape[:3], count, own.floats)
            steps = _steps(w, 0, 1, 2), _steps(d, 1, 2, 0), _steps(out, 1, 2, 0)
            _products(w.reshape(-1), d.reshape(-1), counts, *steps, sign, False, out.reshape(-1))
            tiles = _back(out.reshape(count, -1, own.floats), own.size, begin[0], own.step[0])
            _put_down(tiles, first, f, own.tiles, own.step, begin[1], (1, 1), bias, room)
    put_planes(room, y)


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns vectors of the spectra."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return _other(weight).conv2d_forward(x, weight, bias, *geometry, y)
    pads, dilation = (pad_top, pad_left), (dilation_h, dilation_w)
    _convolve(x, weight, bias, pads, dilation, groups, 1, (0, 0), y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns vectors of the spectra."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return _other(weight).conv2d_backward_input(dy, weight, *geometry, dx)
    dilation = (dilation_h, dilation_w)
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    turned = np.ascontiguousarray(parts).reshape(-1, *parts.shape[2:])
    begin = tuple(size - 1 for size in _span(weight.shape[2:], dilation))
    pads = (begin[0] - pad_top, begin[1] - pad_left)
    bias = np.zeros(dx.shape[1], np.float32)
    _convolve(dy, turned, bias, pads, dilation, groups, -1, begin, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns vectors of the spectra."""
    if not serves(dweight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return _other(dweight).conv2d_backward_weight(dy, x, *geometry, dweight)
    pads, dilation = (pad_top, pad_left), (dilation_h, dilation_w)
    rows, channels = dweight.shape[0] // groups, dweight.shape[1]
    span = _span(dweight.shape[2:], dilation)
    own = plan(x.shape[0], channels, rows, *dy.shape[2:], *span)
    dy, x, bias = as_planes(dy), as_planes(x), np.zeros(channels, np.float32)
    for group, end, f, stop in slices(groups, rows, channels, own):
        part = (group * channels, end * channels)
        shape = (end - group, (stop - f) // (end - group), channels, own.floats)
        total = np.zeros(shape, np.float32)
        for first, count in tile_slices(x.shape[0], max(stop - f, part[1] - part[0]), own):
            left = _tile_spectra(dy, first, count, (f, stop), (0, 0), own.step, own)
            right = _tile_spectra(x, first, count, part, pads, own.size, own)
            left = left.reshape(count, *shape[:2], own.floats)
            right = right.reshape(count, end - group, channels, own.floats)
            counts = (*shape[:2], count, *shape[2:])
            steps = _steps(left, 1, 2, 0), _steps(right, 1, 0, 2), _steps(total, 0, 1, 2)
            flat = left.reshape(-1), right.reshape(-1)
            _products(*flat, counts, *steps, 1, True, total.reshape(-1))
        tiles = _back(total.reshape(stop - f, channels, own.floats), own.size, 0, span[0])
        _put_down(tiles, 0, 0, (1, 1), span, 0, dilation, bias, dweight[f:stop])


if config.DISABLE_JIT:  # vector registers exist in compiled code only
    conv2d_forward = conv2d_direct.conv2d_forward
    conv2d_backward_input = conv2d_direct.conv2d_backward_input
    conv2d_backward_weight = conv2d_direct.conv2d_backward_weight
