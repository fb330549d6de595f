"""Logistic sigmoid, the loops of ``reference/sigmoid.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._functions import exp
from ._jit import kernel, prange


@kernel
def sigmoid_forward(x, y):
    """Write y[i] = 1 / (1 + exp(-x[i]))."""
    one = x.dtype.type(1)
    for i in prange(x.shape[0]):
        e = exp(-abs(x[i]))
        y[i] = one / (one + e) if x[i] >= 0 else e / (one + e)


@kernel
def sigmoid_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] * y[i] * (1 - y[i])."""
    one = dy.dtype.type(1)
    for i in prange(dy.shape[0]):
        dx[i] = dy[i] * y[i] * (one - y[i])
