"""Batch normalisation followed by a rectified linear unit, as one operation.

As in ``conv_relu2d.py``, the chain rule puts the two gradients one behind the other, and y alone
says where the unit was on: dz = dy where y > 0, else 0, is what the gradients of ``batch_norm.py``
take. Floors that compute both in one pass read and write each number once less in each direction.

Shapes and letters as in ``batch_norm.py``; every output array is overwritten.
"""

import numpy as np

from .batch_norm import batch_norm_backward_input, batch_norm_forward
from .relu import relu_backward_input, relu_forward


def batch_norm_relu_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and variance of each channel, and y."""
    batch_norm_forward(x, weight, bias, eps, mean, var, y)
    z = np.array(y).reshape(-1)
    relu_forward(z, z)
    y[...] = z.reshape(y.shape)


def batch_norm_relu_backward_input(dy, y, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dx, dweight and dbias; y is what the forward pass wrote."""
    dz = np.empty(dy.shape, dy.dtype)
    relu_backward_input(dy.reshape(-1), y.reshape(-1), dz.reshape(-1))
    batch_norm_backward_input(dz, x, weight, mean, var, eps, dweight, dbias, dx)
