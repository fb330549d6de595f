"""Winograd's algorithm, the gradient of the weights: dg = Gᵀ [ Σ (Bᵀ d B) ⊙ (A dy Aᵀ) ] G.

What it does to the loops: each step of the forward pass is transposed (``conv2d_winograd.py``). For
each of the 36 positions of a turned tile, a product of matrices remains, ci × tiles by tiles × co.
Its sum is the long side, and 36 · ci · co sums stay until the last tile has come.

A thread owns the first or the last three rows of the 6×6 positions, with all sums of theirs. It
needs no other thread: three rows of a turned tile are made from the tile by three rows of the
matrix, the other three elsewhere, so nothing is computed twice but a few sums. It turns a few
tiles, which stay in its cache, and adds their products up, a block of DEEP × SPAN sums in
registers. Where there are more threads, they share the channels, and each turns what it needs.
However sums are shared out, each adds up its tiles in the same order: results don't depend on the
number of threads. (When one thread turned and another multiplied, the numbers went through
memory that both share; of a step of LeNet's second layer that took a third.)
"""

import numba
import numpy as np

from ..order import empty
from . import _simd
from ._jit import helper, kernel, prange
from ._order import as_last
from ._winograd import P2, Q2, P, Q, shown, tile_at, tiles_of
from ._winograd_weights import turn_sums_back

WIDTH = _simd.WIDTH
LINE = _simd.LINE
SPAN = 2 * WIDTH
DEEP = 8 if WIDTH == 16 else 4  # input channels of a block of sums; divides WIDTH
HALF = 18  # positions of a task
FEW, MANY = 32, 112  # tiles at a time: few stay in the cache, and many pay for ...
LARGE = 1 << 19  # ... so many sums of a task, which don't, and are read and written for each


@helper
def _turn_input(part, source, at, down, across, half, target, to, to_down, to_across):
    """Write rows 3·part to 3·part + 2 of Bᵀ d B, d being the 6×6 vectors of source from `at`."""
    near, far, edge = np.float32(P2 if part else Q2), np.float32(Q if part else P), part * down
    for j in range(6):  # along the columns, into half[i, j]
        p = at + j * across
        d1 = _simd.load(source, p + down)
        d2 = _simd.load(source, p + 2 * down)
        d3 = _simd.load(source, p + 3 * down)
        d4 = _simd.load(source, p + 4 * down)
        first = _simd.load(source, p + edge)
        third = _simd.load(source, p + edge + 2 * down)
        fifth = _simd.load(source, p + edge + 4 * down)
        even = _simd.plus(d4, d2, -near)
        odd = _simd.plus(d3, d1, -near)
        outer = _simd.plus(_simd.plus(fifth, third, -P2 - Q2), first, P2 * Q2)
        _simd.store(outer, half, (12 * part + j) * WIDTH, 0)
        _simd.store(_simd.plus(even, odd, far), half, (6 - 6 * part + j) * WIDTH, 0)
        _simd.store(_simd.plus(even, odd, -far), half, (12 - 6 * part + j) * WIDTH, 0)
    for i in range(3):  # along its rows
        q, o = 6 * i * WIDTH, to + i * to_down
        d0 = _simd.load(half, q)
        d1 = _simd.load(half, q + WIDTH)
        d2 = _simd.load(half, q + 2 * WIDTH)
        d3 = _simd.load(half, q + 3 * WIDTH)
        d4 = _simd.load(half, q + 4 * WIDTH)
        d5 = _simd.load(half, q + 5 * WIDTH)
        even = _simd.plus(d4, d2, -Q2)
        odd = _simd.plus(d3, d1, -Q2)
        even_q = _simd.plus(d4, d2, -P2)
        odd_q = _simd.plus(d3, d1, -P2)
        _simd.store(_simd.plus(_simd.plus(d4, d2, -P2 - Q2), d0, P2 * Q2), target, o, 0)
        _simd.store(_simd.plus(even, odd, P), target, o + to_across, 0)
        _simd.store(_simd.plus(even, odd, -P), target, o + 2 * to_across, 0)
        _simd.store(_simd.plus(even_q, odd_q, Q), target, o + 3 * to_across, 0)
        _simd.store(_simd.plus(even_q, odd_q, -Q), target, o + 4 * to_across, 0)
        last = _simd.plus(_simd.plus(d5, d3, -P2 - Q2), d1, P2 * Q2)
        _simd.store(last, target, o + 5 * to_across, 0)


