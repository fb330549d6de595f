"""Matrix product: C = A · B at the machine's peak, for any size, from a plain or turned A, B and C.

Three loops over i, j and k have every number they need, but not where they need it: a column of B
lies scattered over memory, and each of its numbers is read again for every row of A. What is done
about it (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008):

- HIGH rows × SPAN columns of sums stay in registers (`_simd.Tile`) while DEPTH terms are added.
- CHUNK columns of DEPTH rows of B are *packed*: copied to memory of the thread's own, in panels of
  SPAN columns, in the order in which the tiles read them. They stay in the second cache while all
  of A passes by.
- HIGH rows of A, DEPTH terms long, are copied likewise. They stay in the first cache while all
  panels pass by. They keep their order; only their distance changes: rows of A may lie a multiple
  of 4096 bytes apart, and a cache has few places for such addresses.

A thread owns a rectangle of C. Where several need the same part of B, it is packed once for all
of them. A sum is cut after every DEPTH terms, wherever the rectangles are: results don't depend on
the number of threads. What is packed beyond the last row and column is left as it is, since sums
of it are never stored. Float32 only.
"""

import numba
import numpy as np

from ..order import empty
from . import _simd
from ._jit import helper, kernel, prange

WIDTH = _simd.WIDTH
# Rows and vectors of a tile: sums take 24 of 32 registers with AVX-512 and on Arm, 12 of 16 with
# AVX. LOW rows serve what is left over, and must divide HIGH.
HIGH, LOW, COLUMNS = {16: (12, 4, 2), 8: (6, 2, 2), 4: (8, 4, 3)}[WIDTH]
SPAN = COLUMNS * WIDTH
DEPTH = 256
STEP = DEPTH + _simd.LINE  # from one packed row of A to the next
CHUNK = 16 * SPAN  # with DEPTH, half a megabyte or less
NOTHING = np.empty(0, np.float32)
INT = np.int64  # a literal 0 as an argument would compile the helper once more, for 0 alone


@helper
def _up(number, multiple):
    return (number + multiple - 1) // multiple * multiple


