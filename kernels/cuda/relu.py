"""Rectified linear unit, the loops of ``reference/relu.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def relu_forward(x, y):
    """Write y[i] = x[i] where it is positive (or NaN), else 0."""
    launch(_forward, y.size, x, y)


def relu_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] where the unit was on, else 0."""
    launch(_backward_input, dx.size, dy, y, dx)


@kernel
def _forward(x, y):
    i = cuda.grid(1)
    if i < y.size:
        zero = x.dtype.type(0)
        y[i] = zero if x[i] <= zero else x[i]


@kernel
def _backward_input(dy, y, dx):
    i = cuda.grid(1)
    if i < dx.size:
        zero = dy.dtype.type(0)
        dx[i] = zero if y[i] <= zero else dy[i]
