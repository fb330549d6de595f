"""Local response normalisation, the loops of ``reference/local_response_norm.py``.

A thread owns one y[n, c, s] or dx[n, c, s] and gathers from the channels beside it; neighbouring
threads own neighbouring pixels. Numbers are rounded on the host. Shapes and letters as in the
reference; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import larger, smaller, unravel3


def local_response_norm_forward(x, size, alpha, beta, k, base, y):
    """Write base and y; a thread owns one number of each."""
    number = x.dtype.type
    launch(_forward, y.size, x, size, number(alpha / size), number(-beta), number(k), base, y)


def local_response_norm_backward_input(dy, x, y, base, size, alpha, beta, dx):
    """Write dx; a thread owns one dx[n, c, s]."""
    number = x.dtype.type
    share = number(2 * alpha * beta / size)
    launch(_backward_input, dx.size, dy, x, y, base, size, share, number(-beta), dx)


@kernel
def _forward(x, size, share, power, k, base, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, s = unravel3(i, y.shape)
        total = x.dtype.type(0)
        end = smaller(c + (size - 1) // 2 + 1, x.shape[1])
        for j in range(larger(c - size // 2, 0), end):
            total += x[n, j, s] * x[n, j, s]
        below = k + share * total
        base[n, c, s] = below
        y[n, c, s] = x[n, c, s] * below**power


@kernel
def _backward_input(dy, x, y, base, size, share, power, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, s = unravel3(i, dx.shape)
        total = x.dtype.type(0)
        end = smaller(c + size // 2 + 1, x.shape[1])
        for j in range(larger(c - (size - 1) // 2, 0), end):
            total += dy[n, j, s] * y[n, j, s] / base[n, j, s]
        direct = dy[n, c, s] * base[n, c, s] ** power
        dx[n, c, s] = direct - share * x[n, c, s] * total
