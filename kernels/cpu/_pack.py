"""Weights in the order in which ``conv2d_direct.py`` needs them: vectors of output channels.

The user's array holds the taps of a pair of channels side by side; a vector holds 16 output
channels, whose weights lie far apart there. So both kernels go through the array in pieces that
stay in the fastest cache: SIDE input channels of WIDTH output channels, all taps.
"""

import numpy as np

from ..order import empty
from . import _simd
from ._jit import helper, kernel, prange

WIDTH = _simd.WIDTH
SPAN = 2 * WIDTH
LINE = _simd.LINE
SIDE = 16  # input channels of a piece


@helper
def _gather_rows(weight, count, lanes, step, rows):
    """rows[k, lane] = weight[lane * step + k], 0 where there is no such lane."""
    fours = count // 4 * 4 if lanes == WIDTH else 0
    for k in range(0, fours, 4):
        _simd.store(_simd.load_across(weight, k, step), rows, k * WIDTH, WIDTH)
    for k in range(fours, count):
        for lane in range(lanes):
            rows[k * WIDTH + lane] = weight[lane * step + k]
        for lane in range(lanes, WIDTH):
            rows[k * WIDTH + lane] = np.float32(0)


@kernel
def _pack(weight, area, taps, into, steps, groups, own, packed):
    """Write the weights in the order in which they are needed, as vectors of output channels.

    The weight of (group, output channel, tap, input channel) is weight[taps[t] + (input channel,
    output channel, group) · steps], and `area` taps lie side by side. Channels of a group are
    filled up with zeros to whole vectors; blocks are SPAN wide, the last of a group perhaps WIDTH.
    A thread owns pieces.
    """
    step_in, step_out, step_group = steps
    padded = (own + WIDTH - 1) // WIDTH * WIDTH
    vectors = padded // WIDTH
    pieces = (into + SIDE - 1) // SIDE
    for task in prange(groups * vectors * pieces):
        group = task // (vectors * pieces)
        co = task // pieces % vectors * WIDTH
        lanes = min(WIDTH, own - co)
        room = np.empty(SIDE * area * WIDTH + LINE, np.float32)
        rows = _simd.align(_simd.pointer(room, 0))
        begin = task % pieces * SIDE
        count = min(SIDE, into - begin)
        first = _simd.pointer(weight, group * step_group + co * step_out + begin * step_in)
        once = count if step_in == area else 1  # input channels that lie side by side
        for ci in range(0, count, once):
            to = _simd.pointer(rows, ci * area * WIDTH)
            _gather_rows(_simd.pointer(first, ci * step_in), once * area, lanes, step_out, to)
        span = min(SPAN, padded - co // SPAN * SPAN)
        block = (group * padded + co // SPAN * SPAN) * taps.size * into + co % SPAN
        target = _simd.pointer(packed, block + begin * span)
        for t in range(taps.size):
            for ci in range(count):
                vector = _simd.load(rows, (ci * area + taps[t]) * WIDTH)
                _simd.store(vector, target, (t * into + ci) * span, 0)
        _simd.hold(room)


def packed_weights(weight, taps, into, steps, groups, own):
    """Return the weights packed for `own` output and `into` input channels in each group."""
    area = weight.size // (into * own * groups)
    size = groups * _simd.round_up(own, WIDTH) * taps.size * into
    packed = empty((size,), np.float32)
    _pack(weight.reshape(-1), area, taps, into, steps, groups, own, packed)
    return packed


@helper
def _scatter(rows, count, lanes, target, step):
    """target[lane * step + k] = rows[k, lane]."""
    fours = count // 4 * 4 if lanes == WIDTH else 0
    for k in range(0, fours, 4):
        four = _simd.load_tile(_simd.zeros(4, 1), rows, k * WIDTH, WIDTH)
        _simd.store_across(four, target, k, step)
    for lane in range(lanes):
        for k in range(fours, count):
            target[lane * step + k] = rows[k * WIDTH + lane]


@kernel
def unpack_sums(sums, side_by_side, dweight):
    """Write dweight (group, co, ci, tap): the partial sums of all slices, in order.

    sums is (slices, groups, rows of taps, numbers in a row, padded co), where a row has
    `side_by_side` taps of all input channels. A thread owns pieces.
    """
    slices, groups, lines, deep, padded = sums.shape
    _, own, into, taps = dweight.shape
    vectors = (own + WIDTH - 1) // WIDTH
    pieces = (into + SIDE - 1) // SIDE
    apart = groups * lines * deep * padded
    for task in prange(groups * vectors * pieces):
        group = task // (vectors * pieces)
        co = task // pieces % vectors * WIDTH
        room = np.empty(SIDE * taps * WIDTH + LINE, np.float32)
        rows = _simd.align(_simd.pointer(room, 0))
        numbers = _simd.pointer(sums, 0)
        begin = task % pieces * SIDE
        end = min(into, begin + SIDE)
        for t in range(taps):
            line = (group * lines + t // side_by_side) * deep + t % side_by_side * into
            for ci in range(begin, end):
                at = (line + ci) * padded + co
                total = _simd.load(numbers, at)
                for piece in range(1, slices):
                    total = _simd.plus(total, _simd.load(numbers, at + piece * apart), 1)
                _simd.store(total, rows, ((ci - begin) * taps + t) * WIDTH, 0)
        first = ((group * own + co) * into + begin) * taps
        target = _simd.pointer(dweight, first)
        _scatter(rows, (end - begin) * taps, min(WIDTH, own - co), target, into * taps)
        _simd.hold(room)


def padded_bias(bias, groups):
    """Return bias with zeros where `_pack` fills up."""
    padded = np.zeros((groups, _simd.round_up(bias.size // groups, WIDTH)), np.float32)
    padded[:, : bias.size // groups] = bias.reshape(groups, -1)
    return padded.reshape(-1)
