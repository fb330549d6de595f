"""Batch normalisation followed by a rectified linear unit, as in ``reference/batch_norm_relu.py``.

The kernels of ``batch_norm.py`` and ``relu.py``, one behind the other; the unit works in place.
Every output array is overwritten.
"""

from ._cuda import empty
from .batch_norm import batch_norm_backward_input, batch_norm_forward
from .relu import relu_backward_input, relu_forward


def batch_norm_relu_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and variance of each channel, and y."""
    batch_norm_forward(x, weight, bias, eps, mean, var, y)
    relu_forward(y.reshape(-1), y.reshape(-1))


def batch_norm_relu_backward_input(dy, y, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dx, dweight and dbias; y is what the forward pass wrote."""
    dz = empty(dy.shape, dy.dtype)
    relu_backward_input(dy.reshape(-1), y.reshape(-1), dz.reshape(-1))
    batch_norm_backward_input(dz, x, weight, mean, var, eps, dweight, dbias, dx)
