"""Rectified linear unit, the loops of ``reference/relu.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def relu_forward(x, y):
    """Write y[i] = x[i] where it is positive (or NaN), else 0."""
    zero = x.dtype.type(0)
    for i in prange(x.shape[0]):
        y[i] = zero if x[i] <= zero else x[i]


@kernel
def relu_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] where the unit was on, else 0."""
    zero = dy.dtype.type(0)
    for i in prange(dy.shape[0]):
        dx[i] = zero if y[i] <= zero else dy[i]
