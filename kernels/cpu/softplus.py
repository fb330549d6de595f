"""Softplus, the loops of ``reference/softplus.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._functions import exp, log1p
from ._jit import kernel, prange


@kernel
def softplus_forward(x, beta, threshold, y):
    """Write y[i] = log(1 + exp(beta * x[i])) / beta."""
    number = x.dtype.type
    zero = number(0)
    sharp = number(beta)
    limit = number(threshold)
    for i in prange(x.shape[0]):
        v = sharp * x[i]
        smooth = max(v, zero) + log1p(exp(-abs(v)))
        y[i] = x[i] if v > limit else smooth / sharp


@kernel
def softplus_backward_input(dy, x, beta, threshold, dx):
    """Write dx[i] = dy[i] / (1 + exp(-beta * x[i]))."""
    number = x.dtype.type
    zero = number(0)
    one = number(1)
    sharp = number(beta)
    limit = number(threshold)
    for i in prange(x.shape[0]):
        v = sharp * x[i]
        e = exp(-abs(v))
        s = (one if v >= zero else e) / (one + e)
        dx[i] = dy[i] if v > limit else dy[i] * s
