"""Max pooling on every core: the windows of ``_windows.py``, the loops of ``_max_windows.py``.

A thread owns rows of outputs, or rows of dx, where each pixel gathers what windows send to it.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

from ._max_windows import max_backward_input, max_forward
from ._windows import sliding


def max_pool2d_forward(
    x,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    y,
    argmax,
):
    """Write y and argmax; a thread owns rows of outputs."""
    rows = sliding(x.shape[2], kernel_h, stride_h, pad_top, dilation_h, y.shape[2])
    columns = sliding(x.shape[3], kernel_w, stride_w, pad_left, dilation_w, y.shape[3])
    max_forward(x, rows, columns, y, argmax)


def max_pool2d_backward_input(
    dy,
    argmax,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    dx,
):
    """Write dx; a thread owns rows of it."""
    rows = sliding(dx.shape[2], kernel_h, stride_h, pad_top, dilation_h, dy.shape[2])
    columns = sliding(dx.shape[3], kernel_w, stride_w, pad_left, dilation_w, dy.shape[3])
    max_backward_input(dy, argmax, rows, columns, dx)
