"""Softplus, y = log(1 + exp(beta * x)) / beta: a smooth max(x, 0).

All arrays are 1-D views of one size; ``i`` is the element. The derivative is the logistic sigmoid
of ``beta * x``. Where ``beta * x`` is above `threshold`, y is x itself and the derivative 1. Every
output array is overwritten. Dugas et al., "Incorporating second-order functional knowledge for
better option pricing", 2001.
"""

import math


def softplus_forward(x, beta, threshold, y):
    """Write y[i] = log(1 + exp(beta * x[i])) / beta."""
    number = x.dtype.type
    zero = number(0)
    sharp = number(beta)
    limit = number(threshold)
    for i in range(x.shape[0]):
        v = sharp * x[i]
        smooth = max(v, zero) + math.log1p(math.exp(-abs(v)))
        y[i] = x[i] if v > limit else smooth / sharp


def softplus_backward_input(dy, x, beta, threshold, dx):
    """Write dx[i] = dy[i] / (1 + exp(-beta * x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    sharp = number(beta)
    limit = number(threshold)
    for i in range(x.shape[0]):
        v = sharp * x[i]
        e = math.exp(-abs(v))
        s = (one if v >= zero else e) / (one + e)
        dx[i] = dy[i] if v > limit else dy[i] * s
