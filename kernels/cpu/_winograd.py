"""The steps of Winograd's algorithm F(m×m, r×r), m + r = 7, that turn tiles: small fixed matrices.

A tile is turned along its columns, then along its rows; each instruction does so for a vector of
channels, which lie side by side.
"""

import numpy as np

from . import _simd
from ._jit import helper

WIDTH = _simd.WIDTH

# The matrices evaluate polynomials at 0, ±P, ±Q and infinity. 1 and 2 would spare two
# multiplications; these numbers cost a third of the rounding errors (and float32 holds them,
# their squares and cubes exactly).
P, Q = 3 / 4, 3 / 2
P2, Q2 = P * P, Q * Q
DIFFERENCE = P2 - Q2
POINTS = np.array([0, P, -P, Q, -Q])


def weights_matrix(taps):
    """Return G (6, taps): the powers of each point over its distances from the others."""
    apart = [np.prod([one - other for other in POINTS if other != one]) for one in POINTS]
    powers = np.vander(POINTS, taps, increasing=True) / np.array(apart)[:, None]
    return np.vstack([powers, np.eye(1, taps, taps - 1)])


def outputs_matrix(outputs):
    """Return Aᵀ (outputs, 6): the powers of the points, and infinity."""
    powers = np.vander(POINTS, outputs, increasing=True).T
    return np.column_stack([powers, np.eye(1, outputs, outputs - 1).T])


((G00, _, _), (G10, G11, G12), _, (G30, G31, G32)) = weights_matrix(3)[:4].tolist()


@helper
def turn_input(source, at, down, across, half, target, to, to_down, to_across):
    """Write Bᵀ d B of the 6×6 vectors of source from `at` to the 6×6 of target from `to`."""
    for axis in range(2):
        if axis == 0:  # along the columns, into half[i, j]
            a, p, step_i, step_j, count = source, at, down, across, 6
            b, q, next_i, next_j = half, 0, 6 * WIDTH, WIDTH
        else:  # along its rows
            a, p, step_i, step_j, count = half, 0, WIDTH, 6 * WIDTH, 6
            b, q, next_i, next_j = target, to, to_across, to_down
        for j in range(count):
            d0 = _simd.load(a, p + j * step_j)
            d1 = _simd.load(a, p + j * step_j + step_i)
            d2 = _simd.load(a, p + j * step_j + 2 * step_i)
            d3 = _simd.load(a, p + j * step_j + 3 * step_i)
            d4 = _simd.load(a, p + j * step_j + 4 * step_i)
            d5 = _simd.load(a, p + j * step_j + 5 * step_i)
            even = _simd.plus(d4, d2, -Q2)
            odd = _simd.plus(d3, d1, -Q2)
            even_q = _simd.plus(d4, d2, -P2)
            odd_q = _simd.plus(d3, d1, -P2)
            o = q + j * next_j
            _simd.store(_simd.plus(_simd.plus(d4, d2, -P2 - Q2), d0, P2 * Q2), b, o, 0)
            _simd.store(_simd.plus(even, odd, P), b, o + next_i, 0)
            _simd.store(_simd.plus(even, odd, -P), b, o + 2 * next_i, 0)
            _simd.store(_simd.plus(even_q, odd_q, Q), b, o + 3 * next_i, 0)
            _simd.store(_simd.plus(even_q, odd_q, -Q), b, o + 4 * next_i, 0)
            _simd.store(_simd.plus(_simd.plus(d5, d3, -P2 - Q2), d1, P2 * Q2), b, o + 5 * next_i, 0)


