"""Layer normalisation, the loops of ``reference/layer_norm.py``, one thread per output.

The statistics come first, a thread for each row r; then a thread owns one y[r, m]. Backwards a
thread owns a whole row of dx, whose two sums it finds alone, or one column's sum.

Shapes and letters as in ``reference/layer_norm.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def layer_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and var, a thread for each row; then y, a thread for each y[r, m]."""
    launch(_statistics, mean.size, x, mean, var)
    launch(_normalise, y.size, x, weight, bias, eps, mean, var, y)


def layer_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; a thread owns one row r."""
    launch(_backward_input, mean.size, dy, x, weight, mean, var, eps, dx)


def layer_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns one dweight[m]."""
    launch(_backward_weight, dweight.size, dy, x, mean, var, eps, dweight)


def layer_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns one dbias[m]."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel(double=True)
def _statistics(x, mean, var):
    r = cuda.grid(1)
    if r < mean.size:
        total = np.float64(0)
        for m in range(x.shape[1]):
            total += x[r, m]
        centre = total / x.shape[1]
        total = np.float64(0)
        for m in range(x.shape[1]):
            total += (x[r, m] - centre) * (x[r, m] - centre)
        mean[r] = centre
        var[r] = total / x.shape[1]


@kernel(double=True)
def _normalise(x, weight, bias, eps, mean, var, y):
    i = cuda.grid(1)
    if i < y.size:
        r, m = unravel2(i, y.shape[1])
        xhat = (x[r, m] - mean[r]) / math.sqrt(var[r] + eps)
        y[r, m] = weight[m] * xhat + bias[m]


@kernel(double=True)
def _backward_input(dy, x, weight, mean, var, eps, dx):
    r = cuda.grid(1)
    if r < mean.size:
        count = x.shape[1]
        inverse = 1 / math.sqrt(var[r] + eps)
        total = np.float64(0)
        product = np.float64(0)
        for m in range(count):
            share = np.float64(weight[m]) * dy[r, m]
            total += share
            product += share * ((x[r, m] - mean[r]) * inverse)
        for m in range(count):
            xhat = (x[r, m] - mean[r]) * inverse
            inner = weight[m] * dy[r, m] - total / count - xhat * product / count
            dx[r, m] = inverse * inner


@kernel(double=True)
def _backward_weight(dy, x, mean, var, eps, dweight):
    m = cuda.grid(1)
    if m < dweight.size:
        total = np.float64(0)
        for r in range(x.shape[0]):
            total += dy[r, m] * ((x[r, m] - mean[r]) / math.sqrt(var[r] + eps))
        dweight[m] = total


@kernel(double=True)
def _backward_bias(dy, dbias):
    m = cuda.grid(1)
    if m < dbias.size:
        total = np.float64(0)
        for r in range(dy.shape[0]):
            total += dy[r, m]
        dbias[m] = total
