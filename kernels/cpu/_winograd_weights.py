"""Winograd's algorithm: turning the weights of a layer, and the sums of their gradient.

Unlike tiles (``_winograd.py``), weights lie in the order of the user's array; so a vector is
gathered first, or scattered last. Both are small beside the products.
"""

import numpy as np

from ..order import empty
from . import _simd
from ._jit import kernel, prange
from ._winograd import turn_back, turn_weight

WIDTH = _simd.WIDTH
SPAN = 2 * WIDTH


@kernel
def _turn_weights(weight, first, steps, channels, filters, turned):
    """Write G g Gᵀ as blocks of SPAN output channels, or WIDTH at the end: (36, ci, co) each.

    Tap k of (ci, co) is weight[first + steps · (co, ci, k)]. A thread owns input channels ci.
    """
    step_co, step_ci, step_k = steps
    deep = (channels + WIDTH - 1) // WIDTH * WIDTH
    padded = (filters + WIDTH - 1) // WIDTH * WIDTH
    for ci in prange(deep):
        taps = np.zeros(9 * padded, np.float32)
        half = np.empty(18 * WIDTH, np.float32)
        if ci < channels:
            for co in range(filters):
                at = first + ci * step_ci + co * step_co
                for k in range(9):
                    taps[k * padded + co] = weight[at + k * step_k]
        taps_, half_, out = _simd.pointer(taps, 0), _simd.pointer(half, 0), _simd.pointer(turned, 0)
        for co in range(0, padded, WIDTH):
            span = min(SPAN, padded - co // SPAN * SPAN)
            to = co // SPAN * SPAN * 36 * deep + ci * span + co % SPAN
            step = deep * span
            turn_weight(taps_, co, 3 * padded, padded, half_, out, to, 6 * step, step)
        _simd.hold(taps)
        _simd.hold(half)


def turned_weights(weight, turn_around):
    """Return the turned weights; `turn_around` exchanges ci and co and rotates by 180°."""
    filters, channels = weight.shape[:2]
    first, steps = 0, (channels * 9, 9, 1)
    if turn_around:
        filters, channels = channels, filters
        first, steps = 8, (9, filters * 9, -1)
    size = 36 * _simd.round_up(channels, WIDTH) * _simd.round_up(filters, WIDTH)
    turned = empty((size,), np.float32)
    _turn_weights(weight.reshape(-1), first, steps, channels, filters, turned)
    return turned


@kernel
def turn_sums_back(sums, dweight):
    """Write dweight = Gᵀ sums G; a thread owns input channels ci."""
    _, deep, padded = sums.shape
    filters, channels, _ = dweight.shape
    for ci in prange(channels):
        room = np.empty(27 * WIDTH, np.float32)
        half = _simd.pointer(room, 0)
        taps = _simd.pointer(room, 18 * WIDTH)
        step = deep * padded
        for co in range(0, padded, WIDTH):
            total = _simd.pointer(sums, ci * padded + co)
            turn_back(total, 0, 6 * step, step, half, taps, 0, 3 * WIDTH, WIDTH)
            for lane in range(min(WIDTH, filters - co)):
                for k in range(9):
                    dweight[co + lane, ci, k] = taps[k * WIDTH + lane]
        _simd.hold(room)
