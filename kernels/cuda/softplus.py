"""Softplus, the loops of ``reference/softplus.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def softplus_forward(x, beta, threshold, y):
    """Write y[i] = log(1 + exp(beta * x[i])) / beta."""
    number = x.dtype.type
    zero = number(0)
    sharp = number(beta)
    limit = number(threshold)
    launch(_forward, y.size, x, zero, sharp, limit, y)


def softplus_backward_input(dy, x, beta, threshold, dx):
    """Write dx[i] = dy[i] / (1 + exp(-beta * x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    sharp = number(beta)
    limit = number(threshold)
    launch(_backward_input, dx.size, dy, x, zero, one, sharp, limit, dx)


@kernel
def _forward(x, zero, sharp, limit, y):
    i = cuda.grid(1)
    if i < y.size:
        v = sharp * x[i]
        smooth = max(v, zero) + math.log1p(math.exp(-abs(v)))
        y[i] = x[i] if v > limit else smooth / sharp


@kernel
def _backward_input(dy, x, zero, one, sharp, limit, dx):
    i = cuda.grid(1)
    if i < dx.size:
        v = sharp * x[i]
        e = math.exp(-abs(v))
        s = (one if v >= zero else e) / (one + e)
        dx[i] = dy[i] if v > limit else dy[i] * s
