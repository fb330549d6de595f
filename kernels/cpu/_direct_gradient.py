"""The gradient of the weights of ``conv2d_direct.py``.

The loops of the forward pass with the sums turned around: a weight's gradient is a sum over
pixels, of a number of the picture times a number of dy. A block of ROWS numbers that one output
sees × SPAN output channels of sums is in registers while CHUNK pixels go by.

A thread owns the partial sums of a slice of the batch; where there are too many sums for several
copies, some of the taps and of the output channels. Slices are added up at the end, in order:
results don't depend on the number of threads.
"""

import functools
import math

import numpy as np

from ..order import empty
from . import _simd
from ._bands import FRAME, ROWS, Bands, band_of, taps_of
from ._jit import helper, kernel, prange
from ._order import as_last
from ._pack import unpack_sums

WIDTH = _simd.WIDTH
LINE = _simd.LINE
SPAN = 2 * WIDTH
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 21  # at most so many partial sums (8 MiB)
SHORT = ROWS // 3 * 2  # where ROWS would leave more of a tile empty
FEW = 8  # blocks of a gradient for which dy is read as it lies
CHUNK = 64  # pixels whose products are added while their numbers are in the fastest cache
HEAVY = 1 << 16  # sums that fill the second cache: more pixels are worth fetching them
HEAVY_CHUNK = 256
PLANS = 128


def _products_of(rows, columns):
    """Return the helper for a block of `rows` numbers of the run × `columns` vectors of dy."""

    @helper
    def add_products(framed, starts, count, right, line, totals, step, fresh):
        """totals[i, j] (+)= sum over pixels p of framed[starts[p] + i] * right[p * line + j]."""
        tile = _simd.zeros(rows, columns)
        if not fresh:
            tile = _simd.load_tile(tile, totals, 0, step)
        for p in range(count):
            tile = _simd.multiply_add(tile, framed, starts[p], 1, right, p * line)
        _simd.store(tile, totals, 0, step)

    return add_products


_add_two = _products_of(ROWS, 2)
_add_one = _products_of(ROWS, 1)
_add_two_short = _products_of(SHORT, 2)
_add_one_short = _products_of(SHORT, 1)


@helper
def _add_block(window, starts, count, panel, line, totals, step, fresh, wide, size):
    """Add the products of `count` pixels to a block of size × wide sums, or begin it if `fresh`."""
    given = window, starts, count, panel, line, totals, step, fresh
    if wide > WIDTH and size == ROWS:
        _add_two(*given)
    elif wide > WIDTH:
        _add_two_short(*given)
    elif size == ROWS:
        _add_one(*given)
    else:
        _add_one_short(*given)


