"""Logistic sigmoid, y = 1 / (1 + exp(-x)).

All arrays are 1-D views of one size; ``i`` is the element. exp() is only ever taken of a
number that isn't positive, so nothing overflows. The derivative needs y alone:
``y' = y * (1 - y)``. Every output array is overwritten.
"""

import math


def sigmoid_forward(x, y):
    """Write y[i] = 1 / (1 + exp(-x[i]))."""
    for i in range(x.shape[0]):
        e = math.exp(-abs(x[i]))
        y[i] = 1 / (1 + e) if x[i] >= 0 else e / (1 + e)


def sigmoid_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] * y[i] * (1 - y[i])."""
    for i in range(dy.shape[0]):
        dx[i] = dy[i] * y[i] * (1 - y[i])
