"""Leaky ReLU with a learned slope, the loops of ``reference/prelu.py`` with one thread per element.

The gradient of a slope is added up in two launches, since its terms lie in many rows: a thread
first owns the sum of one row (n, c), then one dweight[c], for which it adds the sums of the rows.
No two threads write one number, and the order of every sum is fixed.
Shapes as in ``reference/prelu.py``; every output array is overwritten.
"""

from ._cuda import cuda, empty, kernel, launch
from ._index import unravel2, unravel3


def prelu_forward(x, weight, y):
    """Write y[n, c, p] = x[n, c, p] where it is positive, else weight[c] * x[n, c, p]."""
    launch(_forward, y.size, x, weight, y)


def prelu_backward_input(dy, x, weight, dx):
    """Write dx[n, c, p] = dy[n, c, p] where x is positive, else weight[c] * dy[n, c, p]."""
    launch(_backward_input, dx.size, dy, x, weight, dx)


def prelu_backward_weight(dy, x, dweight):
    """Write dweight[c] = sum of dy[n, c, p] * x[n, c, p] over the n, p where x isn't positive."""
    sums = empty((x.shape[0], x.shape[1]), x.dtype)
    launch(_sum_rows, sums.size, dy, x, sums)
    launch(_sum_channels, dweight.size, sums, dweight)


@kernel
def _forward(x, weight, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, p = unravel3(i, y.shape)
        value = x[n, c, p]
        y[n, c, p] = value if value > x.dtype.type(0) else weight[c] * value


@kernel
def _backward_input(dy, x, weight, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, p = unravel3(i, dx.shape)
        upstream = dy[n, c, p]
        dx[n, c, p] = upstream if x[n, c, p] > x.dtype.type(0) else weight[c] * upstream


@kernel
def _sum_rows(dy, x, sums):
    i = cuda.grid(1)
    if i < sums.size:
        n, c = unravel2(i, sums.shape[1])
        zero = x.dtype.type(0)
        total = zero
        for p in range(x.shape[2]):
            if not x[n, c, p] > zero:
                total += dy[n, c, p] * x[n, c, p]
        sums[n, c] = total


@kernel
def _sum_channels(sums, dweight):
    c = cuda.grid(1)
    if c < dweight.size:
        total = dweight.dtype.type(0)
        for n in range(sums.shape[0]):
            total += sums[n, c]
        dweight[c] = total
