"""Sigmoid linear unit, y = x / (1 + exp(-x)), also called swish.

All arrays are 1-D views of one size; ``i`` is the element. With ``s = 1 / (1 + exp(-x))`` the
derivative is ``s + x * s * (1 - s)``. exp() is only ever taken of a number that isn't positive.
Every output array is overwritten. Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for
neural network function approximation in reinforcement learning", 2018.
"""

import math


def silu_forward(x, y):
    """Write y[i] = x[i] / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    for i in range(x.shape[0]):
        e = math.exp(-abs(x[i]))
        y[i] = x[i] * (one if x[i] >= zero else e) / (one + e)


def silu_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] * s * (1 + x[i] * (1 - s)), where s = 1 / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    for i in range(x.shape[0]):
        e = math.exp(-abs(x[i]))
        s = (one if x[i] >= zero else e) / (one + e)
        rest = (e if x[i] >= zero else one) / (one + e)
        dx[i] = dy[i] * s * (one + x[i] * rest)