@helper
def _lay_gradient(dy, on, masked, pixels, channels, groups, padded, begin, end, right):
    """right[group, co // SPAN, p, co % SPAN] = dy[p, ...], filled up with zeros, 0 where masked.

    For the blocks co // SPAN from `begin` to `end` of every group.
    """
    own = channels // groups
    for group in range(groups):
        for co in range(begin * SPAN, min(end * SPAN, padded), SPAN):
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
def _correlate(source, dy, on, masked, bands, bare, starts, taps, cut, sums):
    """sums[slice, group, tap, k, co] = sum of source * dy.

    A thread owns a slice, of which `across` may share the channels co and `down` taps and k. cut
    is (numbers k at a time, ROWS or SHORT; pixels at a time; across; down).
    """
    number, rows, height, columns, _, _, _, together = bands
    size, chunk, across, down = cut
    slices, groups, _, deep, padded = sums.shape
    pictures, out_h, width, filters = dy.shape
    sizes = source.shape[1], source.shape[2], source.shape[3]
    per_tap = deep // size
    per_group = taps.size * per_tap
    blocks = groups * per_group
    spans = (padded + SPAN - 1) // SPAN
    picture = height * columns * source.shape[3]
    # where dy is read a few times only, laying it out doesn't pay
    few = blocks <= FEW or filters <= SPAN
    as_it_is = few and padded * groups == filters and not masked
    for task in prange(slices * across * down):
        piece = task // (across * down)
        part, under = task // down % across, task % down
        begin_span, end_span = part * spans // across, (part + 1) * spans // across
        end_picture = (piece + 1) * pictures // slices
        laid = 0 if as_it_is else together * rows * width * groups * padded
        framed_size = 0 if bare else together * picture
        room = np.empty(laid + framed_size + ROWS + LINE, np.float32)
        right = _simd.align(_simd.pointer(room, 0))
        totals = _simd.pointer(sums, piece * blocks * size * padded)
        fresh = True
        for n in range(piece * pictures // slices, end_picture, together):
            several = min(together, end_picture - n)
            for band in range(number):
                place = n, several, band, bands, bare, _simd.pointer(right, laid)
                framed = band_of(source, source, False, sizes, *place)
                pixels = min(rows, out_h - band * rows) * width * several
                at = (n * out_h + band * rows) * width * filters
                gradient, mask = _simd.pointer(dy, at), _simd.pointer(on, at)
                if not as_it_is:
                    shape = pixels, filters, groups, padded, begin_span, end_span
                    _lay_gradient(gradient, mask, masked, *shape, right)
                for begin in range(0, pixels, chunk):
                    count = min(chunk, pixels - begin)
                    starts_ = _simd.pointer(starts, begin)
                    for block in range(blocks * under // down, blocks * (under + 1) // down):
                        group = block // per_group
                        tap = taps[block // per_tap % taps.size]
                        tap += block % per_tap * size + group * (sizes[2] // groups)
                        window = _simd.pointer(framed, tap)
                        for co in range(begin_span * SPAN, min(end_span * SPAN, padded), SPAN):
                            wide = min(SPAN, padded - co)
                            line = filters if as_it_is else wide
                            at = (group * padded + co) * pixels + begin * wide
                            panel = _simd.pointer(right, at)
                            if as_it_is:
                                at = begin * filters + group * padded + co
                                panel = _simd.pointer(gradient, at)
                            own = _simd.pointer(totals, block * size * padded + co)
                            given = window, starts_, count, panel, line, own, padded, fresh
                            _add_block(*given, wide, size)
                    fresh = False
        _simd.hold(room)


@functools.lru_cache(PLANS)
def _plan(source, weight, out, geometry):
    """Return the bands, taps, numbers side by side, shape of the sums, and how they are cut."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    filters, _, kernel_h, kernel_w = weight
    reach = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    sides = out, (stride_h, stride_w), reach, (-pad_top, -pad_left)
    heavy = math.prod(weight) >= HEAVY
    pixels, room = (HEAVY_CHUNK, 4 * FRAME) if heavy else (CHUNK, FRAME)
    bands = Bands(source[0], source[1:], *sides, 1, pixels, room)
    taps, run = taps_of(kernel_h, kernel_w, dilation_h, dilation_w, bands, source[3], groups)
    size = min(ROWS, SHORT, key=lambda rows: _simd.round_up(run, rows) * (1 + 1 / rows))
    shape = groups, taps.size, _simd.round_up(run, size), _simd.round_up(filters // groups, WIDTH)
    slices = max(1, min(SLICES, source[0], PARTIALS // math.prod(shape)))
    across = min(SLICES // slices, -(-shape[3] // SPAN))
    down = min(SLICES // slices // across, groups * taps.size * shape[2] // size)
    chunk = HEAVY_CHUNK if heavy else CHUNK
    return bands, taps, run, (slices, *shape), (size, chunk, across, down)


def weight_gradient(dy, on, x, geometry, dweight):
    """Write dweight from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    if not dy.size:
        dweight[...] = 0
        return
    groups = geometry[-1]
    filters, channels, *_ = dweight.shape
    source, gradient = as_last(x), as_last(dy)
    masked = on is not None
    mask = (as_last(on) if masked else gradient).reshape(-1)
    sizes = source.shape, dweight.shape, tuple(dy.shape[2:])
    bands, taps, run, shape, cut = _plan(*sizes, tuple(geometry))
    sums = empty(shape, np.float32)
    # a block reads behind the numbers of a row, which only a frame has room for
    bare = bands.bare and shape[3] == run
    _correlate(source, gradient, mask, masked, bands.numbers(), bare, bands.starts, taps, cut, sums)
    room = dweight if dweight.flags.c_contiguous else empty(dweight.shape, np.float32)
    unpack_sums(sums, run // channels, room.reshape(groups, filters // groups, channels, -1))
    if room is not dweight:
        dweight[...] = room
