"""Leaky ReLU, the loops of ``reference/leaky_relu.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def leaky_relu_forward(x, slope, y):
    """Write y[i] = x[i] where it is positive, else slope * x[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    for i in prange(x.shape[0]):
        y[i] = x[i] if x[i] > zero else left * x[i]


@kernel
def leaky_relu_backward_input(dy, x, slope, dx):
    """Write dx[i] = dy[i] where x[i] is positive, else slope * dy[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    for i in prange(x.shape[0]):
        dx[i] = dy[i] if x[i] > zero else left * dy[i]
