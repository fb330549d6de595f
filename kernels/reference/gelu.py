"""Gaussian error linear unit, y = x * P(normal number < x).

All arrays are 1-D views of one size; ``i`` is the element; approximate is 0 or 1. With the normal
distribution's integral ``Phi(x) = erfc(-x / sqrt(2)) / 2`` and its density ``phi``:

    y = x * Phi(x)                        y' = Phi(x) + x * phi(x)

and where it is approximated, with ``t = tanh(sqrt(2 / pi) * (x + 0.044715 x^3))``:

    y = x * (1 + t) / 2                   y' = (1 + t) / 2 + x * (1 - t^2) / 2 * inner'

Every output array is overwritten. Hendrycks and Gimpel, "Gaussian error linear units", 2016.
"""

import math


def gelu_forward(x, approximate, y):
    """Write y[i] = x[i] * Phi(x[i]), or its approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    for i in range(x.shape[0]):
        v = x[i]
        if approximate:
            t = math.tanh(outer * (v + cubic * v * v * v))
            y[i] = half * v * (one + t)
        else:
            y[i] = half * v * math.erfc(-v * root)


def gelu_backward_input(dy, x, approximate, dx):
    """Write dx[i] = dy[i] * (Phi(x[i]) + x[i] * phi(x[i])), or of the approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    density = number(1 / math.sqrt(2 * math.pi))
    for i in range(x.shape[0]):
        v = x[i]
        if approximate:
            t = math.tanh(outer * (v + cubic * v * v * v))
            inner = outer * (one + number(3) * cubic * v * v)
            slope = half * (one + t) + half * v * (one - t * t) * inner
        else:
            slope = half * math.erfc(-v * root) + v * density * math.exp(-half * v * v)
        dx[i] = dy[i] * slope
