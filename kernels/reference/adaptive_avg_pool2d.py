"""Adaptive average pooling: cut the picture into OH × OW windows and take the mean of each.

Shapes: x (N, C, H, W), y (N, C, OH, OW). The sizes alone say where the windows are::

    window oh sees the rows from floor(oh * H / OH) up to, not including, ceil((oh + 1) * H / OH)

and likewise the columns. Every pixel is seen; where OH doesn't divide H, neighbouring windows
share a row, and where OH is larger than H, some see the same row.

    y[n, c, oh, ow] = (sum over the window of x[n, c, ih, iw]) / (pixels of the window)

so each pixel of the window receives ``dy / (pixels of the window)``. With OH = OW = 1 this is
global average pooling: Lin, Chen and Yan, "Network in network", 2014. Every output array is
overwritten.
"""


def window_of(o, outputs, size):
    """Return the first pixel that window o of `outputs` sees along an axis, and the end."""
    return o * size // outputs, -(-(o + 1) * size // outputs)


def adaptive_avg_pool2d_forward(x, y):
    """Write y; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                top, bottom = window_of(oh, y.shape[2], x.shape[2])
                for ow in range(y.shape[3]):
                    left, right = window_of(ow, y.shape[3], x.shape[3])
                    total = x.dtype.type(0)
                    for ih in range(top, bottom):
                        for iw in range(left, right):
                            total += x[n, c, ih, iw]
                    y[n, c, oh, ow] = total / ((bottom - top) * (right - left))


def adaptive_avg_pool2d_backward_input(dy, dx):
    """Write dx: spread each dy evenly over the window it was the mean of."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                top, bottom = window_of(oh, dy.shape[2], dx.shape[2])
                for ow in range(dy.shape[3]):
                    left, right = window_of(ow, dy.shape[3], dx.shape[3])
                    share = dy[n, c, oh, ow] / ((bottom - top) * (right - left))
                    for ih in range(top, bottom):
                        for iw in range(left, right):
                            dx[n, c, ih, iw] += share
