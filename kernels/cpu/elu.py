"""Exponential linear unit, the loops of ``reference/elu.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._functions import exp, expm1
from ._jit import kernel, prange


@kernel
def elu_forward(x, alpha, scale, y):
    """Write y[i] = scale * x[i] where it is positive, else scale * alpha * (exp(x[i]) - 1)."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    for i in prange(x.shape[0]):
        y[i] = left * expm1(x[i]) if x[i] <= zero else right * x[i]


@kernel
def elu_backward_input(dy, x, alpha, scale, dx):
    """Write dx[i] = dy[i] * scale * (1 where x[i] is positive, else alpha * exp(x[i]))."""
    number = x.dtype.type
    zero = number(0)
    right = number(scale)
    left = number(scale * alpha)
    for i in prange(x.shape[0]):
        slope = left * exp(x[i]) if x[i] <= zero else right
        dx[i] = dy[i] * slope
