"""Batch normalisation with given statistics, ``reference/batch_norm_eval.py``.

A thread owns one y[n, c, s] or dx[n, c, s]. Shapes and letters as in
``reference/batch_norm.py``; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel3


def batch_norm_eval_forward(x, weight, bias, mean, var, eps, y):
    """Write y; a thread owns one y[n, c, s]."""
    launch(_forward, y.size, x, weight, bias, mean, var, x.dtype.type(eps), y)


def batch_norm_eval_backward_input(dy, weight, var, eps, dx):
    """Write dx; a thread owns one dx[n, c, s]."""
    launch(_backward_input, dx.size, dy, weight, var, dy.dtype.type(eps), dx)


@kernel
def _forward(x, weight, bias, mean, var, eps, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, s = unravel3(i, y.shape)
        xhat = (x[n, c, s] - mean[c]) / math.sqrt(var[c] + eps)
        y[n, c, s] = weight[c] * xhat + bias[c]


@kernel
def _backward_input(dy, weight, var, eps, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, s = unravel3(i, dx.shape)
        dx[n, c, s] = dy[n, c, s] * weight[c] / math.sqrt(var[c] + eps)
