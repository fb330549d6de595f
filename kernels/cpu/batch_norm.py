"""Batch normalisation, the loops of ``reference/batch_norm.py`` on every core.

Where the values of a channel lie together, a thread owns whole channels, in both directions, and
walks through a channel three times forward (mean, variance, y) and twice backward (the two sums,
dx), mostly in its own cache. Where all channels of a pixel do (``../order.py``), a thread owns
rows, and everything is walked through twice in each direction (``_columns.py``). The order of every
sum is fixed, so nothing depends on the number of threads.

In the array's own type, the mean cut into near and a small remainder (``_moments.py``):

    y  = (x - near) * a + (bias - (mean - near) * a)
    dx = (dy * weight - (x - near) * b - (weight * dbias / K - (mean - near) * b)) * i

where i = 1 / sqrt(var + eps), a = weight * i and b = a * dweight / K.

Shapes and letters as in ``reference/batch_norm.py``; every output array is overwritten.
"""

import numpy as np

from ._columns import as_columns, gradients, lines, moments, products, totals
from ._jit import kernel, prange
from ._moments import row_gradient, row_line, row_products, row_squares, row_sum
from ._reduce import sum_channels


@kernel
def _forward_planes(x, weight, bias, eps, mean, var, y):
    """Write mean, var and y; a thread owns channels c."""
    number = x.dtype.type
    count = x.shape[0] * x.shape[2]
    for c in prange(x.shape[1]):
        total = np.float64(0)
        for n in range(x.shape[0]):
            total += row_sum(x, n, c)
        centre = total / count
        total = np.float64(0)
        for n in range(x.shape[0]):
            total += row_squares(x, n, c, centre)
        spread = total / count
        mean[c] = centre
        var[c] = spread
        scale = weight[c] * (1 / np.sqrt(spread + eps))
        near = number(centre)
        rest = bias[c] - (centre - near) * scale
        for n in range(x.shape[0]):
            row_line(x, n, c, near, number(scale), number(rest), y)


def batch_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean, var and y; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(x, y)
    if columns is None:
        _forward_planes(x, weight, bias, eps, mean, var, y)
    else:
        mean[...], var[...] = moments(columns[0], mean.size)
        lines(columns[0], weight, bias, mean, var, eps, columns[1])


@kernel
def batch_norm_update(mean, var, count, momentum, running_mean, running_var):
    """Move the running statistics; a thread owns channels c."""
    number = running_mean.dtype.type
    for c in prange(mean.shape[0]):
        unbiased = np.float64(var[c]) * count / (count - 1)
        kept = 1 - momentum
        running_mean[c] = number(kept * running_mean[c] + momentum * mean[c])
        running_var[c] = number(kept * running_var[c] + momentum * unbiased)


@kernel
def _backward_input_planes(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dweight, dbias and dx; a thread owns channels c."""
    number = x.dtype.type
    count = x.shape[0] * x.shape[2]
    for c in prange(x.shape[1]):
        centre = np.float64(mean[c])
        inverse = 1 / np.sqrt(np.float64(var[c]) + eps)
        total = np.float64(0)
        product = np.float64(0)
        for n in range(x.shape[0]):
            sums = row_products(dy, x, n, c, centre)
            total += sums[0]
            product += sums[1]
        product *= inverse
        dweight[c] = product
        dbias[c] = total
        slope = weight[c] * inverse * product / count
        near = number(centre)
        rest = number(weight[c] * total / count - (centre - near) * slope)
        scale = number(inverse)
        for n in range(x.shape[0]):
            row_gradient(dy, x, n, c, weight[c], near, number(slope), rest, scale, dx)


def batch_norm_backward_input(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dweight, dbias and dx; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(dy, x, dx)
    if columns is None:
        _backward_input_planes(dy, x, weight, mean, var, eps, dweight, dbias, dx)
    else:
        given, values, out = columns
        dweight[...], dbias[...] = gradients(given, values, weight, mean, var, eps, out)


@kernel
def _backward_weight_planes(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns channels c."""
    for c in prange(x.shape[1]):
        centre = np.float64(mean[c])
        product = np.float64(0)
        for n in range(x.shape[0]):
            product += row_products(dy, x, n, c, centre)[1]
        dweight[c] = product * (1 / np.sqrt(np.float64(var[c]) + eps))


def batch_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(dy, x)
    if columns is None:
        _backward_weight_planes(dy, x, mean, var, eps, dweight)
    else:
        _, product = products(*columns, mean)
        dweight[...] = product / np.sqrt(var.astype(np.float64) + eps)


def batch_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns channels c, or rows where channels lie last."""
    columns = as_columns(dy)
    if columns is None:
        sum_channels(dy, dbias)
    else:
        dbias[...] = totals(*columns, dbias.size)
