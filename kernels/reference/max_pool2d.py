"""Max pooling: the largest value of each window, and a note of where it stood.

Shapes (C order)::

    x       (N, C, H, W)       y  (N, C, OH, OW)
    argmax  (N, C, OH, OW)     int32, position ``ih * W + iw`` of the winner inside its plane

``ih = oh * stride_h - pad_top + kh * dilation_h`` and likewise ``iw``. Padding never wins: a
pixel outside the picture takes no part, and a window without any pixel gives -inf. On a tie the
first in row-major order wins, and a NaN wins over every number, so that it can't hide.

The gradient of a maximum goes to the winner alone. Windows may overlap, so one ``dx`` can
receive from several windows; a pixel that never won receives 0.

Every output array is overwritten. Index letters as in ``conv2d.py``; ``c`` is the channel,
since pooling never mixes channels.
"""

import math


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
    """Write y and argmax; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    best = x.dtype.type(-math.inf)
                    winner = -1
                    for kh in range(kernel_h):
                        for kw in range(kernel_w):
                            ih = oh * stride_h - pad_top + kh * dilation_h
                            iw = ow * stride_w - pad_left + kw * dilation_w
                            if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                value = x[n, c, ih, iw]
                                first_nan = value != value and best == best
                                if winner < 0 or value > best or first_nan:
                                    best = value
                                    winner = ih * x.shape[3] + iw
                    y[n, c, oh, ow] = best
                    argmax[n, c, oh, ow] = winner


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
    """Write dx: hand each dy to the pixel that won its window."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    winner = argmax[n, c, oh, ow]
                    if winner >= 0:  # -1: the window lay in the padding alone
                        dx[n, c, winner // dx.shape[3], winner % dx.shape[3]] += dy[n, c, oh, ow]
