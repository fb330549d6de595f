"""Sigmoid linear unit, the loops of ``reference/silu.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def silu_forward(x, y):
    """Write y[i] = x[i] / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    launch(_forward, y.size, x, zero, one, y)


def silu_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] * s * (1 + x[i] * (1 - s)), where s = 1 / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    launch(_backward_input, dx.size, dy, x, zero, one, dx)


@kernel
def _forward(x, zero, one, y):
    i = cuda.grid(1)
    if i < y.size:
        e = math.exp(-abs(x[i]))
        y[i] = x[i] * (one if x[i] >= zero else e) / (one + e)


@kernel
def _backward_input(dy, x, zero, one, dx):
    i = cuda.grid(1)
    if i < dx.size:
        e = math.exp(-abs(x[i]))
        s = (one if x[i] >= zero else e) / (one + e)
        rest = (e if x[i] >= zero else one) / (one + e)
        dx[i] = dy[i] * s * (one + x[i] * rest)
