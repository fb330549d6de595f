"""Batch normalisation with statistics that are given: how a trained network is used.

Shapes and letters as in ``batch_norm.py``.

    y = weight[c] * (x - mean[c]) / sqrt(var[c] + eps) + bias[c]

With mean and var held fixed this is one straight line per channel, so dx is dy times its slope.
The gradients of weight and bias are ``batch_norm.py``'s. Every output array is overwritten.

Ioffe and Szegedy, 2015.
"""

import numpy as np


def batch_norm_eval_forward(x, weight, bias, mean, var, eps, y):
    """Write y; every number is independent of the others."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for s in range(x.shape[2]):
                xhat = (x[n, c, s] - mean[c]) / np.sqrt(var[c] + eps)
                y[n, c, s] = weight[c] * xhat + bias[c]


def batch_norm_eval_backward_input(dy, weight, var, eps, dx):
    """Write dx = dy * weight[c] / sqrt(var[c] + eps)."""
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for s in range(dy.shape[2]):
                dx[n, c, s] = dy[n, c, s] * weight[c] / np.sqrt(var[c] + eps)