def depth_of(terms):
    """Return how many terms are added at a time: at most DEPTH, in pieces as equal as can be."""
    pieces = max(1, -(-terms // DEPTH))
    return max(1, -(-terms // pieces))


# ---- packing --------------------------------------------------------------------------------


@helper
def copy(source, step, rows, columns, target, to_step, jump):
    """target[i, j] = source[i, j], where target jumps after every SPAN columns."""
    whole = columns // WIDTH * WIDTH
    for i in range(rows):
        begin = i * step
        end = i * to_step
        for j in range(0, whole, WIDTH):
            _simd.store(_simd.load(source, begin + j), target, end + j + j // SPAN * jump, 0)
        if whole < columns:
            vector = _simd.load_some(source, begin + whole, columns - whole)
            _simd.store(vector, target, end + whole + whole // SPAN * jump, 0)


@helper
def turn(source, step, rows, columns, target, to_step, jump):
    """target[j, i] = source[i, j], where target jumps after every SPAN rows of source."""
    whole = rows // WIDTH * WIDTH
    fours = columns // 4 * 4
    for i in range(0, whole, WIDTH):
        end = i + i // SPAN * jump
        for j in range(0, fours, 4):
            four = _simd.load_across(source, i * step + j, step)
            _simd.store(four, target, end + j * to_step, to_step)
    for i in range(rows):
        end = i + i // SPAN * jump
        for j in range(fours if i < whole else 0, columns):
            target[end + j * to_step] = source[i * step + j]


@helper
def pack(source, turned, length, row, column, rows, columns, target, to_step, jump):
    """Copy rows × columns numbers of a matrix from (row, column) on.

    The rows of the matrix are `length` numbers apart; if `turned`, its columns are.
    """
    if turned:
        begin = _simd.pointer(source, column * length + row)
        turn(begin, length, columns, rows, target, to_step, jump)
    else:
        begin = _simd.pointer(source, row * length + column)
        copy(begin, length, rows, columns, target, to_step, jump)


# ---- multiplying what is packed ---------------------------------------------------------------


def _tile_of(rows):
    """Return the helper that computes a tile of so many rows."""

    @helper
    def multiply_tile(a, panel, depth, c, step, add):
        """c[i, j] = (c[i, j] if add) + sum over k of a[i, k] * panel[k, j]."""
        tile = _simd.zeros(rows, COLUMNS)
        _simd.prefetch_tile(tile, c, 0, step)
        for k in range(depth):
            tile = _simd.multiply_add(tile, a, k, STEP, panel, k * SPAN)
        if add:
            _simd.add_to(tile, c, 0, step)
        else:
            _simd.store(tile, c, 0, step)

    return multiply_tile


_high_tile = _tile_of(HIGH)
_low_tile = _tile_of(LOW)


@helper
def multiply_rows(a, rows, panels, columns, depth, c, step, add, edge):
    """c[i, j] = (c[i, j] if add) + sum over k of a[i, k] * panels[k, j], for up to HIGH rows.

    edge is room for a tile that isn't whole.
    """
    for j in range(0, columns, SPAN):
        panel = _simd.pointer(panels, j * depth)
        wide = min(SPAN, columns - j)
        if rows == HIGH and wide == SPAN:
            _high_tile(a, panel, depth, _simd.pointer(c, j), step, add)
            continue
        for i in range(0, rows, LOW):
            target = _simd.pointer(c, i * step + j)
            whole = rows - i >= LOW and wide == SPAN
            to, to_step = (target, step) if whole else (edge, SPAN)
            _low_tile(_simd.pointer(a, i * STEP), panel, depth, to, to_step, add and whole)
            if whole:
                continue
            for r in range(min(LOW, rows - i)):
                for p in range(0, wide, WIDTH):
                    sums = _simd.load(edge, r * SPAN + p)
                    if add:
                        sums = _simd.plus(sums, _simd.load_some(target, r * step + p, wide - p), 1)
                    _simd.store_some(sums, target, r * step + p, wide - p)


# ---- the whole product ------------------------------------------------------------------------


@kernel
def _pack_all(b, turned, columns, terms, depth, panels):
    """Write every panel of b, those of the first `depth` terms first; a thread owns chunks."""
    across = (columns + CHUNK - 1) // CHUNK
    for task in prange((terms + depth - 1) // depth * across):
        k = INT(task) // across * depth
        n = INT(task) % across * CHUNK
        high = min(depth, terms - k)
        wide = min(CHUNK, columns - n)
        target = _simd.pointer(panels, k * _up(columns, SPAN) + n * high)
        length = terms if turned else columns
        pack(b, turned, length, k, n, high, wide, target, INT(SPAN), (high - 1) * SPAN)


@helper
def fill(target, step, rows, columns, bias):
    """target[i, j] = bias[i]."""
    for i in range(rows):
        row = _simd.pointer(target, i * step)
        for j in range(columns):
            row[j] = bias[i]


@helper
def _rectangle(a, a_turned, b, b_turned, panels, bias, shape, begin, end, c, c_turned):
    """Write rows and columns of c from `begin` up to `end`."""
    rows, columns, terms, depth = shape
    down, across = end[0] - begin[0], min(CHUNK, end[1] - begin[1])
    sums = HIGH * SPAN + HIGH * STEP
    own = sums + (down * CHUNK if c_turned else 0)
    shared = panels.size > 0
    room = np.empty(own + (0 if shared else _up(across, SPAN) * depth) + _simd.LINE, np.float32)
    edge = _simd.align(_simd.pointer(room, 0))
    packed = _simd.pointer(edge, HIGH * SPAN)
    for n in range(begin[1], end[1], CHUNK):
        wide = min(CHUNK, end[1] - n)
        target = _simd.pointer(edge, sums)
        step = INT(CHUNK)
        if not c_turned:
            target = _simd.pointer(c, begin[0] * columns + n)
            step = columns
        if bias.size:
            fill(target, step, down, wide, _simd.pointer(bias, begin[0]))
        for k in range(0, terms, depth):
            high = min(depth, terms - k)
            right = _simd.pointer(edge, own)
            if shared:
                right = _simd.pointer(panels, k * _up(columns, SPAN) + n * high)
            else:
                length = terms if b_turned else columns
                pack(b, b_turned, length, k, n, high, wide, right, INT(SPAN), (high - 1) * SPAN)
            for m in range(0, down, HIGH):
                some = min(HIGH, down - m)
                length = rows if a_turned else terms
                pack(a, a_turned, length, begin[0] + m, k, some, high, packed, INT(STEP), INT(0))
                to = _simd.pointer(target, m * step)
                add = k > 0 or bias.size > 0
                multiply_rows(packed, some, right, wide, high, to, step, add, edge)
        if c_turned:
            to = _simd.pointer(c, n * rows + begin[0])
            turn(target, step, down, wide, to, rows, INT(0))
    _simd.hold(room)


@kernel
def _multiply(a, a_turned, b, b_turned, panels, bias, shape, grid, c, c_turned):
    """Write c; a thread owns rectangles, grid[0] of them down and grid[1] across."""
    height = _up((shape[0] + grid[0] - 1) // grid[0], LOW)
    width = _up((shape[1] + grid[1] - 1) // grid[1], SPAN)
    for task in prange(grid[0] * grid[1]):
        begin = INT(task) // grid[1] * height, INT(task) % grid[1] * width
        end = min(shape[0], begin[0] + height), min(shape[1], begin[1] + width)
        if begin[0] < end[0] and begin[1] < end[1]:
            _rectangle(a, a_turned, b, b_turned, panels, bias, shape, begin, end, c, c_turned)


def _grid(rows, columns, threads):
    """Return into how many rectangles to cut, down and across: one for each thread.

    The largest should be small. Its area counts, and also its sides, which are what is packed:
    that a number is copied costs about as much as that it is multiplied by 8 others.
    """
    best = None
    for down in range(1, threads + 1):
        if threads % down == 0:
            high = _simd.round_up(-(-rows // down), LOW)
            wide = _simd.round_up(-(-columns * down // threads), SPAN)
            cost = high * wide + 8 * (high + wide), down
            best = min(best, cost) if best else cost
    return best[1], threads // best[1]


def _flat(matrix):
    """Return the numbers of a matrix as they lie, and whether that is column by column."""
    turned = not matrix.flags.c_contiguous
    return (matrix.T if turned else matrix).reshape(-1), turned


def multiply(a, b, bias, c):
    """Write c = a · b, plus bias[i] in row i unless bias is empty (`NOTHING`).

    a (M, K), b (K, N) and c (M, N) are contiguous, or transposes of what is. A transpose of c
    costs a copy, one of a or b next to nothing.
    """
    rows, terms = a.shape
    columns = b.shape[1]
    if not c.size or not terms:
        c[...] = bias[:, None] if bias.size else 0
        return
    depth = depth_of(terms)
    grid = _grid(rows, columns, numba.get_num_threads())
    left, a_turned = _flat(a)
    right, b_turned = _flat(b)
    result, c_turned = _flat(c)
    panels = NOTHING
    if grid[0] > 1:
        panels = empty((_simd.round_up(columns, SPAN) * terms,), np.float32)
        _pack_all(right, b_turned, columns, terms, depth, panels)
    shape = rows, columns, terms, depth
    _multiply(left, a_turned, right, b_turned, panels, bias, shape, grid, result, c_turned)
