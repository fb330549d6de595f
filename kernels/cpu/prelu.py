"""Leaky ReLU with a learned slope, the loops of ``reference/prelu.py`` on every core.

A thread owns rows (n, c). The gradient of a slope is added up in two steps, since its terms lie
in many rows: first one sum for each row, then, by the thread that owns channel c, the sums of its
rows in the order of n. Both orders are fixed, so the number of threads changes nothing.
Shapes as in ``reference/prelu.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import kernel, prange
from ._reduce import sum_channels


@kernel
def prelu_forward(x, weight, y):
    """Write y[n, c, p] = x[n, c, p] where it is positive, else weight[c] * x[n, c, p]."""
    zero = x.dtype.type(0)
    for row in prange(x.shape[0] * x.shape[1]):
        n = row // x.shape[1]
        c = row % x.shape[1]
        slope = weight[c]
        for p in range(x.shape[2]):
            value = x[n, c, p]
            y[n, c, p] = value if value > zero else slope * value


@kernel
def prelu_backward_input(dy, x, weight, dx):
    """Write dx[n, c, p] = dy[n, c, p] where x is positive, else weight[c] * dy[n, c, p]."""
    zero = x.dtype.type(0)
    for row in prange(x.shape[0] * x.shape[1]):
        n = row // x.shape[1]
        c = row % x.shape[1]
        slope = weight[c]
        for p in range(x.shape[2]):
            upstream = dy[n, c, p]
            dx[n, c, p] = upstream if x[n, c, p] > zero else slope * upstream


def prelu_backward_weight(dy, x, dweight):
    """Write dweight[c] = sum of dy[n, c, p] * x[n, c, p] over the n, p where x isn't positive."""
    sums = np.empty((x.shape[0], x.shape[1], 1), x.dtype)
    _sum_rows(dy, x, sums)
    sum_channels(sums, dweight)


@kernel
def _sum_rows(dy, x, sums):
    zero = x.dtype.type(0)
    for row in prange(x.shape[0] * x.shape[1]):
        n = row // x.shape[1]
        c = row % x.shape[1]
        total = zero
        for p in range(x.shape[2]):
            value = x[n, c, p]
            total += zero if value > zero else dy[n, c, p] * value
        sums[n, c, 0] = total
