"""Layer normalisation, the loops of ``reference/layer_norm.py`` on every core.

Forward and for dx a thread owns whole rows; a row is computed the same way whatever batch it
stands in. For dweight and dbias it owns pieces of 64 columns, and goes down all rows, adding up
in float64. The order of every sum is fixed, so nothing depends on the number of threads.

Shapes and letters as in ``reference/layer_norm.py``, how the mean is cut in two in
``_moments.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import kernel, prange
from ._lanes import WIDTH, every, load, minus, plus, plus_product, store, times, wide
from ._moments import row_squares, row_sum

PIECE = 64


@kernel
def layer_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean, var and y; a thread owns rows r."""
    number = x.dtype.type
    rows = x.reshape(1, x.shape[0], x.shape[1])
    for r in prange(x.shape[0]):
        centre = row_sum(rows, 0, r) / x.shape[1]
        spread = row_squares(rows, 0, r, centre) / x.shape[1]
        mean[r] = centre
        var[r] = spread
        inverse = 1 / np.sqrt(spread + eps)
        near = number(centre)
        scale = number(inverse)
        rest = number((centre - near) * inverse)
        for m in range(x.shape[1]):
            y[r, m] = ((x[r, m] - near) * scale - rest) * weight[m] + bias[m]


@kernel
def layer_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; a thread owns rows r."""
    number = x.dtype.type
    for r in prange(x.shape[0]):
        centre = np.float64(mean[r])
        inverse = 1 / np.sqrt(np.float64(var[r]) + eps)
        total = np.float64(0)
        product = np.float64(0)
        for m in range(x.shape[1]):
            share = np.float64(dy[r, m]) * weight[m]
            total += share
            product += share * (x[r, m] - centre)
        slope = inverse * inverse * product / x.shape[1]
        near = number(centre)
        rest = number(total / x.shape[1] - (centre - near) * slope)
        scale = number(inverse)
        steep = number(slope)
        for m in range(x.shape[1]):
            dx[r, m] = (dy[r, m] * weight[m] - (x[r, m] - near) * steep - rest) * scale


@kernel
def _backward_weight(dy, x, shape, mean, var, eps, dweight):
    """Write dweight; a thread owns pieces of the columns m."""
    rows, columns = shape
    for piece in prange((columns + PIECE - 1) // PIECE):
        begin = piece * PIECE
        size = min(PIECE, columns - begin)
        totals = np.zeros(PIECE)
        for r in range(rows):
            inverse = 1 / np.sqrt(np.float64(var[r]) + eps)
            for i in range(0, size, WIDTH):
                lanes = min(WIDTH, size - i)
                at = r * columns + begin + i
                away = minus(wide(load(x, at, lanes)), every(totals, mean[r], lanes))
                share = times(wide(load(dy, at, lanes)), inverse)
                store(plus_product(load(totals, i, lanes), share, away), totals, i, lanes)
        for i in range(size):
            dweight[begin + i] = totals[i]


@kernel
def _backward_bias(dy, shape, dbias):
    """Write dbias; a thread owns pieces of the columns m."""
    rows, columns = shape
    for piece in prange((columns + PIECE - 1) // PIECE):
        begin = piece * PIECE
        size = min(PIECE, columns - begin)
        totals = np.zeros(PIECE)
        for r in range(rows):
            for i in range(0, size, WIDTH):
                lanes = min(WIDTH, size - i)
                share = wide(load(dy, r * columns + begin + i, lanes))
                store(plus(load(totals, i, lanes), share), totals, i, lanes)
        for i in range(size):
            dbias[begin + i] = totals[i]


def layer_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns pieces of the columns m."""
    _backward_weight(dy.reshape(-1), x.reshape(-1), x.shape, mean, var, eps, dweight)


def layer_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns pieces of the columns m."""
    _backward_bias(dy.reshape(-1), dy.shape, dbias)
