"""Winograd's algorithm: turning the weights of a layer, and the sums of their gradient.

Unlike tiles (``_winograd.py``), weights lie in the order of the user's array; so a vector is
gathered first, or scattered last. Both are small beside the products.
"""

import functools

import numpy as np

from ..order import empty
from . import _simd
from ._jit import kernel, prange
from ._winograd import turn_back, turn_by, turn_weight, weights_matrix

WIDTH = _simd.WIDTH
SPAN = 2 * WIDTH


@kernel
def _turn_weights(weight, first, steps, taps, matrix, channels, filters, turned):
    """Write G g Gᵀ, a block (36, ci, co) for SPAN output channels, or WIDTH at the end.

    g has taps × taps weights, matrix is G. Tap k of (ci, co) is weight[first + steps ·
    (co, ci, k)]. A thread owns input channels ci.
    """
    step_co, step_ci, step_k = steps
    deep = (channels + WIDTH - 1) // WIDTH * WIDTH
    padded = (filters + WIDTH - 1) // WIDTH * WIDTH
    for ci in prange(deep):
        square = np.zeros(taps * taps * padded, np.float32)
        half = np.empty(36 * WIDTH, np.float32)
        if ci < channels:
            for co in range(filters):
                at = first + ci * step_ci + co * step_co
                for k in range(taps * taps):
                    square[k * padded + co] = weight[at + k * step_k]
        given, half_ = _simd.pointer(square, 0), _simd.pointer(half, 0)
        out, factors = _simd.pointer(turned, 0), _simd.pointer(matrix, 0)
        for co in range(0, padded, WIDTH):
            span = min(SPAN, padded - co // SPAN * SPAN)
            to = co // SPAN * SPAN * 36 * deep + ci * span + co % SPAN
            step = deep * span
            tile = given, co, taps * padded, padded, half_, out, to, 6 * step, step
            if taps == 3:
                turn_weight(*tile)
            else:
                turn_by(factors, 6, taps, *tile)
        _simd.hold(square)
        _simd.hold(half)


@functools.cache
def _matrix(taps):
    return weights_matrix(taps).astype(np.float32)


def turned_weights(weight, turn_around):
    """Return the turned weights; `turn_around` exchanges ci and co and rotates by 180°."""
    filters, channels, taps, _ = weight.shape
    area = taps * taps
    first, steps = 0, (channels * area, area, 1)
    if turn_around:
        filters, channels = channels, filters
        first, steps = area - 1, (area, filters * area, -1)
    size = 36 * _simd.round_up(channels, WIDTH) * _simd.round_up(filters, WIDTH)
    turned = empty((size,), np.float32)
    matrix = _matrix(taps).reshape(-1)
    _turn_weights(weight.reshape(-1), first, steps, taps, matrix, channels, filters, turned)
    return turned


@kernel
def _turn_sums_back(sums, taps, matrix, dweight):
    """Write dweight = Gᵀ sums G; matrix is Gᵀ. A thread owns input channels ci."""
    _, deep, padded = sums.shape
    filters, channels, area = dweight.shape
    for ci in prange(channels):
        room = np.empty(72 * WIDTH, np.float32)
        half = _simd.pointer(room, 0)
        square = _simd.pointer(room, 36 * WIDTH)
        step = deep * padded
        for co in range(0, padded, WIDTH):
            total = _simd.pointer(sums, ci * padded + co)
            tile = total, 0, 6 * step, step, half, square, 0, taps * WIDTH, WIDTH
            if taps == 3:
                turn_back(*tile)
            else:
                turn_by(_simd.pointer(matrix, 0), taps, 6, *tile)
            for lane in range(min(WIDTH, filters - co)):
                for k in range(area):
                    dweight[co + lane, ci, k] = square[k * WIDTH + lane]
        _simd.hold(room)


def turn_sums_back(sums, dweight):
    """Write dweight (co, ci, r, r) = Gᵀ sums G."""
    filters, channels, taps, _ = dweight.shape
    matrix = np.ascontiguousarray(_matrix(taps).T).reshape(-1)
    _turn_sums_back(sums, taps, matrix, dweight.reshape(filters, channels, -1))
