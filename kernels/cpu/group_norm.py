"""Group normalisation, the loops of ``reference/group_norm.py`` on every core.

Forward and for dx a thread owns whole groups (n, g); for dweight and dbias it owns channels, and
goes through all examples. The order of every sum is fixed, so nothing depends on the number of
threads.

Shapes and letters as in ``reference/group_norm.py``, the formulas in the array's own type as in
``batch_norm.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import kernel, prange
from ._moments import row_gradient, row_line, row_products, row_squares, row_sum
from ._reduce import sum_channels


@kernel
def group_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean, var and y; a thread owns groups (n, g)."""
    number = x.dtype.type
    groups = mean.shape[1]
    per = x.shape[1] // groups
    count = per * x.shape[2]
    for ng in prange(mean.shape[0] * groups):
        n = ng // groups
        g = ng % groups
        total = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            total += row_sum(x, n, c)
        centre = total / count
        total = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            total += row_squares(x, n, c, centre)
        spread = total / count
        mean[n, g] = centre
        var[n, g] = spread
        inverse = 1 / np.sqrt(spread + eps)
        near = number(centre)
        for c in range(g * per, (g + 1) * per):
            scale = weight[c] * inverse
            rest = bias[c] - (centre - near) * scale
            row_line(x, n, c, near, number(scale), number(rest), y)


@kernel
def group_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; a thread owns groups (n, g)."""
    number = x.dtype.type
    groups = mean.shape[1]
    per = x.shape[1] // groups
    count = per * x.shape[2]
    for ng in prange(mean.shape[0] * groups):
        n = ng // groups
        g = ng % groups
        centre = np.float64(mean[n, g])
        inverse = 1 / np.sqrt(np.float64(var[n, g]) + eps)
        total = np.float64(0)
        product = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            sums = row_products(dy, x, n, c, centre)
            total += weight[c] * sums[0]
            product += weight[c] * sums[1]
        slope = inverse * inverse * product / count
        near = number(centre)
        rest = number(total / count - (centre - near) * slope)
        scale = number(inverse)
        for c in range(g * per, (g + 1) * per):
            row_gradient(dy, x, n, c, weight[c], near, number(slope), rest, scale, dx)


@kernel
def group_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns channels c."""
    per = x.shape[1] // mean.shape[1]
    for c in prange(dweight.shape[0]):
        g = c // per
        total = np.float64(0)
        for n in range(x.shape[0]):
            inverse = 1 / np.sqrt(np.float64(var[n, g]) + eps)
            total += row_products(dy, x, n, c, np.float64(mean[n, g]))[1] * inverse
        dweight[c] = total


def group_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns channels c."""
    sum_channels(dy, dbias)
