"""Convolution followed by a rectified linear unit, as in ``reference/conv_relu2d.py``.

The unit costs no pass over memory of its own: forward, it is applied to the sums while they are
in registers; backward, dy counts as 0 wherever y isn't positive, and the numbers of y are looked
at where those of dy are read. ``conv2d.py`` chooses who computes it; where that is the loops, the
two operations run one behind the other.
"""

import numpy as np

from ..order import flat, is_last
from . import conv2d_loops
from ._order import as_last
from ._reduce import sum_pixels
from .conv2d import choose, conv2d_backward_bias
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
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(weight, y.shape, *steps)
    if chosen is not conv2d_loops:
        return chosen.convolve(x, None, weight, bias, True, geometry, y)
    conv2d_loops.conv2d_forward(x, weight, bias, *geometry, y)
    relu_forward(flat(y), flat(y))


def _through_relu(dy, y):
    """Return dz: dy where the unit was on, else 0."""
    dz = np.empty_like(dy)
    on = as_last(y).transpose(0, 3, 1, 2) if is_last(dy) else np.ascontiguousarray(y)
    relu_backward_input(flat(dy), flat(on), flat(dz))
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
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(weight, dy.shape, *steps)
    if chosen is not conv2d_loops:
        return chosen.input_gradient(dy, y, weight, geometry, dx)
    conv2d_loops.conv2d_backward_input(_through_relu(dy, y), weight, *geometry, dx)


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
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(dweight, dy.shape, *steps)
    if chosen is not conv2d_loops:
        return chosen.weight_gradient(dy, y, x, geometry, dweight)
    conv2d_loops.conv2d_backward_weight(_through_relu(dy, y), x, *geometry, dweight)


def conv_relu2d_backward_bias(dy, y, dbias):
    """Write dbias; y is what the forward pass wrote. A thread owns pixels."""
    if not is_last(dy):
        return conv2d_backward_bias(_through_relu(dy, y), dbias)
    co = dy.shape[1]
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, co)
    sum_pixels(rows, as_last(y).reshape(-1, co), True, dbias)
