"""Convolution followed by a rectified linear unit, y = max(x * w + b, 0), as one operation.

No new mathematics: the chain rule puts the two gradients one behind the other. With ``z`` the
convolution's output, ``dz = dy`` where y > 0 and 0 elsewhere, and dz is what the gradients of
``conv2d.py`` take. z itself is never needed: y alone says where the unit was on. That is why
the pair is worth an operation of its own: other floors need not keep z, nor write it, nor dz.

Shapes and letters as in ``conv2d.py``; every output array is overwritten.
"""

import numpy as np

from .conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from .relu import relu_backward_input, relu_forward


def conv_relu2d_forward(
    x,
    weight,
    bias,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    groups,
    y,
):
    """Write y = max(x * w + b, 0)."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    conv2d_forward(x, weight, bias, *geometry, y)
    z = np.array(y).reshape(-1)
    relu_forward(z, z)
    y[...] = z.reshape(y.shape)


def _through_relu(dy, y):
    """Return dz: dy where the unit was on, else 0."""
    dz = np.empty(dy.shape, dy.dtype)
    relu_backward_input(dy.reshape(-1), y.reshape(-1), dz.reshape(-1))
    return dz


def conv_relu2d_backward_input(
    dy,
    y,
    weight,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    groups,
    dx,
):
    """Write dx; y is what the forward pass wrote."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    conv2d_backward_input(_through_relu(dy, y), weight, *geometry, dx)


def conv_relu2d_backward_weight(
    dy,
    y,
    x,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    groups,
    dweight,
):
    """Write dweight; y is what the forward pass wrote."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    conv2d_backward_weight(_through_relu(dy, y), x, *geometry, dweight)


def conv_relu2d_backward_bias(dy, y, dbias):
    """Write dbias; y is what the forward pass wrote."""
    conv2d_backward_bias(_through_relu(dy, y), dbias)
