"""Layer normalisation: every row gets mean 0 and variance 1, by itself.

Shapes: x, y (R, M), a row for each example (and place); weight, bias (M,); mean, var (R,).
Letters: ``r`` row, ``m`` number within it.

    mean[r] = (sum over m of x[r, m]) / M
    var[r]  = (sum over m of (x[r, m] - mean[r])²) / M
    xhat    = (x - mean[r]) / sqrt(var[r] + eps)
    y       = weight[m] * xhat + bias[m]

Backwards x acts by its own xhat, by the mean and by the variance, as ``batch_norm.py`` derives.
With i = 1 / sqrt(var[r] + eps) and g = weight[m] * dy, the gradient of xhat:

    dx = i * (g - sum(g) / M - xhat * sum(g * xhat) / M)

Sums, mean and var are float64, whatever x is. Every output array is overwritten.

Ba, Kiros and Hinton, "Layer normalization", 2016.
"""

import numpy as np


def layer_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and variance of each row, and y; every row is independent of the others."""
    for r in range(x.shape[0]):
        total = np.float64(0)
        for m in range(x.shape[1]):
            total += x[r, m]
        mean[r] = total / x.shape[1]
        total = np.float64(0)
        for m in range(x.shape[1]):
            total += (x[r, m] - mean[r]) ** 2
        var[r] = total / x.shape[1]
        for m in range(x.shape[1]):
            xhat = (x[r, m] - mean[r]) / np.sqrt(var[r] + eps)
            y[r, m] = weight[m] * xhat + bias[m]


def layer_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; every row is independent of the others."""
    for r in range(x.shape[0]):
        inverse = 1 / np.sqrt(var[r] + eps)
        total = np.float64(0)
        product = np.float64(0)
        for m in range(x.shape[1]):
            xhat = (x[r, m] - mean[r]) * inverse
            total += weight[m] * dy[r, m]
            product += weight[m] * dy[r, m] * xhat
        for m in range(x.shape[1]):
            xhat = (x[r, m] - mean[r]) * inverse
            inner = weight[m] * dy[r, m] - total / x.shape[1] - xhat * product / x.shape[1]
            dx[r, m] = inverse * inner


def layer_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight[m] = sum over r of dy * xhat."""
    for m in range(dweight.shape[0]):
        total = np.float64(0)
        for r in range(x.shape[0]):
            total += dy[r, m] * ((x[r, m] - mean[r]) / np.sqrt(var[r] + eps))
        dweight[m] = total


def layer_norm_backward_bias(dy, dbias):
    """Write dbias[m] = sum over r of dy."""
    for m in range(dbias.shape[0]):
        total = np.float64(0)
        for r in range(dy.shape[0]):
            total += dy[r, m]
        dbias[m] = total
