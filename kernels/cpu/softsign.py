"""Softsign, the loops of ``reference/softsign.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def softsign_forward(x, y):
    """Write y[i] = x[i] / (1 + |x[i]|)."""
    number = x.dtype.type
    one = number(1)
    for i in prange(x.shape[0]):
        y[i] = x[i] / (one + abs(x[i]))


@kernel
def softsign_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] / (1 + |x[i]|)^2."""
    number = x.dtype.type
    one = number(1)
    for i in prange(x.shape[0]):
        size = one + abs(x[i])
        dx[i] = dy[i] / (size * size)
