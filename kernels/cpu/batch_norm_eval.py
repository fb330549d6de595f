"""Batch normalisation with given statistics, ``reference/batch_norm_eval.py`` on every core.

A thread owns whole channels, whose slope and offset it computes once, or rows where channels lie
last. Shapes and letters as in
``reference/batch_norm.py``; every output array is overwritten.
"""

import numpy as np

from ._columns import as_columns, lines, scaled
from ._jit import kernel, prange
from ._moments import row_line


@kernel
def _forward_planes(x, weight, bias, mean, var, eps, y):
    """Write y; a thread owns channels c."""
    number = x.dtype.type
    for c in prange(x.shape[1]):
        centre = np.float64(mean[c])
        scale = weight[c] * (1 / np.sqrt(np.float64(var[c]) + eps))
        near = number(centre)
        rest = bias[c] - (centre - near) * scale
        for n in range(x.shape[0]):
            row_line(x, n, c, near, number(scale), number(rest), y)


def batch_norm_eval_forward(x, weight, bias, mean, var, eps, y):
    """Write y; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(x, y)
    if columns is None:
        _forward_planes(x, weight, bias, mean, var, eps, y)
    else:
        lines(columns[0], weight, bias, mean, var, eps, columns[1])


@kernel
def _backward_input_planes(dy, weight, var, eps, dx):
    """Write dx; a thread owns channels c."""
    number = dy.dtype.type
    for c in prange(dy.shape[1]):
        scale = number(weight[c] * (1 / np.sqrt(np.float64(var[c]) + eps)))
        for n in range(dy.shape[0]):
            for s in range(dy.shape[2]):
                dx[n, c, s] = dy[n, c, s] * scale


def batch_norm_eval_backward_input(dy, weight, var, eps, dx):
    """Write dx; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(dy, dx)
    if columns is None:
        _backward_input_planes(dy, weight, var, eps, dx)
    else:
        scaled(columns[0], weight, var, eps, columns[1])
