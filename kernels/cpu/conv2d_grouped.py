"""Convolution in groups of few channels: a vector holds channels of many groups at once.

In ``conv2d_direct.py`` a vector runs over output channels of one group. Where a group has one
(a *depthwise* convolution), 15 of 16 lanes multiply zeros. Here lane after lane is an output
channel, whatever its group, and what it multiplies must lie in the same lane: a number of the
picture, no longer one number for all. So the picture is *spread* before it is used: copy j of a
pixel has, in the lane of output channel co, the j-th input channel of co's group. A depthwise
convolution has one copy, the picture itself. With four channels in a group::

    input channels   0 1 2 3   4 5 6 7 ...
    copy 0           0 0 0 0   4 4 4 4        what output channels 0 to 3, 4 to 7 multiply first
    copy 1           1 1 1 1   5 5 5 5   ...  and so on; a sum runs over taps and copies.

Bands, frames and phases are those of ``conv2d_direct.py``; ROWS pixels of sums are in registers.

- forward: a thread owns bands of output rows.
- backward_input: the same nest with dy in the place of x and the taps turned around.
- backward_weight: TAPS sums of one vector of channels are in registers while the pixels go by. A
  thread owns the partial sums of a slice of the batch; they are added up at the end, in order:
  results don't depend on the number of threads.

What it bought: docs/performance.md. Float32 only; what it doesn't serve goes to
``conv2d_direct.py``.
"""

import numpy as np
from numba.core import config

from ..order import empty
from . import _simd, conv2d_direct
from ._bands import ROWS, Bands, clear_all, copy, frame, phases, put_rows
from ._jit import helper, kernel, prange
from ._order import as_last, put_last, room_last
from ._pack import packed_weights, padded_bias

WIDTH = _simd.WIDTH
LINE = _simd.LINE
TAPS = 9
NEAR = 64  # pixels whose products are added, for all channels, before the next
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
MOST = WIDTH // 2  # channels in a group, from which on conv2d_direct.py fills its vectors


def serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
    """Return whether groups are so small that the vectors of ``conv2d_direct.py`` stay empty."""
    return groups > 1 and max(weight.shape[0] // groups, weight.shape[1]) < MOST


def _spread(outputs, into, groups):
    """Return which input channel lane k of a spread pixel holds, and the lanes of one copy.

    `outputs` channels have `into` input channels each. Nothing is spread where the table is empty.
    """
    own = outputs // groups
    if own == into == 1:
        return np.empty(0, np.intp), outputs
    lanes = _simd.round_up(outputs, WIDTH)
    first = np.minimum(np.arange(lanes), outputs - 1) // own * into
    return (np.arange(into)[:, None] + first).ravel(), lanes


@helper
def _lay(source, on, masked, sizes, n, top, left, height, columns, table, count, row, framed):
    """framed[i, j, k] = channel table[k] of pixel (top + i, left + j), zeros in the padding."""
    rows = 1 if count else height
    for i in range(0, height, rows):
        target = row if count else framed
        frame(source, on, masked, sizes, n, top + i, left, rows, columns, target)
        for j in range(columns if count else 0):
            pixel = _simd.pointer(row, j * sizes[2])
            wide = _simd.pointer(framed, (i * columns + j) * count)
            for k in range(count):
                wide[k] = pixel[table[k]]


# ---- forward, and the gradient of the input ---------------------------------------------------


@helper
def _sum_terms(framed, starts, terms, count, packed, step, bias, relu, y, line):
    """y[i] = bias + sum over terms t of framed[starts[i] + terms[t]] * packed[t], lane by lane."""
    tile = _simd.zeros(ROWS, 1)
    for t in range(count):
        tile = _simd.multiply_add_lanes(tile, framed, terms[t], starts, 0, packed, t * step)
    tile = _simd.plus_row(tile, bias, 0)
    if relu:
        tile = _simd.positive(tile)
    _simd.store(tile, y, 0, line)


@kernel
def _gather(source, on, masked, bands, out, starts, places, terms, table, packed, bias, relu, y):
    """Write y[n, places[p]]: bias and the sums of output p; a thread owns bands of rows.

    out is (outputs in a row, outputs of a picture, whether they lie side by side in y). All
    channels of some pixels are finished before the next pixels: so little is added up that what
    counts is that memory is read and written in its order.
    """
    number, rows, height, columns, top, left, step, _ = bands
    width, area, side_by_side = out
    channels, filters = source.shape[3], y.shape[3]
    sizes = source.shape[1], source.shape[2], channels
    deep = table.size if table.size else channels
    padded = bias.size
    for task in prange(y.shape[0] * number):
        n = task // number
        band = task % number
        line = columns * channels + WIDTH
        room = np.empty(line + height * columns * deep + ROWS * WIDTH + 2 * LINE, np.float32)
        sums = _simd.align(_simd.pointer(room, 0))
        row = _simd.pointer(sums, ROWS * WIDTH)
        framed = _simd.pointer(row, line)
        given = _simd.pointer(source, 0), _simd.pointer(on, 0), masked, sizes, n
        place = top + band * step, left, height, columns
        _lay(*given, *place, _simd.pointer(table, 0), table.size, row, framed)
        target = _simd.pointer(y, n * y.shape[1] * y.shape[2] * filters)
        first = band * rows * width
        pixels = min(rows * width, area - first)
        for p in range(0, pixels, ROWS):
            places_ = _simd.pointer(places, first + p)
            tables = _simd.pointer(starts, p), _simd.pointer(terms, 0), terms.size
            for co in range(0, filters, WIDTH):
                whole = min(WIDTH, filters - co)
                block = co // (2 * WIDTH) * (2 * WIDTH)
                span = min(2 * WIDTH, padded - block)
                factors = _simd.pointer(packed, block * terms.size + co - block)
                window = _simd.pointer(framed, co)
                direct = side_by_side and whole == WIDTH and p + ROWS <= pixels
                to = _simd.pointer(target, places_[0] + co) if direct else sums
                apart = filters if direct else WIDTH
                shift = _simd.pointer(bias, co)
                _sum_terms(window, *tables, factors, span, shift, relu, to, apart)
                if not direct:
                    put_rows(sums, WIDTH, places_, min(ROWS, pixels - p), whole, co, target)
        _simd.hold(room)


def _terms(rows, columns, bands, lanes, into, deep):
    """Return where the terms of a sum lie from the corner of a window: taps, and their copies."""
    taps = (rows[:, None] * bands.line + columns * deep).ravel()
    return (taps[:, None] + np.arange(into) * lanes).ravel()


def _sum_up(source, mask, masked, weight, taps, groups, bands, offsets, out, places, shares, y):
    """Write y; weight is (outputs, input channels of a group, kh * kw), of which `taps` count."""
    outputs, into, area = weight.shape
    table, lanes = _spread(outputs, into, groups)
    terms = _terms(*offsets, bands, lanes, into, table.size or source.shape[3])
    packed = packed_weights(weight, taps, into, (area, into * area, 0), 1, outputs)
    tables = bands.starts, places, terms, table
    _gather(source, mask, masked, bands.numbers(), out, *tables, packed, *shares, y)


def _bands_of(source, outputs, into, groups, *geometry):
    """Return the bands of pictures that are spread for so many output channels."""
    table, _ = _spread(outputs, into, groups)
    return Bands(source.shape[0], (*source.shape[1:3], table.size or source.shape[3]), *geometry)


def convolve(x, on, weight, bias, relu, geometry, y):
    """Write y = bias + x * weight, and if `relu` 0 where that is negative.

    x and y are (N, C, H, W) in either order. Where `on` is given, x counts as 0 wherever `on`
    isn't positive.
    """
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(x), room_last(y)
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    sides = y.shape[2:], (stride_h, stride_w), reach, (-pad_top, -pad_left)
    bands = _bands_of(source, filters, channels, groups, *sides)
    offsets = np.arange(kernel_h) * dilation_h, np.arange(kernel_w) * dilation_w
    area = y.shape[2] * y.shape[3]
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    factors = weight.reshape(filters, channels, -1), np.arange(kernel_h * kernel_w)
    out = (y.shape[3], area, True), np.arange(area) * filters
    shares = padded_bias(bias, 1), relu
    _sum_up(source, mask, masked, *factors, groups, bands, offsets, *out, shares, room)
    put_last(room, y)


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns bands of output rows."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        return conv2d_direct.conv2d_forward(x, weight, bias, *geometry, y)
    convolve(x, None, weight, bias, False, geometry, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns bands of its rows."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        return conv2d_direct.conv2d_backward_input(dy, weight, *geometry, dx)
    input_gradient(dy, None, weight, geometry, dx)


def input_gradient(dy, on, weight, geometry, dx):
    """Write dx from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    groups = geometry[-1]
    filters, channels, kernel_h, kernel_w = weight.shape
    own = filters // groups
    source, room = as_last(dy), room_last(dx)
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    # each input channel has weights of its own for the output channels of its group
    turned = weight.reshape(groups, own, channels, -1).transpose(0, 2, 1, 3)
    turned = np.ascontiguousarray(turned).reshape(groups * channels, own, -1)
    bias = np.zeros(_simd.round_up(groups * channels, WIDTH), np.float32)
    parts = list(phases((kernel_h, kernel_w), geometry, dx.shape[2:]))
    if sum(down.count * right.count for down, right in parts) < dx.shape[2] * dx.shape[3]:
        clear_all(room.reshape(-1))  # some pixels no window looks at
    for down, right in parts:
        sides = (down.count, right.count), (1, 1), (down.reach, right.reach)
        corner = down.corner, right.corner
        bands = _bands_of(source, groups * channels, own, groups, *sides, corner)
        places = ((down.pixels[:, None] * dx.shape[3] + right.pixels) * dx.shape[1]).ravel()
        taps = (down.taps[:, None] * kernel_w + right.taps).ravel()
        offsets = down.shifts, right.shifts
        out = (right.count, places.size, places.size == dx.shape[2] * dx.shape[3]), places
        shares = bias, False
        _sum_up(source, mask, masked, turned, taps, groups, bands, offsets, *out, shares, room)
    put_last(room, dx)


# ---- the gradient of the weights ---------------------------------------------------------------


@helper
def _add_products(framed, starts, count, terms, dy, line, totals):
    """totals[t] += sum over pixels p of framed[starts[p] + terms[t]] * dy[p], lane by lane."""
    tile = _simd.load_tile(_simd.zeros(TAPS, 1), totals, 0, WIDTH)
    for p in range(count):
        tile = _simd.multiply_add_lanes(tile, framed, starts[p], terms, 0, dy, p * line)
    _simd.store(tile, totals, 0, WIDTH)


@kernel
def _correlate(source, dy, on, masked, bands, starts, terms, table, parts, sums):
    """sums[slice, co // WIDTH, term, co % WIDTH] = sum of source * dy; a thread owns slices."""
    number, rows, height, columns, top, left, step, _ = bands
    slices, vectors, deep, _ = sums.shape
    pictures, out_h, width, filters = dy.shape
    channels = source.shape[3]
    sizes = source.shape[1], source.shape[2], channels
    spread = table.size if table.size else channels
    as_it_is = not masked and filters % WIDTH == 0
    for task in prange(slices * parts):
        piece = task // parts
        part = task % parts
        line = columns * channels + WIDTH
        framed_size = height * columns * spread + WIDTH
        room = np.empty(line + framed_size + rows * width * filters + 2 * LINE, np.float32)
        framed = _simd.align(_simd.pointer(room, 0))
        row = _simd.pointer(framed, framed_size)
        right = _simd.pointer(row, line)
        for each in range(
            piece * pictures // slices * number, (piece + 1) * pictures // slices * number
        ):
            n = each // number
            band = each % number
            pixels = min(rows, out_h - band * rows) * width
            given = _simd.pointer(source, 0), _simd.pointer(source, 0), False, sizes, n
            place = top + band * step, left, height, columns
            _lay(*given, *place, _simd.pointer(table, 0), table.size, row, framed)
            at = (n * out_h + band * rows) * width * filters
            gradient = _simd.pointer(dy, at)
            if not as_it_is:
                copy(gradient, _simd.pointer(on, at), masked, pixels * filters, right)
                gradient = right
            begin_v, end_v = part * vectors // parts, (part + 1) * vectors // parts
            for p in range(0, pixels, NEAR):
                count = min(NEAR, pixels - p)
                starts_ = _simd.pointer(starts, p)
                for v in range(begin_v, end_v):
                    window = _simd.pointer(framed, v * WIDTH)
                    own = _simd.pointer(gradient, p * filters + v * WIDTH)
                    for t in range(0, deep, TAPS):
                        totals = _simd.pointer(sums, ((piece * vectors + v) * deep + t) * WIDTH)
                        terms_ = _simd.pointer(terms, t)
                        _add_products(window, starts_, count, terms_, own, filters, totals)
        _simd.hold(room)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the partial sums of a slice of the batch, or of channels."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    if not serves(dweight, stride_h, stride_w, dilation_h, dilation_w, groups):
        return conv2d_direct.conv2d_backward_weight(dy, x, *geometry, dweight)
    weight_gradient(dy, None, x, geometry, dweight)


def weight_gradient(dy, on, x, geometry, dweight):
    """Write dweight from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = dweight.shape
    source, gradient = as_last(x), as_last(dy)
    masked = on is not None
    mask = (as_last(on) if masked else gradient).reshape(-1)
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    sides = dy.shape[2:], (stride_h, stride_w), reach, (-pad_top, -pad_left)
    bands = _bands_of(source, filters, channels, groups, *sides)
    table, lanes = _spread(filters, channels, groups)
    offsets = np.arange(kernel_h) * dilation_h, np.arange(kernel_w) * dilation_w
    used = _terms(*offsets, bands, lanes, channels, table.size or source.shape[3])
    terms = np.resize(used, _simd.round_up(used.size, TAPS))  # what fills up is thrown away
    vectors = -(-filters // WIDTH)
    slices = max(1, min(SLICES, dy.shape[0]))
    parts = max(1, min(SLICES // slices, vectors))
    sums = empty((slices, vectors, terms.size, WIDTH), np.float32)
    sums[...] = 0
    tables = bands.numbers(), bands.starts, terms, table
    _correlate(source, gradient, mask, masked, *tables, parts, sums)
    total = sums.sum(axis=0)[:, : used.size].transpose(0, 2, 1).reshape(-1, used.size)[:filters]
    taps = total.reshape(filters, kernel_h * kernel_w, channels).transpose(0, 2, 1)
    dweight[...] = taps.reshape(dweight.shape)


if config.DISABLE_JIT:  # a register tile exists in compiled code only
    conv2d_forward = conv2d_direct.conv2d_forward
    conv2d_backward_input = conv2d_direct.conv2d_backward_input
    conv2d_backward_weight = conv2d_direct.conv2d_backward_weight
