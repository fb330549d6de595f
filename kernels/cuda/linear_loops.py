"""Fully connected layer, the loops of ``reference/linear.py`` with one thread per output.

The reference's two outer loops become the thread's number; its inner loop stays. So each nest
owns what it writes, also backwards: a thread of backward_input owns one dx[n, ci] and adds up
over co, a thread of backward_weight owns one dweight[co, ci] and adds up over n, a thread of
backward_bias owns one dbias[co].

Shapes and letters as in ``reference/linear.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def linear_forward(x, weight, bias, y):
    """Write y; a thread owns one y[n, co]."""
    launch(_forward, y.size, x, weight, bias, y)


def linear_backward_input(dy, weight, dx):
    """Write dx; a thread owns one dx[n, ci]."""
    launch(_backward_input, dx.size, dy, weight, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dweight; a thread owns one dweight[co, ci]."""
    launch(_backward_weight, dweight.size, dy, x, dweight)


def linear_backward_bias(dy, dbias):
    """Write dbias; a thread owns one dbias[co]."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel
def _forward(x, weight, bias, y):
    i = cuda.grid(1)
    if i < y.size:
        n, co = unravel2(i, y.shape[1])
        total = bias[co]
        for ci in range(x.shape[1]):
            total += x[n, ci] * weight[co, ci]
        y[n, co] = total


@kernel
def _backward_input(dy, weight, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, ci = unravel2(i, dx.shape[1])
        total = dx.dtype.type(0)
        for co in range(dy.shape[1]):
            total += dy[n, co] * weight[co, ci]
        dx[n, ci] = total


@kernel
def _backward_weight(dy, x, dweight):
    i = cuda.grid(1)
    if i < dweight.size:
        co, ci = unravel2(i, dweight.shape[1])
        total = dweight.dtype.type(0)
        for n in range(dy.shape[0]):
            total += dy[n, co] * x[n, ci]
        dweight[co, ci] = total


@kernel
def _backward_bias(dy, dbias):
    co = cuda.grid(1)
    if co < dbias.size:
        total = dbias.dtype.type(0)
        for n in range(dy.shape[0]):
            total += dy[n, co]
        dbias[co] = total
