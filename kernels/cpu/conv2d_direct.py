"""Direct convolution with sums that stay in registers: the machine's peak without any trick.

What it does to the loops of ``conv2d_loops.py``: there, every product loads a running sum, adds
to it and stores it again. Here ROWS pixels × SPAN output channels of sums are kept in registers
(`_simd.Tile`) while all their products are added up: with AVX-512, 24 vectors of sums for 14
loads. Pictures lie channels last (``../order.py``), so the vectors run over output channels, and
stride, dilation and padding only change where a pixel's numbers begin: a table, `starts`, that is
made once. Which pixels a band of rows needs is first copied, with its frame of zeros, to memory
of the thread's own that stays in the cache.

- forward: a thread owns bands of output rows. The sum of a pixel runs over the taps, and inside a
  tap over `run` numbers that lie side by side: the channels (kw, ci) of a whole row of taps.
- backward_input: the same nest with dy in the place of x and the taps turned around. Each dx
  gathers, from every output it contributed to, ``dy * tap``. With a stride, dx falls into phases
  (row and column modulo the stride), each with a subset of the taps.
- backward_weight: sums over pixels; a block of ROWS numbers of `run` × SPAN output channels is in
  registers. A thread owns the partial sums of a slice of the batch, or of some of the taps; they
  are added up at the end, in order: results don't depend on the number of threads.

What it bought: docs/performance.md. Float32 only; the loops serve float64.
"""

import math

import numpy as np
from numba.core import config

from . import _simd, conv2d_loops
from ._jit import helper, kernel, prange
from ._order import as_last, put_last, room_last

WIDTH = _simd.WIDTH
ROWS = 6 if WIDTH == 8 else 12
SPAN = 2 * WIDTH
FRAME = 1 << 17  # numbers of a band's frame, at most, where a band has more than one row
TASKS = 16  # a batch of fewer pictures is cut into bands of rows
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 22  # at most so many partial sums (16 MiB)
CHUNK = 64  # pixels whose products are added while their numbers are in the fastest cache


# ---- bands of pictures ---------------------------------------------------------------------------


