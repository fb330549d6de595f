"""Dropout, the loops of ``reference/dropout.py`` with one thread per element (r, p).

Every element is independent; the threads of one row read the same mask[r]. Forward and
backward are the same operation on different arrays, so they share a kernel.
Shapes as in ``reference/dropout.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def dropout_forward(x, mask, y):
    """Write y[r, p] = x[r, p] * mask[r], and exactly 0 in a dropped row."""
    launch(_scale_rows, y.size, x, mask, y)


def dropout_backward_input(dy, mask, dx):
    """Write dx[r, p] = dy[r, p] * mask[r], and exactly 0 in a dropped row."""
    launch(_scale_rows, dx.size, dy, mask, dx)


@kernel
def _scale_rows(source, mask, target):
    i = cuda.grid(1)
    if i < target.size:
        r, p = unravel2(i, target.shape[1])
        zero = target.dtype.type(0)
        target[r, p] = source[r, p] * mask[r] if mask[r] != zero else zero
