"""Softsign, the loops of ``reference/softsign.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def softsign_forward(x, y):
    """Write y[i] = x[i] / (1 + |x[i]|)."""
    number = x.dtype.type
    one = number(1)
    launch(_forward, y.size, x, one, y)


def softsign_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] / (1 + |x[i]|)^2."""
    number = x.dtype.type
    one = number(1)
    launch(_backward_input, dx.size, dy, x, one, dx)


@kernel
def _forward(x, one, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = x[i] / (one + abs(x[i]))


@kernel
def _backward_input(dy, x, one, dx):
    i = cuda.grid(1)
    if i < dx.size:
        size = one + abs(x[i])
        dx[i] = dy[i] / (size * size)
