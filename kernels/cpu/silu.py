"""Sigmoid linear unit, the loops of ``reference/silu.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._functions import exp
from ._jit import kernel, prange


@kernel
def silu_forward(x, y):
    """Write y[i] = x[i] / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    for i in prange(x.shape[0]):
        e = exp(-abs(x[i]))
        y[i] = x[i] * (one if x[i] >= zero else e) / (one + e)


@kernel
def silu_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] * s * (1 + x[i] * (1 - s)), where s = 1 / (1 + exp(-x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    for i in prange(x.shape[0]):
        e = exp(-abs(x[i]))
        s = (one if x[i] >= zero else e) / (one + e)
        rest = (e if x[i] >= zero else one) / (one + e)
        dx[i] = dy[i] * s * (one + x[i] * rest)
