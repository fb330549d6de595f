"""Leaky ReLU, the loops of ``reference/leaky_relu.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def leaky_relu_forward(x, slope, y):
    """Write y[i] = x[i] where it is positive, else slope * x[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    launch(_forward, y.size, x, zero, left, y)


def leaky_relu_backward_input(dy, x, slope, dx):
    """Write dx[i] = dy[i] where x[i] is positive, else slope * dy[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    launch(_backward_input, dx.size, dy, x, zero, left, dx)


@kernel
def _forward(x, zero, left, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = x[i] if x[i] > zero else left * x[i]


@kernel
def _backward_input(dy, x, zero, left, dx):
    i = cuda.grid(1)
    if i < dx.size:
        dx[i] = dy[i] if x[i] > zero else left * dy[i]