@helper
def turn_output(outputs, source, at, down, across, half, target, to, to_down, to_across):
    """Write Aᵀ m A of the 6×6 vectors of source from `at` to the tile of target from `to`.

    The tile has 2, 3 or 4 rows of `outputs`.
    """
    for axis in range(2):
        if axis == 0:  # along the columns, into half[i, j]
            a, p, step_i, step_j, count = source, at, down, across, 6
            b, q, next_i, next_j = half, 0, 6 * WIDTH, WIDTH
        else:  # along its rows
            a, p, step_i, step_j, count = half, 0, WIDTH, 6 * WIDTH, outputs
            b, q, next_i, next_j = target, to, to_across, to_down
        for j in range(count):
            m0 = _simd.load(a, p + j * step_j)
            m1 = _simd.load(a, p + j * step_j + step_i)
            m2 = _simd.load(a, p + j * step_j + 2 * step_i)
            m3 = _simd.load(a, p + j * step_j + 3 * step_i)
            m4 = _simd.load(a, p + j * step_j + 4 * step_i)
            m5 = _simd.load(a, p + j * step_j + 5 * step_i)
            even = _simd.plus(m1, m2, 1)
            odd = _simd.times(_simd.plus(m1, m2, -1), P)
            even_q = _simd.plus(m3, m4, 1)
            odd_q = _simd.times(_simd.plus(m3, m4, -1), Q)
            o = q + j * next_j
            _simd.store(_simd.plus(_simd.plus(m0, even, 1), even_q, 1), b, o, 0)
            second = _simd.plus(odd, odd_q, 1)
            if outputs == 2:  # the last row alone is the one with the point at infinity
                _simd.store(_simd.plus(second, m5, 1), b, o + next_i, 0)
                continue
            _simd.store(second, b, o + next_i, 0)
            third = _simd.plus(_simd.times(even, P2), even_q, Q2)
            if outputs == 3:
                _simd.store(_simd.plus(third, m5, 1), b, o + 2 * next_i, 0)
                continue
            _simd.store(third, b, o + 2 * next_i, 0)
            _simd.store(_simd.plus(_simd.plus(m5, odd, P2), odd_q, Q2), b, o + 3 * next_i, 0)


@helper
def turn_weight(source, at, down, across, half, target, to, to_down, to_across):
    """Write G g Gᵀ of the 3×3 vectors of source from `at` to the 6×6 of target from `to`."""
    for axis in range(2):
        if axis == 0:  # along the columns, into half[i, j]
            a, p, step_i, step_j, count = source, at, down, across, 3
            b, q, next_i, next_j = half, 0, 3 * WIDTH, WIDTH
        else:  # along its rows
            a, p, step_i, step_j, count = half, 0, WIDTH, 3 * WIDTH, 6
            b, q, next_i, next_j = target, to, to_across, to_down
        for j in range(count):
            g0 = _simd.load(a, p + j * step_j)
            g1 = _simd.load(a, p + j * step_j + step_i)
            g2 = _simd.load(a, p + j * step_j + 2 * step_i)
            even = _simd.plus(_simd.times(g0, G10), g2, G12)
            even_q = _simd.plus(_simd.times(g0, G30), g2, G32)
            o = q + j * next_j
            _simd.store(_simd.times(g0, G00), b, o, 0)
            _simd.store(_simd.plus(even, g1, G11), b, o + next_i, 0)
            _simd.store(_simd.plus(even, g1, -G11), b, o + 2 * next_i, 0)
            _simd.store(_simd.plus(even_q, g1, G31), b, o + 3 * next_i, 0)
            _simd.store(_simd.plus(even_q, g1, -G31), b, o + 4 * next_i, 0)
            _simd.store(g2, b, o + 5 * next_i, 0)


@helper
def turn_back(source, at, down, across, half, target, to, to_down, to_across):
    """Write Gᵀ m G of the 6×6 vectors of source from `at` to the 3×3 of target from `to`."""
    for axis in range(2):
        if axis == 0:  # along the columns, into half[i, j]
            a, p, step_i, step_j, count = source, at, down, across, 6
            b, q, next_i, next_j = half, 0, 6 * WIDTH, WIDTH
        else:  # along its rows
            a, p, step_i, step_j, count = half, 0, WIDTH, 6 * WIDTH, 3
            b, q, next_i, next_j = target, to, to_across, to_down
        for j in range(count):
            m0 = _simd.load(a, p + j * step_j)
            m1 = _simd.load(a, p + j * step_j + step_i)
            m2 = _simd.load(a, p + j * step_j + 2 * step_i)
            m3 = _simd.load(a, p + j * step_j + 3 * step_i)
            m4 = _simd.load(a, p + j * step_j + 4 * step_i)
            m5 = _simd.load(a, p + j * step_j + 5 * step_i)
            even = _simd.plus(m1, m2, 1)
            even_q = _simd.plus(m3, m4, 1)
            o = q + j * next_j
            first = _simd.plus(_simd.times(m0, G00), even, G10)
            _simd.store(_simd.plus(first, even_q, G30), b, o, 0)
            middle = _simd.times(_simd.plus(m1, m2, -1), G11)
            _simd.store(_simd.plus(middle, _simd.plus(m3, m4, -1), G31), b, o + next_i, 0)
            last = _simd.plus(m5, even, G12)
            _simd.store(_simd.plus(last, even_q, G32), b, o + 2 * next_i, 0)


