"""Concatenation, the loops of ``reference/concat.py``: a thread owns one number of the copy.

Shapes and letters as in the reference.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel3


def concat_forward(x, offset, y):
    """Write the channels of x into y, from channel `offset` on."""
    launch(_forward, x.size, x, offset, y)


def concat_backward_input(dy, offset, dx):
    """Write dx: the channels of dy from `offset` on."""
    launch(_backward_input, dx.size, dy, offset, dx)


@kernel
def _forward(x, offset, y):
    i = cuda.grid(1)
    if i < x.size:
        n, c, s = unravel3(i, x.shape)
        y[n, offset + c, s] = x[n, c, s]


@kernel
def _backward_input(dy, offset, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, s = unravel3(i, dx.shape)
        dx[n, c, s] = dy[n, offset + c, s]
