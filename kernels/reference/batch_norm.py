"""Batch normalisation: every channel of a batch gets mean 0 and variance 1, and then its own.

Shapes: x, y (N, C, S) with S the pixels of a picture, 1 where there are none; weight, bias, mean,
var (C,). Letters: ``n`` example, ``c`` channel, ``s`` pixel; a channel has K = N * S numbers.

    mean[c] = (sum over n, s of x[n, c, s]) / K
    var[c]  = (sum over n, s of (x[n, c, s] - mean[c])²) / K
    xhat    = (x - mean[c]) / sqrt(var[c] + eps)
    y       = weight[c] * xhat + bias[c]

Backwards, let i = 1 / sqrt(var[c] + eps) and g = weight[c] * dy, the gradient of xhat. An x acts
on the loss in three ways:

- by its own xhat: g * i;
- by the mean, which it raises by 1 / K, and which lowers every xhat of the channel by i:
  -i * sum(g) / K;
- by the variance, which it raises by 2 * (x - mean) / K (that it moves the mean as well adds
  nothing, since the deviations from the mean sum to 0), and which changes every xhat by
  -xhat * i² / 2: -i * xhat * sum(g * xhat) / K.

    dx = weight[c] * i * (dy - sum(dy) / K - xhat * sum(dy * xhat) / K)

The two sums are the gradients of bias and weight. Sums are float64, and so are the mean and
variance of a batch, whatever x is: where x is 10000 give or take 0.01, the mean rounded to float32
is off by 5 % of the deviation. Every output array is overwritten.

Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", 2015.
"""

import numpy as np


def batch_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and variance of each channel, and y."""
    count = x.shape[0] * x.shape[2]
    for c in range(x.shape[1]):
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += x[n, c, s]
        mean[c] = total / count
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += (x[n, c, s] - mean[c]) ** 2
        var[c] = total / count
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                xhat = (x[n, c, s] - mean[c]) / np.sqrt(var[c] + eps)
                y[n, c, s] = weight[c] * xhat + bias[c]


def batch_norm_update(mean, var, count, momentum, running_mean, running_var):
    """Move the running statistics towards those of a batch with `count` numbers per channel.

    ``running = (1 - momentum) * running + momentum * new``. A batch varies about its own mean a
    little less than about the true one, which count / (count - 1) makes up for.
    """
    for c in range(mean.shape[0]):
        unbiased = var[c] * count / (count - 1)
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased


def batch_norm_backward_input(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dx, and before it the two sums that it takes: dweight and dbias."""
    batch_norm_backward_weight(dy, x, mean, var, eps, dweight)
    batch_norm_backward_bias(dy, dbias)
    count = x.shape[0] * x.shape[2]
    for c in range(x.shape[1]):
        inverse = 1 / np.sqrt(var[c] + eps)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                xhat = (x[n, c, s] - mean[c]) * inverse
                inner = dy[n, c, s] - dbias[c] / count - xhat * dweight[c] / count
                dx[n, c, s] = weight[c] * inverse * inner


def batch_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight[c] = sum over n, s of dy * xhat; the statistics may be the running ones."""
    for c in range(dweight.shape[0]):
        inverse = 1 / np.sqrt(var[c] + eps)
        total = np.float64(0)
        for n in range(x.shape[0]):
            for s in range(x.shape[2]):
                total += dy[n, c, s] * ((x[n, c, s] - mean[c]) * inverse)
        dweight[c] = total


def batch_norm_backward_bias(dy, dbias):
    """Write dbias[c] = sum over n, s of dy."""
    for c in range(dbias.shape[0]):
        total = np.float64(0)
        for n in range(dy.shape[0]):
            for s in range(dy.shape[2]):
                total += dy[n, c, s]
        dbias[c] = total
