"""Softmax, the loops of ``reference/softmax.py`` with one thread per column.

A thread owns a whole column (n, p): its classes share one maximum and one sum, which the
thread finds alone, without waiting for others. Neighbouring threads own neighbouring p.
Shapes as in ``reference/softmax.py``; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def softmax_forward(x, y):
    """Write y; a thread owns one column (n, p)."""
    launch(_forward, x.shape[0] * x.shape[2], x, y)


def softmax_backward_input(dy, y, dx):
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
            e = math.exp(x[n, c, p] - largest)
            y[n, c, p] = e
            total += e
        for c in range(x.shape[1]):
            y[n, c, p] /= total


@kernel
def _backward_input(dy, y, dx):
    i = cuda.grid(1)
    if i < dy.shape[0] * dy.shape[2]:
        n, p = unravel2(i, dy.shape[2])
        inner = dy.dtype.type(0)
        for c in range(dy.shape[1]):
            inner += dy[n, c, p] * y[n, c, p]
        for c in range(dy.shape[1]):
            dx[n, c, p] = y[n, c, p] * (dy[n, c, p] - inner)
