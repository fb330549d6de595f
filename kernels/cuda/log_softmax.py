"""Logarithm of the softmax, the loops of ``reference/log_softmax.py``, one thread per column.

A thread owns a whole column (n, p): its classes share one maximum and one sum, which the
thread finds alone, without waiting for others. Neighbouring threads own neighbouring p.
Shapes as in ``reference/softmax.py``; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def log_softmax_forward(x, y):
    """Write y; a thread owns one column (n, p)."""
    launch(_forward, x.shape[0] * x.shape[2], x, y)


def log_softmax_backward_input(dy, y, dx):
    """Write dx; a thread owns one column (n, p)."""
    launch(_backward_input, dy.shape[0] * dy.shape[2], dy, y, dx)


@kernel
def _forward(x, y):
    i = cuda.grid(1)
    if i < x.shape[0] * x.shape[2]:
        n, p = unravel2(i, x.shape[2])
        largest = x[n, 0, p]
        for c in range(1, x.shape[1]):
            if x[n, c, p] > largest:
                largest = x[n, c, p]
        total = x.dtype.type(0)
        for c in range(x.shape[1]):
            total += math.exp(x[n, c, p] - largest)
        log_total = math.log(total)
        for c in range(x.shape[1]):
            y[n, c, p] = (x[n, c, p] - largest) - log_total


@kernel
def _backward_input(dy, y, dx):
    i = cuda.grid(1)
    if i < dy.shape[0] * dy.shape[2]:
        n, p = unravel2(i, dy.shape[2])
        total = dy.dtype.type(0)
        for c in range(dy.shape[1]):
            total += dy[n, c, p]
        for c in range(dy.shape[1]):
            dx[n, c, p] = dy[n, c, p] - math.exp(y[n, c, p]) * total
