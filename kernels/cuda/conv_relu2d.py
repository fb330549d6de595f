"""Convolution followed by a rectified linear unit, as in ``reference/conv_relu2d.py``.

Forward, the thread that owns a number of y writes 0 where it would be negative: the unit takes no
launch and no pass over memory of its own. Backward, ``relu.py`` writes dz, which the kernels of
``conv2d.py`` take. ``Conv2d``, which wants all three gradients, writes dz once and calls those
itself. Every output array is overwritten.
"""

from ._cuda import empty
from .conv2d import (
    choose,
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
)
from .relu import relu_backward_input


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
    chosen = choose(x.dtype, weight.shape[0] // groups)
    chosen.conv_relu2d_forward(x, weight, bias, *geometry, y)


def _through_relu(dy, y):
    """Return dz: dy where the unit was on, else 0."""
    dz = empty(dy.shape, dy.dtype)
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
