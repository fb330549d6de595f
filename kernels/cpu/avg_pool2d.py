"""Average pooling on every core: the windows of ``_windows.py``, the loops of ``_mean_windows.py``.

A thread owns rows of outputs, or rows of dx, where each pixel gathers what windows send to it.

Shapes and letters as in ``reference/avg_pool2d.py``; every output array is overwritten.
"""

import numpy as np

from ._mean_windows import mean_backward_input, mean_forward
from ._windows import sliding


def _tables(
    x,
    y,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
):
    """Return the tables of rows and columns; a mean divides by the product of two counts."""
    rows = sliding(x.shape[2], kernel_h, stride_h, pad_top, 1, y.shape[2], count_include_pad)
    columns = sliding(x.shape[3], kernel_w, stride_w, pad_left, 1, y.shape[3], count_include_pad)
    if divisor_override != 0:
        rows = rows._replace(count=np.full(y.shape[2], divisor_override))
        columns = columns._replace(count=np.ones(y.shape[3], np.int64))
    return rows, columns


def avg_pool2d_forward(
    x,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
    y,
):
    """Write y; a thread owns rows of outputs."""
    kernel, stride, pads = (kernel_h, kernel_w), (stride_h, stride_w), (pad_top, pad_left)
    tables = _tables(x, y, *kernel, *stride, *pads, count_include_pad, divisor_override)
    mean_forward(x, *tables, y)


def avg_pool2d_backward_input(
    dy,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
    dx,
):
    """Write dx; a thread owns rows of it."""
    kernel, stride, pads = (kernel_h, kernel_w), (stride_h, stride_w), (pad_top, pad_left)
    tables = _tables(dx, dy, *kernel, *stride, *pads, count_include_pad, divisor_override)
    mean_backward_input(dy, *tables, dx)
