"""Layer normalisation, the loops of ``reference/layer_norm.py`` on every core.

Forward and for dx a thread owns whole rows; a row is computed the same way whatever batch it
stands in. For dweight and dbias it owns pieces of 64 columns, and goes down all rows, adding up
in float64. The order of every sum is fixed, so nothing depends on the number of threads.

Shapes and letters as in ``reference/layer_norm.py``, how the mean is cut in two in
``_moments.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import kernel, prange
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
def layer_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns pieces of the columns m."""
    columns = dweight.shape[0]
    for piece in prange((columns + PIECE - 1) // PIECE):
        begin = piece * PIECE
        totals = np.zeros(min(PIECE, columns - begin))
        for r in range(x.shape[0]):
            centre = np.float64(mean[r])
            inverse = 1 / np.sqrt(np.float64(var[r]) + eps)
            for i in range(totals.size):
                share = np.float64(dy[r, begin + i]) * inverse
                totals[i] += share * (x[r, begin + i] - centre)
        for i in range(totals.size):
            dweight[begin + i] = totals[i]


@kernel
def layer_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns pieces of the columns m."""
    columns = dbias.shape[0]
    for piece in prange((columns + PIECE - 1) // PIECE):
        begin = piece * PIECE
        totals = np.zeros(min(PIECE, columns - begin))
        for r in range(dy.shape[0]):
            for i in range(totals.size):
                totals[i] += dy[r, begin + i]
        for i in range(totals.size):
            dbias[begin + i] = totals[i]
