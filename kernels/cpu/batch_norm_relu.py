"""Batch normalisation followed by a rectified linear unit, as in ``reference/batch_norm_relu.py``.

Where the channels of a pixel lie together, the unit is applied where y is written and dy is read
(``_columns.py``): each direction saves a pass over memory, which is what these operations wait for.
Elsewhere the two run one behind the other. Every output array is overwritten.
"""

import numpy as np

from ._columns import as_columns, gradients, lines, moments
from .batch_norm import batch_norm_backward_input, batch_norm_forward
from .relu import relu_backward_input, relu_forward


def batch_norm_relu_forward(x, weight, bias, eps, mean, var, y):
    """Write mean, var and y; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(x, y)
    if columns is None:
        batch_norm_forward(x, weight, bias, eps, mean, var, y)
        positive = np.ascontiguousarray(y)
        relu_forward(positive.reshape(-1), positive.reshape(-1))
        y[...] = positive
    else:
        mean[...], var[...] = moments(columns[0], mean.size)
        lines(columns[0], weight, bias, mean, var, eps, columns[1], relu=True)


def batch_norm_relu_backward_input(dy, y, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dweight, dbias and dx; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(dy, y, x, dx)
    if columns is None:
        dz = np.empty(dy.shape, dy.dtype)
        given, on = np.ascontiguousarray(dy), np.ascontiguousarray(y)
        relu_backward_input(given.reshape(-1), on.reshape(-1), dz.reshape(-1))
        batch_norm_backward_input(dz, x, weight, mean, var, eps, dweight, dbias, dx)
    else:
        given, on, values, out = columns
        dweight[...], dbias[...] = gradients(given, values, weight, mean, var, eps, out, on)
