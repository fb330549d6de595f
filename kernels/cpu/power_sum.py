"""Sum of powers, the loops of ``reference/power_sum.py`` on every core.

Forward: the numbers are cut into pieces of 4096, wherever threads begin and end. A thread owns
the sums of whole pieces; they are then added up in their order. So the number of threads changes
no bit. Backward: every element is independent. Shapes as in ``reference/power_sum.py``; every
output array is overwritten.
"""

import math

import numpy as np

from ._jit import helper, kernel, prange

PIECE = 4096


def power_sum_forward(x, power, total):
    """Write total[0] = sum of |x[i]| ** power, or the largest |x[i]| where power is infinite."""
    pieces = np.empty(-(-x.size // PIECE), np.float64)
    _sum_pieces(x, float(power), pieces)
    total[0] = pieces.max(initial=0.0) if power == math.inf else pieces.sum()


@helper
def _largest(x):
    found = 0.0
    for i in range(x.size):
        size = np.float64(abs(x[i]))
        found = size if size > found or size != size else found
    return found


@helper
def _add_up(x, power):
    found = 0.0
    if power == 1:
        for i in range(x.size):
            found += np.float64(abs(x[i]))
    elif power == 2:
        for i in range(x.size):
            found += np.float64(x[i]) * np.float64(x[i])
    else:
        for i in range(x.size):
            found += np.float64(abs(x[i])) ** power
    return found


@kernel
def _sum_pieces(x, power, pieces):
    for piece in prange(pieces.size):
        own = x[piece * PIECE : (piece + 1) * PIECE]
        pieces[piece] = _largest(own) if power == math.inf else _add_up(own, power)


@kernel
def power_sum_backward_input(x, power, dtotal, dx):
    """Write dx[i] = dtotal * power * |x[i]| ** (power - 1) * sign(x[i])."""
    number = x.dtype.type
    zero = number(0)
    slope = number(dtotal * power)
    exponent = number(power - 1)
    for i in prange(x.shape[0]):
        if power == 1:
            negative = -slope if x[i] < zero else slope * x[i]  # 0 or NaN
            dx[i] = slope if x[i] > zero else negative
        elif power == 2:
            dx[i] = slope * x[i]
        else:
            size = slope * abs(x[i]) ** exponent
            dx[i] = -size if x[i] < zero else size
