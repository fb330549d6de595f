"""Softmax, the loops of ``reference/softmax.py`` on every core.

A thread owns whole columns (n, p), since each is normalised by its own sum.
Shapes as in ``reference/softmax.py``; every output array is overwritten.
"""

import math

from ._jit import exact_kernel, prange


@exact_kernel
def softmax_forward(x, y):
    """Write y; a thread owns columns (n, p)."""
    for column in prange(x.shape[0] * x.shape[2]):
        n = column // x.shape[2]
        p = column % x.shape[2]
        largest = x[n, 0, p]
        for c in range(1, x.shape[1]):
            largest = max(largest, x[n, c, p])
        total = x.dtype.type(0)
        for c in range(x.shape[1]):
            e = math.exp(x[n, c, p] - largest)
            y[n, c, p] = e
            total += e
        for c in range(x.shape[1]):
            y[n, c, p] /= total


@exact_kernel
def softmax_backward_input(dy, y, dx):
    """Write dx; a thread owns columns (n, p)."""
    for column in prange(dy.shape[0] * dy.shape[2]):
        n = column // dy.shape[2]
        p = column % dy.shape[2]
        inner = dy.dtype.type(0)
        for c in range(dy.shape[1]):
            inner += dy[n, c, p] * y[n, c, p]
        for c in range(dy.shape[1]):
            dx[n, c, p] = y[n, c, p] * (dy[n, c, p] - inner)
