"""Sum of powers, the loops of ``reference/power_sum.py`` with at most 1024 sums side by side.

Forward: thread t owns partial sum t, of the elements t, t + T, t + 2 T ... (T threads), so
neighbouring threads read neighbouring elements; one thread of a second launch adds the partial
sums up in their order. Backward: one thread per element; numbers are rounded on the host. Shapes
as in ``reference/power_sum.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._cuda import cuda, kernel, launch
from ._memory import empty

MOST_SUMS = 1024


def power_sum_forward(x, power, total):
    """Write total[0] = sum of |x[i]| ** power, or the largest |x[i]| where power is infinite."""
    sums = empty((max(1, min(x.size, MOST_SUMS)),), np.float64)
    launch(_partial_sums, sums.size, x, float(power), sums)
    launch(_combine, 1, sums, float(power), total)


def power_sum_backward_input(x, power, dtotal, dx):
    """Write dx[i] = dtotal * power * |x[i]| ** (power - 1) * sign(x[i])."""
    number = x.dtype.type
    slope, exponent = number(dtotal * power), number(power - 1)
    launch(_backward_input, dx.size, x, float(power), number(0), slope, exponent, dx)


@kernel(double=True)
def _partial_sums(x, power, sums):
    t = cuda.grid(1)
    if t < sums.size:
        found = 0.0
        for i in range(t, x.size, sums.size):
            size = abs(float(x[i]))
            if power == math.inf:
                found = size if size > found or size != size else found
            elif power == 1.0:
                found += size
            elif power == 2.0:
                found += size * size
            else:
                found += size**power
        sums[t] = found


@kernel(double=True)
def _combine(sums, power, total):
    if cuda.grid(1) == 0:
        found = 0.0
        for t in range(sums.size):
            if power == math.inf:
                found = sums[t] if sums[t] > found or sums[t] != sums[t] else found
            else:
                found += sums[t]
        total[0] = found


@kernel(double=True)
def _backward_input(x, power, zero, slope, exponent, dx):
    i = cuda.grid(1)
    if i < dx.size:
        if power == 1.0:
            negative = -slope if x[i] < zero else slope * x[i]  # 0 or NaN
            dx[i] = slope if x[i] > zero else negative
        elif power == 2.0:
            dx[i] = slope * x[i]
        else:
            size = slope * abs(x[i]) ** exponent
            dx[i] = -size if x[i] < zero else size
