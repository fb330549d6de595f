"""Softmax over the middle axis.

Shapes: x, y (N, C, P): ``n`` what stands before the axis, ``c`` the class, ``p`` what stands
after it (P = 1 for the usual (N, C) scores).

    y[n, c, p] = exp(x[n, c, p] - m) / sum over classes of exp(x - m),   m = max over classes

Subtracting the maximum changes nothing (numerator and denominator shrink alike) and keeps
exp() from overflowing. Raising one score lowers every other probability, so the gradient has a
term for the whole row:  ``dx[c] = y[c] * (dy[c] - sum over k of dy[k] * y[k])``.
Every output array is overwritten.
"""

import math


def softmax_forward(x, y):
    """Write y; every (n, p) column is independent of the others."""
    for n in range(x.shape[0]):
        for p in range(x.shape[2]):
            largest = x[n, 0, p]
            for c in range(x.shape[1]):
                largest = max(largest, x[n, c, p])
            total = x.dtype.type(0)
            for c in range(x.shape[1]):
                y[n, c, p] = math.exp(x[n, c, p] - largest)
                total += y[n, c, p]
            for c in range(x.shape[1]):
                y[n, c, p] /= total


def softmax_backward_input(dy, y, dx):
    """Write dx[c] = y[c] * (dy[c] - <dy, y>) for every (n, p) column."""
    for n in range(dy.shape[0]):
        for p in range(dy.shape[2]):
            inner = dy.dtype.type(0)
            for c in range(dy.shape[1]):
                inner += dy[n, c, p] * y[n, c, p]
            for c in range(dy.shape[1]):
                dx[n, c, p] = y[n, c, p] * (dy[n, c, p] - inner)
