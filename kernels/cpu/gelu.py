"""Gaussian error linear unit, the loops of ``reference/gelu.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

import math

from ._functions import erfc, exp, tanh
from ._jit import kernel, prange


@kernel
def gelu_forward(x, approximate, y):
    """Write y[i] = x[i] * Phi(x[i]), or its approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    for i in prange(x.shape[0]):
        v = x[i]
        if approximate:
            t = tanh(outer * (v + cubic * v * v * v))
            y[i] = half * v * (one + t)
        else:
            y[i] = half * v * erfc(-v * root)


@kernel
def gelu_backward_input(dy, x, approximate, dx):
    """Write dx[i] = dy[i] * (Phi(x[i]) + x[i] * phi(x[i])), or of the approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    density = number(1 / math.sqrt(2 * math.pi))
    for i in prange(x.shape[0]):
        v = x[i]
        if approximate:
            t = tanh(outer * (v + cubic * v * v * v))
            inner = outer * (one + number(3) * cubic * v * v)
            slope = half * (one + t) + half * v * (one - t * t) * inner
        else:
            slope = half * erfc(-v * root) + v * density * exp(-half * v * v)
        dx[i] = dy[i] * slope
