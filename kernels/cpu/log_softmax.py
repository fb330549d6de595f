"""Logarithm of the softmax, the loops of ``reference/log_softmax.py`` on every core.

A thread owns whole columns (n, p). Shapes as in ``reference/softmax.py``; every output array is
overwritten.
"""

import math

from ._functions import exp
from ._jit import exact_kernel, prange
from ._softmax import exponentials


@exact_kernel
def log_softmax_forward(x, y):
    """Write y; a thread owns columns (n, p)."""
    for column in prange(x.shape[0] * x.shape[2]):
        n = column // x.shape[2]
        p = column % x.shape[2]
        largest, total = exponentials(x, n, p, y)
        log_total = math.log(total)
        for c in range(x.shape[1]):
            y[n, c, p] = (x[n, c, p] - largest) - log_total


@exact_kernel
def log_softmax_backward_input(dy, y, dx):
    """Write dx; a thread owns columns (n, p)."""
    for column in prange(dy.shape[0] * dy.shape[2]):
        n = column // dy.shape[2]
        p = column % dy.shape[2]
        total = dy.dtype.type(0)
        for c in range(dy.shape[1]):
            total += dy[n, c, p]
        for c in range(dy.shape[1]):
            dx[n, c, p] = dy[n, c, p] - exp(y[n, c, p]) * total
