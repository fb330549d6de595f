"""Pixel shuffle: r² channels of a small picture become one channel of a picture r times as large.

Shapes: x (N, C r², H, W), y (N, C, r H, r W); r is ``factor``, a whole number. Each pixel of the
large picture is one of the small ones; which channel holds it follows from where it lies in its
r × r square::

    y[n, c, oh, ow] = x[n, c * r * r + (oh % r) * r + ow % r, oh // r, ow // r]

No number is added or lost, so backward moves each gradient back along the same way. That is also
the forward pass of PixelUnshuffle, which is why that has no file of its own.

Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network", 2016. Every output array is overwritten.
"""


def pixel_shuffle_forward(x, factor, y):
    """Write y; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    ci = (c * factor + oh % factor) * factor + ow % factor
                    y[n, c, oh, ow] = x[n, ci, oh // factor, ow // factor]


def pixel_shuffle_backward_input(dy, factor, dx):
    """Write dx: each number of dy goes to the one place that it came from."""
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    ci = (c * factor + oh % factor) * factor + ow % factor
                    dx[n, ci, oh // factor, ow // factor] = dy[n, c, oh, ow]
