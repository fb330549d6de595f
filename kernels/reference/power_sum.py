"""Sum of the sizes of numbers, each raised to a power: what norms and penalties are made of.

x and dx are 1-D views of one size, ``i`` is the element; ``total`` is one float64, whatever the
type of x, since squares of float32 numbers soon leave the range of float32. power and dtotal are
numbers.

    total = sum over i of |x[i]| ** power            (power = inf: the largest |x[i]|)
    dx[i] = dtotal * power * |x[i]| ** (power - 1) * sign(x[i])

For power 1 the gradient is the sign alone, with 0 at 0, where the function has its kink; for
power 2 it is ``2 x``. `power` is above 0; the gradient wants a finite one of at least 1. A NaN
makes the total NaN. Every output array is overwritten.
"""

import math

import numpy as np


def power_sum_forward(x, power, total):
    """Write total[0] = sum of |x[i]| ** power, or the largest |x[i]| where power is infinite."""
    found = np.float64(0)
    for i in range(x.shape[0]):
        size = np.float64(abs(x[i]))
        if power == math.inf:
            found = size if size > found or size != size else found
        elif power == 1:
            found += size
        elif power == 2:
            found += size * size
        else:
            found += size**power
    total[0] = found


def power_sum_backward_input(x, power, dtotal, dx):
    """Write dx[i] = dtotal * power * |x[i]| ** (power - 1) * sign(x[i])."""
    number = x.dtype.type
    zero = number(0)
    slope = number(dtotal * power)
    exponent = number(power - 1)
    for i in range(x.shape[0]):
        if power == 1:
            negative = -slope if x[i] < zero else slope * x[i]  # 0 or NaN
            dx[i] = slope if x[i] > zero else negative
        elif power == 2:
            dx[i] = slope * x[i]
        else:
            size = slope * abs(x[i]) ** exponent
            dx[i] = -size if x[i] < zero else size
