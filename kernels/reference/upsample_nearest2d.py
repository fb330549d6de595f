"""Resizing by the nearest pixel: every output copies one pixel of the input.

Shapes: x (N, C, H, W), y (N, C, OH, OW)::

    y[n, c, oh, ow] = x[n, c, ih, iw]    with ih = min(floor(oh * scale_h), H - 1)

and likewise ``iw``; a scale is the step in the input from one output to the next, so 0.5 makes a
picture twice as large. It must be above 0. "Nearest" is PyTorch's word: the rule rounds down.

Where the product should be a whole number but isn't quite, its rounding decides between two
pixels. So that the same pixel is taken everywhere, it is computed in float32, as PyTorch does,
whatever the type of the picture.

What is copied several times receives the gradient of every copy; what is never copied, 0. Every
output array is overwritten.
"""

import numpy as np


def source(o, scale, size):
    """Return the position along an axis of `size` pixels that output o copies."""
    return min(int(np.float32(o) * np.float32(scale)), size - 1)


def upsample_nearest2d_forward(x, scale_h, scale_w, y):
    """Write y; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                ih = source(oh, scale_h, x.shape[2])
                for ow in range(y.shape[3]):
                    iw = source(ow, scale_w, x.shape[3])
                    y[n, c, oh, ow] = x[n, c, ih, iw]


def upsample_nearest2d_backward_input(dy, scale_h, scale_w, dx):
    """Write dx: each output hands its gradient to the pixel that it copied."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                ih = source(oh, scale_h, dx.shape[2])
                for ow in range(dy.shape[3]):
                    iw = source(ow, scale_w, dx.shape[3])
                    dx[n, c, ih, iw] += dy[n, c, oh, ow]
