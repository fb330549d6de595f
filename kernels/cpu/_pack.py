"""Weights in the order in which ``conv2d_direct.py`` needs them: vectors of output channels."""

import numpy as np

from ..order import empty
from . import _simd
from ._jit import kernel, prange

WIDTH = _simd.WIDTH
SPAN = 2 * WIDTH


@kernel
def _pack(weight, terms, step, groups, outputs, packed):
    """Write the weights in the order in which they are needed, as vectors of output channels.

    Term k of output channel co is weight[terms[k] + co * step]. Channels of a group are filled up
    with zeros to whole vectors; blocks are SPAN wide, the last of a group perhaps WIDTH. A thread
    owns vectors.
    """
    own = outputs // groups
    padded = (own + WIDTH - 1) // WIDTH * WIDTH
    for task in prange(groups * (padded // WIDTH)):
        group = task // (padded // WIDTH)
        co = task % (padded // WIDTH) * WIDTH
        span = min(SPAN, padded - co // SPAN * SPAN)
        to = (group * padded + co // SPAN * SPAN) * terms.size + co % SPAN
        for k in range(terms.size):
            for lane in range(min(WIDTH, own - co)):
                at = terms[k] + (group * own + co + lane) * step
                packed[to + k * span + lane] = weight[at]
            for lane in range(min(WIDTH, own - co), WIDTH):
                packed[to + k * span + lane] = 0


def packed_weights(weight, terms, step, groups, outputs):
    padded = _simd.round_up(outputs // groups, WIDTH)
    packed = empty((groups * padded * terms.size,), np.float32)
    _pack(weight.reshape(-1), terms, step, groups, outputs, packed)
    return packed


def packed_turned(weight, terms, groups):
    """Return the weights packed for the gradient of the input: outputs are the ci."""
    filters, channels, kernel_h, kernel_w = weight.shape
    area = kernel_h * kernel_w
    size = _simd.round_up(channels, WIDTH) * terms.size
    packed = empty((groups, size), np.float32)
    for group in range(groups):
        first = group * (filters // groups) * channels * area
        _pack(weight.reshape(-1)[first:], terms, area, 1, channels, packed[group])
    return packed.reshape(-1)


def padded_bias(bias, groups):
    """Return bias with zeros where `_pack` fills up."""
    padded = np.zeros((groups, _simd.round_up(bias.size // groups, WIDTH)), np.float32)
    padded[:, : bias.size // groups] = bias.reshape(groups, -1)
    return padded.reshape(-1)