@helper
def turn_by(matrix, rows, terms, source, at, down, across, half, target, to, to_down, to_across):
    """Write M s Mᵀ of the terms×terms vectors of source to the rows×rows of target from `to`.

    For the weights of kernels other than 3×3: M is a table, its rows share no sums.
    """
    for axis in range(2):
        if axis == 0:  # along the columns, into half[i, j]
            a, p, step_i, step_j, count = source, at, down, across, terms
            b, q, next_i, next_j = half, 0, 6 * WIDTH, WIDTH
        else:  # along its rows
            a, p, step_i, step_j, count = half, 0, WIDTH, 6 * WIDTH, rows
            b, q, next_i, next_j = target, to, to_across, to_down
        for j in range(count):
            for i in range(rows):
                total = _simd.zeros(1, 1)
                for k in range(terms):
                    term = _simd.load(a, p + j * step_j + k * step_i)
                    total = _simd.plus(total, term, matrix[i * terms + k])
                _simd.store(total, b, q + j * next_j + i * next_i, 0)


@helper
def load_patch(source, on, masked, sizes, place, size, padded, patch):
    """patch[i, j, c] = source[n, top + i, left + j, c], zeros where there is no such number.

    sizes is (rows, columns, channels) of the pictures. Where a mask is given, numbers count as 0
    wherever `on` isn't positive.
    """
    rows, width, channels = sizes
    n, top, left = place
    for i in range(size):
        for j in range(size):
            inside = 0 <= top + i < rows and 0 <= left + j < width
            at = ((n * rows + top + i) * width + left + j) * channels
            for c in range(0, padded, WIDTH):
                lanes = channels - c if inside else 0
                pixel = _simd.load_some(source, at + c, lanes)
                if masked:
                    pixel = _simd.where_positive(pixel, _simd.load_some(on, at + c, lanes))
                _simd.store(pixel, patch, (i * size + j) * padded + c, 0)


@helper
def shown(source, on, masked, sizes, place, size, patch):
    """Return (pointer to a tile of size × size pixels, how far its rows are apart).

    That is where the tile lies; or `patch`, if it has to be copied there with zeros put in.
    """
    rows, width, channels = sizes
    n, top, left = place
    padded = (channels + WIDTH - 1) // WIDTH * WIDTH
    inside = top >= 0 and left >= 0 and top + size <= rows and left + size <= width
    if inside and not masked and padded == channels:
        return _simd.pointer(source, ((n * rows + top) * width + left) * channels), width * channels
    load_patch(source, on, masked, sizes, place, size, padded, patch)
    return patch, size * padded


@helper
def tile_at(tile, tiles, top, left):
    """Return picture, row and column where tile number `tile` of all pictures begins.

    tiles is (rows and columns of a picture's tiles, outputs in a row of a tile).
    """
    tiles_h, tiles_w, outputs = tiles
    n = tile // (tiles_h * tiles_w)
    return n, tile // tiles_w % tiles_h * outputs + top, tile % tiles_w * outputs + left


def tiles_of(y, taps):
    """Return rows and columns of tiles of outputs y, and outputs in a row of a tile."""
    outputs = 7 - taps
    return -(-y.shape[2] // outputs), -(-y.shape[3] // outputs), outputs
