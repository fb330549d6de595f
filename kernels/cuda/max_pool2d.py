"""Max pooling, the loops of ``reference/max_pool2d.py`` turned inside out.

Forward: a thread owns one window (n, c, oh, ow) and searches it, as the reference does.

Backward: the reference goes from window to window and adds dy to the winner (scatter). Windows
overlap and may share a winner, so two threads could add to it at the same moment and lose one
of the two. Here a thread owns one dx[n, c, ih, iw], goes through the windows that reach over
this pixel (gather, ``_index.py``) and adds dy of those whose argmax names it: each number is
written once, by one thread, and added up in the reference's order. With dilation some of these
windows step over the pixel; their argmax then names another, so no test is needed.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel4, windows_over


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
    """Write y and argmax; a thread owns one window (n, c, oh, ow)."""
    launch(
        _forward,
        y.size,
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
    )


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
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the windows that it won."""
    launch(
        _backward_input,
        dx.size,
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
    )


@kernel
def _forward(
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
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        height, width = x.shape[2:]
        best = x.dtype.type(-math.inf)
        winner = -1
        for kh in range(kernel_h):
            ih = oh * stride_h - pad_top + kh * dilation_h
            if 0 <= ih < height:
                for kw in range(kernel_w):
                    iw = ow * stride_w - pad_left + kw * dilation_w
                    if 0 <= iw < width:
                        value = x[n, c, ih, iw]
                        first_nan = value != value and best == best
                        if winner < 0 or value > best or first_nan:
                            best = value
                            winner = ih * width + iw
        y[n, c, oh, ow] = best
        argmax[n, c, oh, ow] = winner


@kernel(registers=96)
def _backward_input(
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
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        reach_h = (kernel_h - 1) * dilation_h + 1
        reach_w = (kernel_w - 1) * dilation_w + 1
        first_oh, end_oh = windows_over(ih, pad_top, reach_h, stride_h, dy.shape[2])
        first_ow, end_ow = windows_over(iw, pad_left, reach_w, stride_w, dy.shape[3])
        here = ih * dx.shape[3] + iw
        total = dx.dtype.type(0)
        for oh in range(first_oh, end_oh):
            for ow in range(first_ow, end_ow):
                if argmax[n, c, oh, ow] == here:
                    total += dy[n, c, oh, ow]
        dx[n, c, ih, iw] = total