@helper
def _turn_gradient(part, outputs, source, at, down, across, half, target, to, to_down, to_across):
    """Write rows 3·part to 3·part + 2 of A dy Aᵀ, dy being the tile of source from `at`.

    The tile has 2, 3 or 4 rows of `outputs`.
    """
    near, far = np.float32(Q2 if part else P2), np.float32(Q if part else P)
    edge = part * (outputs - 1) * down
    for j in range(outputs):  # along the columns, into half[i, j]
        p = at + j * across
        even = _simd.load(source, p)
        odd = _simd.load(source, p + down)
        if outputs > 2:
            even = _simd.plus(even, _simd.load(source, p + 2 * down), near)
        if outputs > 3:
            odd = _simd.plus(odd, _simd.load(source, p + 3 * down), near)
        _simd.store(_simd.load(source, p + edge), half, (8 * part + j) * WIDTH, 0)
        _simd.store(_simd.plus(even, odd, far), half, (4 - 4 * part + j) * WIDTH, 0)
        _simd.store(_simd.plus(even, odd, -far), half, (8 - 4 * part + j) * WIDTH, 0)
    for i in range(3):  # along its rows
        q, o = 4 * i * WIDTH, to + i * to_down
        y0 = _simd.load(half, q)
        y1 = _simd.load(half, q + WIDTH)
        even, odd, even_q, odd_q = y0, y1, y0, y1
        if outputs > 2:
            y2 = _simd.load(half, q + 2 * WIDTH)
            even = _simd.plus(y0, y2, P2)
            even_q = _simd.plus(y0, y2, Q2)
        if outputs > 3:
            y3 = _simd.load(half, q + 3 * WIDTH)
            odd = _simd.plus(y1, y3, P2)
            odd_q = _simd.plus(y1, y3, Q2)
        _simd.store(y0, target, o, 0)
        _simd.store(_simd.plus(even, odd, P), target, o + to_across, 0)
        _simd.store(_simd.plus(even, odd, -P), target, o + 2 * to_across, 0)
        _simd.store(_simd.plus(even_q, odd_q, Q), target, o + 3 * to_across, 0)
        _simd.store(_simd.plus(even_q, odd_q, -Q), target, o + 4 * to_across, 0)
        last = _simd.load(half, q + (outputs - 1) * WIDTH)
        _simd.store(last, target, o + 5 * to_across, 0)


def _add_by(columns):
    """Return the helper for a block of DEEP input channels × `columns` vectors of outputs."""

    @helper
    def add_products(left, right, count, totals, padded, fresh):
        """totals[ci, co] += sum over t of left[t, ci] * right[t, co]; `fresh` ones hold nothing."""
        tile = _simd.zeros(DEEP, columns)
        if not fresh:
            tile = _simd.load_tile(tile, totals, 0, padded)
        for t in range(count):
            tile = _simd.multiply_add(tile, left, t * WIDTH, 1, right, t * columns * WIDTH)
        _simd.store(tile, totals, 0, padded)

    return add_products


_add_two = _add_by(2)
_add_one = _add_by(1)


