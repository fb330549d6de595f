"""Logarithm of the softmax over the middle axis, without ever forming a tiny probability.

Shapes: x, y (N, C, P), letters as in ``softmax.py``.

    y[c] = (x[c] - m) - log(sum over k of exp(x[k] - m)),   m = max over classes
    dx[c] = dy[c] - exp(y[c]) * sum over k of dy[k]

Every output array is overwritten.
"""

import math


def log_softmax_forward(x, y):
    """Write y; every (n, p) column is independent of the others."""
    for n in range(x.shape[0]):
        for p in range(x.shape[2]):
            largest = x[n, 0, p]
            for c in range(x.shape[1]):
                largest = max(largest, x[n, c, p])
            total = x.dtype.type(0)
            for c in range(x.shape[1]):
                total += math.exp(x[n, c, p] - largest)
            for c in range(x.shape[1]):
                y[n, c, p] = (x[n, c, p] - largest) - math.log(total)


def log_softmax_backward_input(dy, y, dx):
    """Write dx[c] = dy[c] - softmax[c] * sum(dy) for every (n, p) column."""
    for n in range(dy.shape[0]):
        for p in range(dy.shape[2]):
            total = dy.dtype.type(0)
            for c in range(dy.shape[1]):
                total += dy[n, c, p]
            for c in range(dy.shape[1]):
                dx[n, c, p] = dy[n, c, p] - math.exp(y[n, c, p]) * total
