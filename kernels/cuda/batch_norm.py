"""Batch normalisation, the loops of ``reference/batch_norm.py``, one thread per output.

The statistics come first, a thread for each channel c, which it walks through alone; so do the
two sums of the backward pass. Then a thread owns one y[n, c, s] or dx[n, c, s]. Differences from
the mean are taken in float64, as in the reference.

Shapes and letters as in ``reference/batch_norm.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._cuda import cuda, kernel, launch
from ._index import unravel3


def batch_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and var, a thread for each channel; then y, a thread for each y[n, c, s]."""
    launch(_statistics, mean.size, x, mean, var)
    launch(_normalise, y.size, x, weight, bias, eps, mean, var, y)


def batch_norm_update(mean, var, count, momentum, running_mean, running_var):
    """Move the running statistics; a thread owns one channel c."""
    launch(_update, mean.size, mean, var, count, momentum, running_mean, running_var)


def batch_norm_backward_input(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dweight and dbias, a thread for each channel; then dx, a thread for each x."""
    batch_norm_backward_weight(dy, x, mean, var, eps, dweight)
    batch_norm_backward_bias(dy, dbias)
    launch(_backward_input, dx.size, dy, x, weight, mean, var, eps, dweight, dbias, dx)


def batch_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a thread owns one dweight[c]."""
    launch(_backward_weight, dweight.size, dy, x, mean, var, eps, dweight)


def batch_norm_backward_bias(dy, dbias):
    """Write dbias; a thread owns one dbias[c]."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel(double=True)
def _statistics(x, mean, var):
    c = cuda.grid(1)
    if c < mean.size:
        count = x.shape[0] * x.shape[2]
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += x[n, c, s]
        centre = total / count
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += (x[n, c, s] - centre) * (x[n, c, s] - centre)
        mean[c] = centre
        var[c] = total / count


@kernel(double=True)
def _normalise(x, weight, bias, eps, mean, var, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, s = unravel3(i, y.shape)
        xhat = (x[n, c, s] - mean[c]) / math.sqrt(var[c] + eps)
        y[n, c, s] = weight[c] * xhat + bias[c]


@kernel(double=True)
def _update(mean, var, count, momentum, running_mean, running_var):
    c = cuda.grid(1)
    if c < mean.size:
        unbiased = var[c] * count / (count - 1)
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased


@kernel(double=True)
def _backward_input(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, s = unravel3(i, dx.shape)
        count = dx.shape[0] * dx.shape[2]
        inverse = 1 / math.sqrt(var[c] + eps)
        xhat = (x[n, c, s] - mean[c]) * inverse
        inner = dy[n, c, s] - dbias[c] / count - xhat * dweight[c] / count
        dx[n, c, s] = weight[c] * inverse * inner


@kernel(double=True)
def _backward_weight(dy, x, mean, var, eps, dweight):
    c = cuda.grid(1)
    if c < dweight.size:
        inverse = 1 / math.sqrt(var[c] + eps)
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += dy[n, c, s] * ((x[n, c, s] - mean[c]) * inverse)
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