@helper
def _share(number, shares, total, unit):
    """Return where share `number` of `shares` of `total` numbers begins; parts are whole units."""
    return min(total, number * ((total + unit - 1) // unit) // shares * unit)


@kernel
def _backward_weight(source, dy, on, masked, places, tiles, shares, sums):
    """sums[position, ci, co] = sum over all tiles of (Bᵀ d B)[ci] * (A dy Aᵀ)[co].

    `tiles` at a time are turned. A thread owns three rows of positions, and of both channels, of
    which there are so many `shares`, one.
    """
    tiles_h, tiles_w, outputs, top, left_column = places
    grid = tiles_h, tiles_w, outputs
    shares_in, shares_out = shares
    _, channels, padded = sums.shape
    sizes = source.shape[1], source.shape[2], source.shape[3]
    shape = dy.shape[1], dy.shape[2], dy.shape[3]
    total = dy.shape[0] * tiles_h * tiles_w
    for task in prange(2 * shares_in * shares_out):
        part, share_in = task % 2, task // 2 % shares_in
        first_in = _share(share_in, shares_in, channels, WIDTH)
        deep = _share(share_in + 1, shares_in, channels, WIDTH) - first_in
        first_out = _share(task // 2 // shares_in, shares_out, padded, SPAN)
        wide = _share(task // 2 // shares_in + 1, shares_out, padded, SPAN) - first_out
        left_apart, right_apart = tiles * deep + WIDTH, tiles * wide + WIDTH
        inner = 36 * max(channels, padded) + 18 * WIDTH
        room = np.empty(HALF * (left_apart + right_apart) + inner + LINE, np.float32)
        left = _simd.align(_simd.pointer(room, 0))
        right = _simd.pointer(left, HALF * left_apart)
        half = _simd.pointer(right, HALF * right_apart)
        patch = _simd.pointer(half, 18 * WIDTH)
        numbers, gradient = _simd.pointer(source, 0), _simd.pointer(dy, 0)
        mask, all_sums = _simd.pointer(on, 0), _simd.pointer(sums, 0)
        for first in range(0, total, tiles):
            count = min(tiles, total - first)
            for t in range(count):
                place = tile_at(first + t, grid, top, left_column)
                tile, down = shown(numbers, numbers, False, sizes, place, 6, patch)
                for c in range(0, deep, WIDTH):
                    to = c * tiles + t * WIDTH
                    sides = down, channels, half, left, to, 6 * left_apart, left_apart
                    _turn_input(part, tile, first_in + c, *sides)
                place = tile_at(first + t, grid, 0, 0)
                tile, down = shown(gradient, mask, masked, shape, place, outputs, patch)
                for c in range(0, wide, WIDTH):
                    block = c // SPAN * SPAN
                    to = block * tiles + t * min(SPAN, wide - block) + c - block
                    edges = down, padded, half, right, to, 6 * right_apart, right_apart
                    _turn_gradient(part, outputs, tile, first_out + c, *edges)
            for position in range(HALF):
                for co in range(0, wide, SPAN):
                    columns = _simd.pointer(right, position * right_apart + co * tiles)
                    for ci in range(0, deep, DEEP):
                        at = position * left_apart + ci // WIDTH * WIDTH * tiles + ci % WIDTH
                        rows = _simd.pointer(left, at)
                        place = (HALF * part + position) * channels + first_in + ci
                        totals = _simd.pointer(all_sums, place * padded + first_out + co)
                        if wide - co > WIDTH:
                            _add_two(rows, columns, count, totals, padded, first == 0)
                        else:
                            _add_one(rows, columns, count, totals, padded, first == 0)
        _simd.hold(room)


def _plan(total, channels, filters):
    """Return how many tiles are turned at a time, and how many shares channels in and out have."""
    shares_in = shares_out = 1
    threads = numba.get_num_threads()
    while 2 * shares_in * shares_out < threads:
        if shares_out * SPAN < filters and filters * shares_in >= channels * shares_out:
            shares_out += 1
        elif shares_in * WIDTH < channels:
            shares_in += 1
        else:
            break
    sums = HALF * (channels // shares_in) * (filters // shares_out)
    return min(total, MANY if sums > LARGE else FEW), (shares_in, shares_out)


def weight_gradient(dy, on, x, geometry, dweight):
    """Write dweight from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    _, _, pad_top, pad_left, *_ = geometry
    filters, channels, taps, _ = dweight.shape
    grid = tiles_of(dy, taps)
    source, gradient = as_last(x), as_last(dy)
    masked = on is not None
    mask = (as_last(on) if masked else gradient).reshape(-1)
    deep, padded = _simd.round_up(channels, WIDTH), _simd.round_up(filters, WIDTH)
    sums = empty((36, deep, padded), np.float32)
    total = dy.shape[0] * grid[0] * grid[1]
    if total == 0:
        sums[...] = 0
    tiles, shares = _plan(max(1, total), deep, padded)
    places = *grid, -pad_top, -pad_left
    _backward_weight(source, gradient, mask, masked, places, tiles, shares, sums)
    turn_sums_back(sums, dweight)
