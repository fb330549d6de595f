"""Softmax, the loops of ``reference/softmax.py`` on every core.

A thread owns whole columns (n, p), since each is normalised by its own sum.
Shapes as in ``reference/softmax.py``; every output array is overwritten.
"""

from ._jit import exact_kernel, prange
from ._softmax import exponentials, scale


@exact_kernel
def softmax_forward(x, y):
    """Write y; a thread owns columns (n, p)."""
    for column in prange(x.shape[0] * x.shape[2]):
        n = column // x.shape[2]
        p = column % x.shape[2]
        _, total = exponentials(x, n, p, y)
        scale(y, n, p, x.dtype.type(1) / total)


@exact_kernel
def softmax_backward_input(dy, y, dx):
    """Write dx; a thread owns columns (n, p)."""
    for column in prange(dy.shape[0] * dy.shape[2]):
        n = column // dy.shape[2]
        p = column % dy.shape[2]
        inner = dy.dtype.type(0)
        for c in range(dy.shape[1]):
            inner += dy[n, c, p] * y[n, c, p]
        for c in range(dy.shape[1]):
            dx[n, c, p] = y[n, c, p] * (dy[n, c, p] - inner)
