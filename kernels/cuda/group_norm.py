"""Group normalisation, the loops of ``reference/group_norm.py``, one thread per output.

The statistics come first, a thread for each group (n, g); then a thread owns one y[n, c, s].
Backwards a thread owns a whole group of dx, whose two sums it finds alone, or one channel's sum.

Shapes and letters as in ``reference/group_norm.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def group_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and var, a thread for each group; then y, a thread for each y[n, c, s]."""
    launch(_statistics, mean.size, x, mean, var)
    launch(_normalise, y.size, x, weight, bias, eps, mean, var, y)


def group_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; a thread owns one group (n, g)."""
    launch(_backward_input, mean.size, dy, x, weight, mean, var, eps, dx)


def group_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns one dweight[c]."""
    launch(_backward_weight, dweight.size, dy, x, mean, var, eps, dweight)


def group_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns one dbias[c]."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel(double=True)
def _statistics(x, mean, var):
    i = cuda.grid(1)
    if i < mean.size:
        n, g = unravel2(i, mean.shape[1])
        per = x.shape[1] // mean.shape[1]
        count = per * x.shape[2]
        total = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            for s in range(x.shape[2]):
                total += x[n, c, s]
        centre = total / count
        total = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            for s in range(x.shape[2]):
                total += (x[n, c, s] - centre) * (x[n, c, s] - centre)
        mean[n, g] = centre
        var[n, g] = total / count


@kernel(double=True)
def _normalise(x, weight, bias, eps, mean, var, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, s = unravel3(i, y.shape)
        g = c // (x.shape[1] // mean.shape[1])
        xhat = (x[n, c, s] - mean[n, g]) / math.sqrt(var[n, g] + eps)
        y[n, c, s] = weight[c] * xhat + bias[c]


@kernel(registers=80, double=True)
def _backward_input(dy, x, weight, mean, var, eps, dx):
    i = cuda.grid(1)
    if i < mean.size:
        n, g = unravel2(i, mean.shape[1])
        per = x.shape[1] // mean.shape[1]
        count = per * x.shape[2]
        inverse = 1 / math.sqrt(var[n, g] + eps)
        total = np.float64(0)
        product = np.float64(0)
        for c in range(g * per, (g + 1) * per):
            for s in range(x.shape[2]):
                share = np.float64(weight[c]) * dy[n, c, s]
                total += share
                product += share * ((x[n, c, s] - mean[n, g]) * inverse)
        for c in range(g * per, (g + 1) * per):
            for s in range(x.shape[2]):
                xhat = (x[n, c, s] - mean[n, g]) * inverse
                inner = weight[c] * dy[n, c, s] - total / count - xhat * product / count
                dx[n, c, s] = inverse * inner


@kernel(double=True)
def _backward_weight(dy, x, mean, var, eps, dweight):
    c = cuda.grid(1)
    if c < dweight.size:
        g = c // (x.shape[1] // mean.shape[1])
        total = np.float64(0)
        for n in range(x.shape[0]):
            inverse = 1 / math.sqrt(var[n, g] + eps)
            for s in range(x.shape[2]):
                total += dy[n, c, s] * ((x[n, c, s] - mean[n, g]) * inverse)
        dweight[c] = total


@kernel(double=True)
def _backward_bias(dy, dbias):
    c = cuda.grid(1)
    if c < dbias.size:
        total = np.float64(0)
        for n in range(dy.shape[0]):
            for s in range(dy.shape[2]):
                total += dy[n, c, s]
        dbias[c] = total
