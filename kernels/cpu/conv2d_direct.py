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

from ..order import empty
from . import _simd, conv2d_loops
from ._bands import ROWS, Bands, frame, phases, put_rows, taps_of
from ._jit import helper, kernel, prange
from ._order import as_last, put_last, room_last
from ._pack import packed_turned, packed_weights, padded_bias

WIDTH = _simd.WIDTH
LINE = _simd.LINE
SPAN = 2 * WIDTH
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 22  # at most so many partial sums (16 MiB)
SHORT = ROWS // 3 * 2  # where ROWS would leave more of a tile empty
FEW = 8  # blocks of a gradient for which dy is read as it lies
CHUNK = 64  # pixels whose products are added while their numbers are in the fastest cache


# ---- forward, and the gradient of the input ---------------------------------------------------


def _tile_of(columns):
    """Return the helper that computes ROWS pixels × `columns` vectors of output channels."""
    span = columns * WIDTH

    @helper
    def sum_taps(framed, starts, taps, count, run, packed, bias, relu, y, step):
        """y[i] = bias + sum over taps and run of framed[starts[i] + ...] * packed."""
        tile = _simd.zeros(ROWS, columns)
        at = 0
        for t in range(count):
            tap = taps[t]
            for k in range(run):
                tile = _simd.multiply_add_at(tile, framed, tap + k, starts, 0, packed, at)
                at += span
        tile = _simd.plus_row(tile, bias, 0)
        if relu:
            tile = _simd.positive(tile)
        _simd.store(tile, y, 0, step)

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
    own = filters // groups
    padded = bias.size // groups
    spans = (padded + SPAN - 1) // SPAN
    sizes = source.shape[1], source.shape[2], source.shape[3]
    for task in prange(y.shape[0] * number):
        n = task // number
        band = task % number
        room = np.empty(height * columns * source.shape[3] + ROWS * SPAN + LINE, np.float32)
        sums = _simd.align(_simd.pointer(room, 0))
        framed = _simd.pointer(sums, ROWS * SPAN)
        numbers, mask = _simd.pointer(source, 0), _simd.pointer(on, 0)
        frame(numbers, mask, masked, sizes, n, top + band * step, left, height, columns, framed)
        target = _simd.pointer(y, n * y.shape[1] * y.shape[2] * filters)
        first = band * rows * width
        pixels = min(rows * width, area - first)
        for block in range(groups * spans):
            group = block // spans
            co = block % spans * SPAN
            wide = min(SPAN, padded - co)
            whole = min(wide, own - co)
            begin = group * own + co
            window = _simd.pointer(framed, group * (source.shape[3] // groups))
            factors = _simd.pointer(packed, (group * padded + co) * taps.size * run)
            shift = _simd.pointer(bias, group * padded + co)
            offsets = _simd.pointer(taps, 0)
            for p in range(0, pixels, ROWS):
                direct = side_by_side and whole == wide and p + ROWS <= pixels
                places_ = _simd.pointer(places, first + p)
                starts_ = _simd.pointer(starts, p)
                to = _simd.pointer(target, places_[0] + begin) if direct else sums
                line = filters if direct else wide
                if wide > WIDTH:
                    _two_vectors(
                        window, starts_, offsets, taps.size, run, factors, shift, relu, to, line
                    )
                else:
                    _one_vector(
                        window, starts_, offsets, taps.size, run, factors, shift, relu, to, line
                    )
                if not direct:
                    put_rows(sums, wide, places_, min(ROWS, pixels - p), whole, begin, target)
        _simd.hold(room)


def convolve(x, on, weight, bias, relu, geometry, y):
    """Write y = bias + x * weight, and if `relu` 0 where that is negative.

    x and y are (N, C, H, W) in either order. Where `on` is given, x counts as 0 wherever `on`
    isn't positive.
    """
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(x), room_last(y)
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    step, corner = (stride_h, stride_w), (-pad_top, -pad_left)
    bands = Bands(x.shape[0], source.shape[1:], y.shape[2:], step, reach, corner)
    taps, run = taps_of(kernel_h, kernel_w, dilation_h, dilation_w, bands, source.shape[3], groups)
    # the terms of a sum run over kh, kw and ci; the weights lie in the order co, ci, kh, kw
    inner = np.arange(kernel_h * kernel_w)[:, None] + np.arange(channels) * kernel_h * kernel_w
    packed = packed_weights(weight, inner.ravel(), channels * kernel_h * kernel_w, groups, filters)
    area = y.shape[2] * y.shape[3]
    out = y.shape[3], area, True
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    tables = bands.starts, np.arange(area) * filters, taps, run
    shares = packed, padded_bias(bias, groups), relu, groups
    _gather(source, mask, masked, bands.numbers(), out, *tables, *shares, room)
    put_last(room, y)


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


def input_gradient(dy, on, weight, geometry, dx):
    """Write dx from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    stride_h, stride_w, _, _, _, dilation_w, groups = geometry
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(dy), room_last(dx)
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    bias = np.zeros(groups * _simd.round_up(channels, WIDTH), np.float32)
    area = kernel_h * kernel_w
    for down, right in phases((kernel_h, kernel_w), geometry, room):
        size, reach = (down.count, right.count), (down.reach, right.reach)
        corner = down.corner, right.corner
        bands = Bands(dy.shape[0], source.shape[1:], size, (1, 1), reach, corner)
        places = ((down.pixels[:, None] * dx.shape[3] + right.pixels) * dx.shape[1]).ravel()
        # taps in the order of what they read, so that those of one row may lie side by side
        order = np.argsort(right.shifts)
        side_by_side = groups == 1 and dilation_w == 1
        columns = right.shifts[order][:1] if side_by_side else right.shifts[order]
        taps = (down.shifts[:, None] * bands.line + columns * source.shape[3]).ravel()
        run = filters // groups * (right.taps.size if side_by_side else 1)
        # the terms of a sum run over kh, kw and co
        chosen = (down.taps[:, None] * kernel_w + right.taps[order]).ravel()
        terms = (chosen[:, None] + np.arange(filters // groups) * channels * area).ravel()
        packed = packed_turned(weight, terms, groups)
        out = right.count, places.size, stride_h * stride_w == 1
        tables = bands.starts, places, taps, run
        shares = packed, bias, False, groups
        _gather(source, mask, masked, bands.numbers(), out, *tables, *shares, room)
    put_last(room, dx)


# ---- the gradient of the weights ---------------------------------------------------------------


def _products_of(rows, columns):
    """Return the helper for a block of `rows` numbers of the run × `columns` vectors of dy."""

    @helper
    def add_products(framed, starts, count, right, line, totals, step):
        """totals[i, j] += sum over pixels p of framed[starts[p] + i] * right[p * line + j]."""
        tile = _simd.load_tile(_simd.zeros(rows, columns), totals, 0, step)
        for p in range(count):
            tile = _simd.multiply_add(tile, framed, starts[p], 1, right, p * line)
        _simd.store(tile, totals, 0, step)

    return add_products


_add_two = _products_of(ROWS, 2)
_add_one = _products_of(ROWS, 1)
_add_two_short = _products_of(SHORT, 2)
_add_one_short = _products_of(SHORT, 1)


@helper
def _lay_gradient(dy, on, masked, pixels, channels, groups, padded, right):
    """right[group, co // SPAN, p, co % SPAN] = dy[p, ...], filled up with zeros, 0 where masked."""
    own = channels // groups
    spans = (padded + SPAN - 1) // SPAN
    for block in range(groups * spans):
        group = block // spans
        co = block % spans * SPAN
        wide = min(SPAN, padded - co)
        whole = min(wide, own - co)
        at = group * own + co
        to = (group * padded + co) * pixels
        for _ in range(pixels):
            for lane in range(0, wide, WIDTH):
                vector = _simd.load_some(dy, at + lane, whole - lane)
                if masked:
                    shown = _simd.load_some(on, at + lane, whole - lane)
                    vector = _simd.where_positive(vector, shown)
                _simd.store(vector, right, to + lane, 0)
            at += channels
            to += wide


@kernel
def _correlate(source, dy, on, masked, bands, starts, taps, size, parts, sums):
    """sums[slice, group, tap, k, co] = sum of source * dy; a thread owns a slice, or some taps.

    `size` numbers k at a time, ROWS or SHORT.
    """
    number, rows, height, columns, top, left, step = bands
    slices, groups, _, deep, padded = sums.shape
    pictures, out_h, width, filters = dy.shape
    sizes = source.shape[1], source.shape[2], source.shape[3]
    per_tap = deep // size
    blocks = groups * taps.size * per_tap
    # where dy is read a few times only, laying it out doesn't pay
    plain = padded * groups == filters and (blocks <= FEW or filters <= SPAN)
    as_it_is = plain and not masked
    for task in prange(slices * parts):
        piece = task // parts
        part = task % parts
        laid = rows * width * groups * padded
        room = np.zeros(laid + height * columns * source.shape[3] + ROWS + LINE, np.float32)
        right = _simd.align(_simd.pointer(room, 0))
        framed = _simd.pointer(right, laid)
        totals = _simd.pointer(sums, piece * blocks * size * padded)
        numbers = _simd.pointer(source, 0)
        for each in range(
            piece * pictures // slices * number, (piece + 1) * pictures // slices * number
        ):
            n = each // number
            band = each % number
            pixels = min(rows, out_h - band * rows) * width
            frame(
                numbers, numbers, False, sizes, n, top + band * step, left, height, columns, framed
            )
            at = (n * out_h + band * rows) * width * filters
            gradient, mask = _simd.pointer(dy, at), _simd.pointer(on, at)
            if not as_it_is:
                _lay_gradient(gradient, mask, masked, pixels, filters, groups, padded, right)
            for begin in range(0, pixels, CHUNK):
                count = min(CHUNK, pixels - begin)
                starts_ = _simd.pointer(starts, begin)
                for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                    group = block // (taps.size * per_tap)
                    tap = taps[block // per_tap % taps.size]
                    tap += block % per_tap * size + group * (source.shape[3] // groups)
                    window = _simd.pointer(framed, tap)
                    for co in range(0, padded, SPAN):
                        wide = min(SPAN, padded - co)
                        if as_it_is:
                            line = filters
                            panel = _simd.pointer(gradient, begin * filters + group * padded + co)
                        else:
                            line = wide
                            panel = _simd.pointer(
                                right, (group * padded + co) * pixels + begin * wide
                            )
                        own = _simd.pointer(totals, block * size * padded + co)
                        if wide > WIDTH and size == ROWS:
                            _add_two(window, starts_, count, panel, line, own, padded)
                        elif wide > WIDTH:
                            _add_two_short(window, starts_, count, panel, line, own, padded)
                        elif size == ROWS:
                            _add_one(window, starts_, count, panel, line, own, padded)
                        else:
                            _add_one_short(window, starts_, count, panel, line, own, padded)
        _simd.hold(room)


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
    mask = (as_last(on) if masked else gradient).reshape(-1)
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    step, corner = (stride_h, stride_w), (-pad_top, -pad_left)
    bands = Bands(x.shape[0], source.shape[1:], dy.shape[2:], step, reach, corner)
    taps, run = taps_of(kernel_h, kernel_w, dilation_h, dilation_w, bands, source.shape[3], groups)
    own = filters // groups
    size = min(ROWS, SHORT, key=lambda rows: _simd.round_up(run, rows) * (1 + 1 / rows))
    shape = (groups, taps.size, _simd.round_up(run, size), _simd.round_up(own, WIDTH))
    slices = max(1, min(SLICES, dy.shape[0], PARTIALS // math.prod(shape)))
    parts = max(1, min(SLICES // slices, groups * taps.size * shape[2] // size))
    sums = empty((slices, *shape), np.float32)
    sums[...] = 0
    numbers = bands.numbers()
    _correlate(source, gradient, mask, masked, numbers, bands.starts, taps, size, parts, sums)
    total = sums.sum(axis=0)[:, :, :run, :own].reshape(groups, kernel_h * kernel_w, channels, own)
    dweight.reshape(groups, own, channels, -1)[...] = total.transpose(0, 3, 2, 1)


if config.DISABLE_JIT:  # a register tile exists in compiled code only
    conv2d_forward = conv2d_loops.conv2d_forward
    conv2d_backward_input = conv2d_loops.conv2d_backward_input
    conv2d_backward_weight = conv2d_loops.conv2d_backward_weight
