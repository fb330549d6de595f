"""Numbers between two limits, the loops of ``reference/hardtanh.py``, one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def hardtanh_forward(x, low, high, y):
    """Write y[i] = x[i], moved to the nearer limit where it is outside."""
    number = x.dtype.type
    launch(_forward, y.size, x, number(low), number(high), y)


def hardtanh_backward_input(dy, x, low, high, dx):
    """Write dx[i] = dy[i] where x[i] lies between the limits, else 0."""
    number = x.dtype.type
    launch(_backward_input, dx.size, dy, x, number(0), number(low), number(high), dx)


@kernel
def _forward(x, least, most, y):
    i = cuda.grid(1)
    if i < y.size:
        below = least if x[i] < least else x[i]
        y[i] = most if x[i] > most else below


@kernel
def _backward_input(dy, x, zero, least, most, dx):
    i = cuda.grid(1)
    if i < dx.size:
        outside = x[i] <= least or x[i] >= most
        dx[i] = zero if outside else dy[i]
