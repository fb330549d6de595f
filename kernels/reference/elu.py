"""Exponential linear unit, y = scale * x where x > 0, else scale * alpha * (exp(x) - 1).

All arrays are 1-D views of one size; ``i`` is the element. On the left the derivative is
``scale * alpha * exp(x)``; exp() is only ever taken of a number that isn't positive. Every output
array is overwritten. Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning
by exponential linear units", 2016; with two certain numbers this is SELU: Klambauer et al.,
"Self-normalizing neural networks", 2017.
"""

import math


def elu_forward(x, alpha, scale, y):
    """Write y[i] = scale * x[i] where it is positive, else scale * alpha * (exp(x[i]) - 1)."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    for i in range(x.shape[0]):
        y[i] = left * math.expm1(x[i]) if x[i] <= zero else right * x[i]


def elu_backward_input(dy, x, alpha, scale, dx):
    """Write dx[i] = dy[i] * scale * (1 where x[i] is positive, else alpha * exp(x[i]))."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    for i in range(x.shape[0]):
        slope = left * math.exp(x[i]) if x[i] <= zero else right
        dx[i] = dy[i] * slope
