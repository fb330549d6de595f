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
LINE = _simd.LINE
CHUNK = 16  # input channels whose weights are turned in one go


@kernel
def _turn_weights(weight, first, steps, taps, matrix, channels, filters, turned):
    """Write G g Gᵀ, a block (36, ci, co) for SPAN output channels, or WIDTH at the end.

    g has taps × taps weights, matrix is G. Tap k of (ci, co) is weight[first + steps ·
    (co, ci, k)]. A thread owns WIDTH output channels of CHUNK input channels: it writes 36 runs
    of memory, one vector further apart than they need (`conv2d_winograd.py` says why).
    """
    step_co, step_ci, step_k = steps
    deep = (channels + WIDTH - 1) // WIDTH * WIDTH
    padded = (filters + WIDTH - 1) // WIDTH * WIDTH
    chunks = (deep + CHUNK - 1) // CHUNK
    for task in prange(padded // WIDTH * chunks):
        co = task // chunks * WIDTH
        room = np.zeros((taps * taps + 36) * WIDTH + LINE, np.float32)
        square = _simd.align(_simd.pointer(room, 0))
        half = _simd.pointer(square, taps * taps * WIDTH)
        block = co // SPAN * SPAN
        span = min(SPAN, padded - block)
        step = deep * span + WIDTH
        out = _simd.pointer(turned, 36 * (block * deep + block // SPAN * WIDTH) + co - block)
        lanes = min(WIDTH, filters - co)
        for ci in range(task % chunks * CHUNK, min(deep, (task % chunks + 1) * CHUNK)):
            at = first + ci * step_ci + co * step_co
            for k in range(taps * taps):
                for lane in range(lanes):
                    shown = ci < channels
                    square[k * WIDTH + lane] = (
                        weight[at + lane * step_co + k * step_k] if shown else np.float32(0)
                    )
            tile = square, 0, taps * WIDTH, WIDTH, half, out, ci * span, 6 * step, step
            if taps == 3:
                turn_weight(*tile)
            else:
                turn_by(_simd.pointer(matrix, 0), 6, taps, *tile)
        _simd.hold(room)


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
    deep, padded = _simd.round_up(channels, WIDTH), _simd.round_up(filters, WIDTH)
    size = 36 * (deep * padded + -(-padded // SPAN) * WIDTH)
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
