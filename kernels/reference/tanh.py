"""Hyperbolic tangent.

All arrays are 1-D views of one size; ``i`` is the element. The derivative needs y alone:
``y' = 1 - y²``. Every output array is overwritten.
"""

import math


def tanh_forward(x, y):
    """Write y[i] = tanh(x[i])."""
    for i in range(x.shape[0]):
        y[i] = math.tanh(x[i])


def tanh_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] * (1 - y[i]²)."""
    for i in range(dy.shape[0]):
        dx[i] = dy[i] * (1 - y[i] * y[i])
