"""Pixel shuffle, the loops of ``reference/pixel_shuffle.py`` with one thread per number.

A thread owns one number of what is written, y or dx, and fetches it from the one place where it
comes from.

Shapes and letters as in ``reference/pixel_shuffle.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel4


def pixel_shuffle_forward(x, factor, y):
    """Write y; a thread owns one y[n, c, oh, ow]."""
    launch(_forward, y.size, x, factor, y)


def pixel_shuffle_backward_input(dy, factor, dx):
    """Write dx; a thread owns one dx[n, ci, ih, iw]."""
    launch(_backward_input, dx.size, dy, factor, dx)


@kernel
def _forward(x, factor, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        ci = (c * factor + oh % factor) * factor + ow % factor
        y[n, c, oh, ow] = x[n, ci, oh // factor, ow // factor]


@kernel
def _backward_input(dy, factor, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, ci, ih, iw = unravel4(i, dx.shape)
        c = ci // (factor * factor)
        down = ci // factor % factor
        right = ci % factor
        dx[n, ci, ih, iw] = dy[n, c, ih * factor + down, iw * factor + right]
