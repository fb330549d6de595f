"""Direct convolution with sums that stay in registers: the machine's peak without any trick.

What it does to the loops of ``conv2d_loops.py``: there, every product loads a running sum, adds
to it and stores it again. Here ROWS pixels × SPAN output channels of sums are kept in registers
(`_simd.Tile`) while all their products are added up: with AVX-512, 24 vectors of sums for 14
loads. Pictures lie channels last (``../order.py``), so the vectors run over output channels, and
stride, dilation and padding only change where a pixel's numbers begin: a table, `starts`, that is
made once. Which pixels a band of rows needs is first copied, with its frame of zeros, to memory
of the thread's own that stays in the cache; where there is no padding, it is read where it lies.

What a band is depends on what else must come from memory (`_cut`). Usually it is some rows of a
picture, or, where those are small, a few pictures, so that few tiles are short of pixels. Weights
that don't fit the cache would be fetched for every band: then there are few bands, threads share
their output channels, and all tiles of a band take the same few taps before the next.

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

import functools
import math

import numpy as np
from numba.core import config

from . import _simd, conv2d_loops
from ._bands import FRAME, ROWS, TASKS, Bands, band_of, clear_all, phases, put_rows, taps_of
from ._direct_gradient import weight_gradient
from ._jit import helper, kernel, prange
from ._order import as_last, put_last, room_last
from ._pack import packed_weights, padded_bias

WIDTH = _simd.WIDTH
LINE = _simd.LINE
SPAN = 2 * WIDTH
HEAVY = 1 << 18  # weights that don't stay in the cache while pixels go by
WEIGHTS = 1 << 16  # numbers of a block of weights that all tiles of a band pass by
FEW_PIXELS = 256  # outputs up to which small pictures are put together
PLANS = 128  # tables that are kept, one for each kind of layer and size of batch


# ---- forward, and the gradient of the input ---------------------------------------------------


def _tile_of(columns):
    """Return the helper that computes ROWS pixels × `columns` vectors of output channels."""
    span = columns * WIDTH

    @helper
    def sum_taps(framed, starts, taps, run, packed, begin, end, sums, finish, y, places):
        """sums[i] = sum over taps[begin:end] and run of framed[starts[i] + ...] * packed.

        Where `begin` isn't 0, they are added to what stands in `sums`. If the last tap is among
        them, finish = (bias, relu, direct) says what is added to them, whether negative sums
        become 0, and whether they go to y[places[i]].
        """
        tile = _simd.zeros(ROWS, columns)
        if begin > 0:
            tile = _simd.load_tile(tile, sums, 0, span)
        at = begin * run * span
        for t in range(begin, end):
            tap = taps[t]
            for k in range(run):
                tile = _simd.multiply_add_at(tile, framed, tap + k, starts, 0, packed, at)
                at += span
        bias, last, relu, direct = finish
        if last:
            tile = _simd.plus_row(tile, bias, 0)
            if relu:
                tile = _simd.positive(tile)
        if last and direct:
            _simd.store_at(tile, y, 0, places)
        else:
            _simd.store(tile, sums, 0, span)

    return sum_taps


_two_vectors = _tile_of(2)
_one_vector = _tile_of(1)


@kernel
def _gather(
    source, on, masked, bands, bare, out, starts, places, taps, run, packed, bias, relu, groups, y
):
    """Write y[n, places[p]]: bias and the sums of output p.

    A thread owns bands of outputs, or one of `shares` of their channels. `bare` bands are read
    where they lie, others are framed first. out is (outputs in a row, outputs of a picture,
    shares, taps at a time).
    """
    number, rows, height, columns, _, _, _, together = bands
    width, area, shares, some = out
    pictures, filters = y.shape[0], y.shape[3]
    own = filters // groups
    padded = bias.size // groups
    spans = (padded + SPAN - 1) // SPAN
    sizes = source.shape[1], source.shape[2], source.shape[3]
    picture = height * columns * source.shape[3]
    for task in prange((pictures + together - 1) // together * number * shares):
        share = task % shares
        band = task // shares % number
        n = task // (shares * number) * together
        several = min(together, pictures - n)
        first = band * rows * width
        pixels = min(rows * width, area - first) * several
        tiles = (pixels + ROWS - 1) // ROWS if some < taps.size else 1
        kept = tiles * ROWS * SPAN
        room = np.empty(kept + (0 if bare else together * picture) + LINE, np.float32)
        sums = _simd.align(_simd.pointer(room, 0))
        place = n, several, band, bands, bare, _simd.pointer(sums, kept)
        framed = band_of(source, on, masked, sizes, *place)
        target = _simd.pointer(y, n * y.shape[1] * y.shape[2] * filters)
        blocks = groups * spans
        for block in range(blocks * share // shares, blocks * (share + 1) // shares):
            group = block // spans
            co = block % spans * SPAN
            wide = min(SPAN, padded - co)
            whole = min(wide, own - co)
            begin = group * own + co
            window = _simd.pointer(framed, group * (sizes[2] // groups))
            factors = _simd.pointer(packed, (group * padded + co) * taps.size * run)
            shift = _simd.pointer(bias, group * padded + co)
            offsets = _simd.pointer(taps, 0)
            outputs = _simd.pointer(target, begin)
            direct = whole == wide and pixels >= ROWS
            for begin_tap in range(0, taps.size, some):
                end_tap = min(begin_tap + some, taps.size)
                last = end_tap == taps.size
                for after in range(0, pixels, ROWS):
                    p = max(0, min(after, pixels - ROWS))  # the last tile goes back for whole rows
                    places_ = _simd.pointer(places, first + p)
                    own_sums = _simd.pointer(sums, after * SPAN if tiles > 1 else 0)
                    given = window, _simd.pointer(starts, p), offsets, run, factors
                    finish = shift, last, relu, direct
                    rest = begin_tap, end_tap, own_sums, finish, outputs, places_
                    if wide > WIDTH:
                        _two_vectors(*given, *rest)
                    else:
                        _one_vector(*given, *rest)
                    if last and not direct:
                        count = min(ROWS, pixels - p)
                        put_rows(own_sums, wide, places_, count, whole, begin, target)
        _simd.hold(room)


def _shares(bands, blocks):
    """Return how many threads share the channels of a band, where bands are few."""
    return max(1, min(blocks, TASKS // max(1, bands.bands)))


def _some(run):
    """Return how many taps are added at a time, so that their weights stay in the cache."""
    return max(1, WEIGHTS // (run * SPAN))


def _cut(shape, sides, weights, blocks):
    """Return the bands of pictures; where weights don't stay in the cache, large ones."""
    heavy = weights >= HEAVY
    tasks = -(-TASKS // blocks) if heavy else TASKS
    return Bands(shape[0], shape[1:], *sides, tasks, FEW_PIXELS, 4 * FRAME if heavy else FRAME)


@functools.lru_cache(PLANS)
def _forward_plan(source, weight, out, geometry):
    """Return the bands, how many share one, and the tables of a forward pass."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, _, kernel_h, kernel_w = weight
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    blocks = groups * -(-filters // groups // SPAN)
    sides = out, (stride_h, stride_w), reach, (-pad_top, -pad_left)
    bands = _cut(source, sides, math.prod(weight), blocks)
    taps, run = taps_of(kernel_h, kernel_w, dilation_h, dilation_w, bands, source[3], groups)
    places = np.arange(bands.together * math.prod(out)) * filters
    return bands, _shares(bands, blocks), places, taps, run, np.arange(kernel_h * kernel_w)


def convolve(x, on, weight, bias, relu, geometry, y):
    """Write y = bias + x * weight, and if `relu` 0 where that is negative.

    x and y are (N, C, H, W) in either order. Where `on` is given, x counts as 0 wherever `on`
    isn't positive.
    """
    groups = geometry[-1]
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(x), room_last(y)
    sizes = source.shape, weight.shape, tuple(y.shape[2:])
    bands, shares, places, taps, run, used = _forward_plan(*sizes, tuple(geometry))
    # the terms of a sum run over kh, kw and ci; the weights lie in the order co, ci, kh, kw
    area, own = kernel_h * kernel_w, filters // groups
    steps = area, channels * area, own * channels * area
    packed = packed_weights(weight, used, channels, steps, groups, own)
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    out = y.shape[3], y.shape[2] * y.shape[3], shares, _some(run)
    given = source, mask, masked, bands.numbers(), bands.bare and not masked, out
    tables = bands.starts, places, taps, run
    _gather(*given, *tables, packed, padded_bias(bias, groups), relu, groups, room)
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


@functools.lru_cache(PLANS)
def _input_plan(source, weight, size, geometry):
    """Return for every phase its rows and columns, bands, shares, places and tables."""
    groups, dilation_w = geometry[6], geometry[5]
    filters, channels, kernel_h, kernel_w = weight
    height, width = size
    blocks = groups * -(-channels // SPAN)
    plan = []
    for down, right in phases((kernel_h, kernel_w), geometry, size):
        count, reach = (down.count, right.count), (down.reach, right.reach)
        corner = down.corner, right.corner
        weights = filters * channels * down.taps.size * right.taps.size
        bands = _cut(source, (count, (1, 1), reach, corner), weights, blocks)
        step = channels * groups
        places = ((down.pixels[:, None] * width + right.pixels) * step).ravel()
        places = (np.arange(bands.together)[:, None] * (height * width * step) + places).ravel()
        # taps in the order of what they read, so that those of one row may lie side by side
        order = np.argsort(right.shifts)
        side_by_side = groups == 1 and dilation_w == 1
        columns = right.shifts[order][:1] if side_by_side else right.shifts[order]
        taps = (down.shifts[:, None] * bands.line + columns * source[3]).ravel()
        run = filters // groups * (right.taps.size if side_by_side else 1)
        # the terms of a sum run over kh, kw and co
        chosen = (down.taps[:, None] * kernel_w + right.taps[order]).ravel()
        plan.append((count, bands, _shares(bands, blocks), places, taps, run, chosen))
    return plan


def input_gradient(dy, on, weight, geometry, dx):
    """Write dx from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    groups = geometry[-1]
    filters, channels, kernel_h, kernel_w = weight.shape
    source, room = as_last(dy), room_last(dx)
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    bias = np.zeros(groups * _simd.round_up(channels, WIDTH), np.float32)
    area, own = kernel_h * kernel_w, filters // groups
    steps = channels * area, area, own * channels * area
    plan = _input_plan(source.shape, weight.shape, tuple(dx.shape[2:]), tuple(geometry))
    if sum(count[0] * count[1] for count, *_ in plan) < dx.shape[2] * dx.shape[3]:
        clear_all(room.reshape(-1))  # some pixels no window looks at
    for count, bands, shares, places, taps, run, chosen in plan:
        packed = packed_weights(weight, chosen, own, steps, groups, channels)
        out = count[1], count[0] * count[1], shares, _some(run)
        given = source, mask, masked, bands.numbers(), bands.bare and not masked, out
        _gather(*given, bands.starts, places, taps, run, packed, bias, False, groups, room)
    put_last(room, dx)


# ---- the gradient of the weights: _direct_gradient.py ------------------------------------------


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the partial sums of a slice of the batch, or of some taps."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    weight_gradient(dy, None, x, geometry, dweight)


if config.DISABLE_JIT:  # a register tile exists in compiled code only
    conv2d_forward = conv2d_loops.conv2d_forward
    conv2d_backward_input = conv2d_loops.conv2d_backward_input
    conv2d_backward_weight = conv2d_loops.conv2d_backward_weight