class Bands:
    """How pictures are cut into bands of output rows, and where each output finds its numbers.

    Parameters
    ----------
    pictures : int
    source : (height, width, channels)
        What is read.
    out : (height, width)
        Outputs of a picture.
    step : (int, int)
        Rows and columns of the source from one output to the next.
    reach : (int, int)
        Rows and columns of the source that one output sees.
    corner : (int, int)
        Where the first output's window begins; negative in the padding.
    """

    def __init__(self, pictures, source, out, step, reach, corner):
        (height, width), channels = out, source[2]
        self.columns = (width - 1) * step[1] + reach[1]
        fits = max(1, (FRAME // (self.columns * channels) - reach[0]) // step[0] + 1)
        wanted = -(-height * pictures // TASKS) if pictures else height
        self.rows = max(1, min(height, fits, max(wanted, 1)))
        self.number = -(-height // self.rows)
        self.height = (self.rows - 1) * step[0] + reach[0]
        self.top, self.left = corner
        self.step = self.rows * step[0]
        self.line = self.columns * channels
        rows = np.arange(self.rows)[:, None] * (step[0] * self.line)
        places = (rows + np.arange(width) * (step[1] * channels)).ravel()
        # the last tile of a band may be short of pixels: it computes its last pixel several times
        self.starts = np.full(_simd.round_up(places.size, ROWS), places[-1])
        self.starts[: places.size] = places

    def numbers(self):
        """Return what the kernels need beside `starts`."""
        return self.number, self.rows, self.height, self.columns, self.top, self.left, self.step


@helper
def _copy(source, on, masked, target):
    """target[k] = source[k], or 0 where a mask is given and on[k] is not positive."""
    if masked:
        for k in range(target.size):
            target[k] = np.float32(0) if on[k] <= 0 else source[k]
    else:
        for k in range(target.size):
            target[k] = source[k]


@helper
def _clear(target):
    for k in range(target.size):
        target[k] = 0


@helper
def frame(source, on, masked, n, top, left, height, columns, framed):
    """framed[i, j, c] = source[n, top + i, left + j, c], zeros where there is no such pixel."""
    rows, width, channels = source.shape[1:]
    flat = source.reshape(-1)
    mask = on.reshape(-1)
    line = columns * channels
    begin = min(max(0, -left), columns)
    end = max(begin, min(columns, width - left))
    for i in range(height):
        target = framed[i * line : (i + 1) * line]
        ih = top + i
        if ih < 0 or ih >= rows or begin == end:
            _clear(target)
            continue
        _clear(target[: begin * channels])
        first = ((n * rows + ih) * width + left + begin) * channels
        last = first + (end - begin) * channels
        inner = target[begin * channels : end * channels]
        _copy(flat[first:last], mask[first:last], masked, inner)
        _clear(target[end * channels :])


# ---- forward, and the gradient of the input ---------------------------------------------------


def _tile_of(columns):
    """Return the helper that computes ROWS pixels × `columns` vectors of output channels."""
    span = columns * WIDTH

    @helper
    def sum_taps(framed, starts, p, taps, run, shift, packed, at, bias, relu, y, to, step):
        """y[i] = bias + sum over taps and run of framed[starts[p + i] + ...] * packed."""
        tile = _simd.zeros(ROWS, columns)
        for t in range(taps.size):
            tap = taps[t] + shift
            for k in range(run):
                tile = _simd.multiply_add_at(tile, framed, tap + k, starts, p, packed, at)
                at += span
        tile = _simd.plus_row(tile, bias, 0)
        if relu:
            tile = _simd.positive(tile)
        _simd.store(tile, y, to, step)

    return sum_taps


_two_vectors = _tile_of(2)
_one_vector = _tile_of(1)


@kernel
def _gather(
    source, on, masked, bands, out, starts, places, taps, run, packed, bias, relu, groups, y
):
    """Write y[n, places[p]]: bias and the sums of output p; a thread owns bands of rows.

    out is (outputs in a row, outputs of a picture, whether they lie side by side in y).
    """
    number, rows, height, columns, top, left, step = bands
    width, area, side_by_side = out
    filters = y.shape[3]
    padded = bias.size // groups
    for task in prange(y.shape[0] * number):
        n = task // number
        band = task % number
        framed = np.empty(height * columns * source.shape[3], np.float32)
        frame(source, on, masked, n, top + band * step, left, height, columns, framed)
        target = y[n].reshape(-1)
        sums = np.empty(ROWS * SPAN, np.float32)
        first = band * rows * width
        pixels = min(rows * width, area - first)
        for block in range(groups * ((padded + SPAN - 1) // SPAN)):
            group = block // ((padded + SPAN - 1) // SPAN)
            co = block % ((padded + SPAN - 1) // SPAN) * SPAN
            wide = min(SPAN, padded - co)
            whole = min(wide, filters // groups - co)
            at = (group * padded + co) * taps.size * run
            shift = group * (source.shape[3] // groups)
            begin = group * (filters // groups) + co
            for p in range(0, pixels, ROWS):
                direct = side_by_side and whole == wide and p + ROWS <= pixels
                room = target if direct else sums
                to = places[first + p] + begin if direct else 0
                line = filters if direct else wide
                own = bias[group * padded + co :]
                if wide > WIDTH:
                    _two_vectors(
                        framed, starts, p, taps, run, shift, packed, at, own, relu, room, to, line
                    )
                else:
                    _one_vector(
                        framed, starts, p, taps, run, shift, packed, at, own, relu, room, to, line
                    )
                if not direct:
                    for i in range(min(ROWS, pixels - p)):
                        to = places[first + p + i] + begin
                        for j in range(whole):
                            target[to + j] = sums[i * wide + j]


def _pack(factors):
    """Return factors (groups, terms, outputs), side by side what a block of outputs needs.

    Outputs are filled up with zeros to whole vectors; a block has two vectors, the last of a
    group perhaps one.
    """
    groups, terms, outputs = factors.shape
    padded = np.zeros((groups, terms, _simd.round_up(outputs, WIDTH)), np.float32)
    padded[:, :, :outputs] = factors
    wide = padded.shape[2] // SPAN * SPAN
    blocks = padded[:, :, :wide].reshape(groups, terms, -1, SPAN).transpose(0, 2, 1, 3)
    parts = [blocks.reshape(groups, -1), padded[:, :, wide:].reshape(groups, -1)]
    return np.concatenate(parts, axis=1).reshape(-1)


def _pad_bias(bias, groups):
    """Return bias with zeros where `_pack` filled up."""
    padded = np.zeros((groups, _simd.round_up(bias.size // groups, WIDTH)), np.float32)
    padded[:, : bias.size // groups] = bias.reshape(groups, -1)
    return padded.reshape(-1)


def convolve(x, on, weight, bias, relu, geometry, y):
    """Write y = bias + x * weight, and if `relu` 0 where that is negative.

    x and y are (N, C, H, W) in either order. Where `on` is given, x counts as 0 wherever `on`
    isn't positive.
    """
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = weight.shape
    source = as_last(x)
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    bands = Bands(
        x.shape[0],
        source.shape[1:],
        y.shape[2:],
        (stride_h, stride_w),
        reach,
        (-pad_top, -pad_left),
    )
    taps, run = _taps(kernel_h, kernel_w, dilation_h, dilation_w, bands, source.shape[3], groups)
    grouped = weight.reshape(groups, filters // groups, channels, -1)
    factors = grouped.transpose(0, 3, 2, 1).reshape(groups, -1, filters // groups)
    room = room_last(y)
    area = y.shape[2] * y.shape[3]
    places = np.arange(area) * filters
    out = y.shape[3], area, True
    masked = on is not None
    mask = as_last(on) if masked else source
    shares = _pack(factors), _pad_bias(bias, groups), relu, groups
    _gather(
        source, mask, masked, bands.numbers(), out, bands.starts, places, taps, run, *shares, room
    )
    put_last(room, y)


def _taps(kernel_h, kernel_w, dilation_h, dilation_w, bands, channels, groups):
    """Return where the taps begin in a window, and how many numbers lie side by side from there."""
    rows = np.arange(kernel_h) * (dilation_h * bands.line)
    if groups == 1 and dilation_w == 1:
        return rows, kernel_w * channels
    columns = np.arange(kernel_w) * (dilation_w * channels)
    return (rows[:, None] + columns).ravel(), channels // groups


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns bands of output rows."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    convolve(x, None, weight, bias, False, geometry, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns bands of its rows."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    input_gradient(dy, None, weight, geometry, dx)


class _Phase:
    """The taps of one axis that reach the pixels r with (r + pad) % stride == phase.

    Such a pixel is ``first + u * stride``; tap k meets output ``u + corner - shifts[k]``.
    """

    def __init__(self, phase, size, taps, stride, pad, dilation):
        self.first = (phase - pad) % stride
        self.count = max(0, -(-(size - self.first) // stride))
        steps = np.arange(taps) * dilation
        self.taps = np.flatnonzero(steps % stride == phase)
        shifts = (steps[self.taps] - phase) // stride
        self.reach = int(shifts.max()) + 1 if shifts.size else 1
        self.shifts = self.reach - 1 - shifts
        self.corner = (self.first + pad - phase) // stride - (self.reach - 1)


def input_gradient(dy, on, weight, geometry, dx):
    """Write dx from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(dy), room_last(dx)
    masked = on is not None
    mask = as_last(on) if masked else source
    grouped = weight.reshape(groups, filters // groups, *weight.shape[1:])
    bias = np.zeros(groups * _simd.round_up(channels, WIDTH), np.float32)
    width = dx.shape[3]
    for phase in range(stride_h * stride_w):
        down = _Phase(phase // stride_w, dx.shape[2], kernel_h, stride_h, pad_top, dilation_h)
        right = _Phase(phase % stride_w, width, kernel_w, stride_w, pad_left, dilation_w)
        if not down.taps.size * right.taps.size:  # no window looks at these pixels
            room[:, down.first :: stride_h, right.first :: stride_w] = 0
            continue
        if not down.count * right.count:
            continue
        size = down.count, right.count
        reach = down.reach, right.reach
        corner = down.corner, right.corner
        bands = Bands(dy.shape[0], source.shape[1:], size, (1, 1), reach, corner)
        pixels = (down.first + np.arange(down.count) * stride_h)[:, None] * width
        places = ((pixels + right.first + np.arange(right.count) * stride_w) * dx.shape[1]).ravel()
        line = down.shifts[:, None] * bands.line
        taps = (line + right.shifts * source.shape[3]).ravel()
        chosen = grouped[:, :, :, down.taps][:, :, :, :, right.taps]
        # (group, co, ci, kh, kw) -> (group, terms (kh, kw, co), ci)
        factors = chosen.transpose(0, 3, 4, 1, 2).reshape(groups, -1, channels)
        out = right.count, places.size, stride_h * stride_w == 1
        run = filters // groups
        shares = _pack(factors), bias, False, groups
        _gather(
            source,
            mask,
            masked,
            bands.numbers(),
            out,
            bands.starts,
            places,
            taps,
            run,
            *shares,
            room,
        )
    put_last(room, dx)


# ---- the gradient of the weights ---------------------------------------------------------------


def _products_of(columns):
    """Return the helper for a block of ROWS numbers of the run × `columns` vectors of dy."""

    @helper
    def add_products(framed, starts, tap, begin, end, right, co, stride, totals, to, step):
        """totals[i, j] += sum over pixels p of framed[starts[p] + tap + i] * right[p, co + j]."""
        tile = _simd.load_tile(_simd.zeros(ROWS, columns), totals, to, step)
        for p in range(begin, end):
            tile = _simd.multiply_add(tile, framed, starts[p] + tap, 1, right, p * stride + co)
        _simd.store(tile, totals, to, step)

    return add_products


_add_two = _products_of(2)
_add_one = _products_of(1)


@helper
def _lay_gradient(dy, on, masked, n, first, pixels, groups, padded, right):
    """right[p, group, co] = dy[n, first + p, ...], filled up with zeros, 0 where the mask is."""
    filters = dy.shape[3]
    own = filters // groups
    flat = dy[n].reshape(-1)
    mask = on[n].reshape(-1)
    for p in range(pixels):
        for group in range(groups):
            at = (first + p) * filters + group * own
            to = (p * groups + group) * padded
            _copy(flat[at : at + own], mask[at : at + own], masked, right[to : to + own])
            _clear(right[to + own : to + padded])


@kernel
def _correlate(source, dy, on, masked, bands, width, starts, taps, run, parts, sums):
    """sums[slice, group, tap, k, co] = sum over pixels of source * dy; a thread owns (slice, part)."""
    number, rows, height, columns, top, left, step = bands
    slices, groups, _, deep, padded = sums.shape
    pictures = dy.shape[0]
    area = dy.shape[1] * width
    stride = groups * padded
    for task in prange(slices * parts):
        piece = task // parts
        part = task % parts
        totals = sums[piece].reshape(-1)
        framed = np.zeros(height * columns * source.shape[3] + ROWS, np.float32)
        right = np.empty(rows * width * stride, np.float32)
        for task_band in range(
            piece * pictures // slices * number, (piece + 1) * pictures // slices * number
        ):
            n = task_band // number
            band = task_band % number
            first = band * rows * width
            pixels = min(rows * width, area - first)
            frame(
                source, source, False, n, top + band * step, left, height, columns, framed[:-ROWS]
            )
            _lay_gradient(dy, on, masked, n, first, pixels, groups, padded, right)
            for begin in range(0, pixels, CHUNK):
                end = min(begin + CHUNK, pixels)
                blocks = groups * taps.size * (deep // ROWS)
                for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                    group = block // (taps.size * (deep // ROWS))
                    k = block % (deep // ROWS) * ROWS
                    tap = taps[block // (deep // ROWS) % taps.size] + k
                    tap += group * (source.shape[3] // groups)
                    for co in range(0, padded, SPAN):
                        at = group * padded + co
                        to = block * ROWS * padded + co
                        if padded - co > WIDTH:
                            _add_two(
                                framed,
                                starts,
                                tap,
                                begin,
                                end,
                                right,
                                at,
                                stride,
                                totals,
                                to,
                                padded,
                            )
                        else:
                            _add_one(
                                framed,
                                starts,
                                tap,
                                begin,
                                end,
                                right,
                                at,
                                stride,
                                totals,
                                to,
                                padded,
                            )


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the partial sums of a slice of the batch, or of some taps."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    weight_gradient(dy, None, x, geometry, dweight)


def weight_gradient(dy, on, x, geometry, dweight):
    """Write dweight from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = dweight.shape
    source, gradient = as_last(x), as_last(dy)
    masked = on is not None
    mask = as_last(on) if masked else gradient
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    bands = Bands(
        x.shape[0],
        source.shape[1:],
        dy.shape[2:],
        (stride_h, stride_w),
        reach,
        (-pad_top, -pad_left),
    )
    taps, run = _taps(kernel_h, kernel_w, dilation_h, dilation_w, bands, source.shape[3], groups)
    own = filters // groups
    shape = (groups, taps.size, _simd.round_up(run, ROWS), _simd.round_up(own, WIDTH))
    slices = max(1, min(SLICES, dy.shape[0], PARTIALS // math.prod(shape)))
    parts = max(1, min(SLICES // slices, groups * taps.size * shape[2] // ROWS))
    sums = np.zeros((slices, *shape), np.float32)
    _correlate(
        source,
        gradient,
        mask,
        masked,
        bands.numbers(),
        dy.shape[3],
        bands.starts,
        taps,
        run,
        parts,
        sums,
    )
    total = sums.sum(axis=0)[:, :, :run, :own].reshape(groups, kernel_h * kernel_w, channels, own)
    dweight.reshape(groups, own, channels, -1)[...] = total.transpose(0, 3, 2, 1)


if config.DISABLE_JIT:  # a register tile exists in compiled code only
    conv2d_forward = conv2d_loops.conv2d_forward
    conv2d_backward_input = conv2d_loops.conv2d_backward_input
    conv2d_backward_weight = conv2d_loops.conv2d_backward_weight
