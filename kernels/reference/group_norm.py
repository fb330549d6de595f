"""Group normalisation: the channels of each example are normalised in groups.

Shapes: x, y (N, C, S) with S the pixels of a picture, 1 where there are none; weight, bias (C,);
mean, var (N, G), so a group has C / G channels that lie side by side, and K = C / G * S numbers.
Letters: ``n`` example, ``g`` group, ``c`` channel, ``s`` pixel.

    mean[n, g] = (sum over c in g, s of x[n, c, s]) / K
    var[n, g]  = (sum over c in g, s of (x[n, c, s] - mean[n, g])²) / K
    xhat       = (x - mean[n, g]) / sqrt(var[n, g] + eps)
    y          = weight[c] * xhat + bias[c]

Backwards x acts by its own xhat, by the mean and by the variance, as ``batch_norm.py`` derives.
With i = 1 / sqrt(var[n, g] + eps) and h = weight[c] * dy, the gradient of xhat:

    dx = i * (h - sum(h) / K - xhat * sum(h * xhat) / K)

Sums, mean and var are float64, whatever x is. Every output array is overwritten.

Wu and He, "Group normalization", 2018.
"""

import numpy as np


def group_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and variance of each group, and y; groups are independent of each other."""
    per = x.shape[1] // mean.shape[1]
    count = per * x.shape[2]
    for n in range(mean.shape[0]):
        for g in range(mean.shape[1]):
            total = np.float64(0)
            for c in range(g * per, (g + 1) * per):
                for s in range(x.shape[2]):
                    total += x[n, c, s]
            mean[n, g] = total / count
            total = np.float64(0)
            for c in range(g * per, (g + 1) * per):
                for s in range(x.shape[2]):
                    total += (x[n, c, s] - mean[n, g]) ** 2
            var[n, g] = total / count
            for c in range(g * per, (g + 1) * per):
                for s in range(x.shape[2]):
                    xhat = (x[n, c, s] - mean[n, g]) / np.sqrt(var[n, g] + eps)
                    y[n, c, s] = weight[c] * xhat + bias[c]


def group_norm_backward_input(dy, x, weight, mean, var, eps, dx):
    """Write dx; groups are independent of each other."""
    per = x.shape[1] // mean.shape[1]
    count = per * x.shape[2]
    for n in range(mean.shape[0]):
        for g in range(mean.shape[1]):
            inverse = 1 / np.sqrt(var[n, g] + eps)
            total = np.float64(0)
            product = np.float64(0)
            for c in range(g * per, (g + 1) * per):
                for s in range(x.shape[2]):
                    xhat = (x[n, c, s] - mean[n, g]) * inverse
                    total += weight[c] * dy[n, c, s]
                    product += weight[c] * dy[n, c, s] * xhat
            for c in range(g * per, (g + 1) * per):
                for s in range(x.shape[2]):
                    xhat = (x[n, c, s] - mean[n, g]) * inverse
                    inner = weight[c] * dy[n, c, s] - total / count - xhat * product / count
                    dx[n, c, s] = inverse * inner


def group_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight[c] = sum over n, s of dy * xhat."""
    per = x.shape[1] // mean.shape[1]
    for c in range(dweight.shape[0]):
        total = np.float64(0)
        for n in range(x.shape[0]):
            inverse = 1 / np.sqrt(var[n, c // per] + eps)
            for s in range(x.shape[2]):
                total += dy[n, c, s] * ((x[n, c, s] - mean[n, c // per]) * inverse)
        dweight[c] = total


def group_norm_backward_bias(dy, dbias):
    """Write dbias[c] = sum over n, s of dy."""
    for c in range(dbias.shape[0]):
        total = np.float64(0)
        for n in range(dy.shape[0]):
            for s in range(dy.shape[2]):
                total += dy[n, c, s]
        dbias[c] = total
