"""Logistic sigmoid, the loops of ``reference/sigmoid.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def sigmoid_forward(x, y):
    """Write y[i] = 1 / (1 + exp(-x[i]))."""
    launch(_forward, y.size, x, y)


def sigmoid_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] * y[i] * (1 - y[i])."""
    launch(_backward_input, dx.size, dy, y, dx)


@kernel
def _forward(x, y):
    i = cuda.grid(1)
    if i < y.size:
        one = x.dtype.type(1)
        e = math.exp(-abs(x[i]))
        y[i] = one / (one + e) if x[i] >= x.dtype.type(0) else e / (one + e)


@kernel
def _backward_input(dy, y, dx):
    i = cuda.grid(1)
    if i < dx.size:
        one = dy.dtype.type(1)
        dx[i] = dy[i] * y[i] * (one - y[i])
