"""Exponential linear unit, the loops of ``reference/elu.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def elu_forward(x, alpha, scale, y):
    """Write y[i] = scale * x[i] where it is positive, else scale * alpha * (exp(x[i]) - 1)."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    launch(_forward, y.size, x, zero, right, left, y)


def elu_backward_input(dy, x, alpha, scale, dx):
    """Write dx[i] = dy[i] * scale * (1 where x[i] is positive, else alpha * exp(x[i]))."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    launch(_backward_input, dx.size, dy, x, zero, right, left, dx)


@kernel
def _forward(x, zero, right, left, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = left * math.expm1(x[i]) if x[i] <= zero else right * x[i]


@kernel
def _backward_input(dy, x, zero, right, left, dx):
    i = cuda.grid(1)
    if i < dx.size:
        slope = left * math.exp(x[i]) if x[i] <= zero else right
        dx[i] = dy[i] * slope
