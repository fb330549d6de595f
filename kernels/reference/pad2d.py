"""Padding: a picture in a larger frame, and four ways to fill what lies around it.

Shapes: x (N, C, H, W), y (N, C, OH, OW). The picture begins ``pad_top`` rows and ``pad_left``
columns inside y; bottom and right padding are what the shape of y leaves. No padding is negative.
One row of three pixels, two of padding at each end, in the four modes::

    0 constant    v v 1 2 3 v v      v is `value`
    1 reflect     3 2 1 2 3 2 1      a mirror stands on the edge pixel: padding < size
    2 replicate   1 1 1 2 3 3 3      the edge goes on
    3 circular    2 3 1 2 3 1 2      the picture begins again: padding <= size

    y[n, c, oh, ow] = x[n, c, ih, iw],  ih = source_position(oh - pad_top, H, mode), likewise iw

Each y is a copy of one x, so its gradient goes back to that x; a pixel that was copied several
times collects from all its copies, and `value` receives nothing. Every output array is
overwritten.
"""

REFLECT, REPLICATE, CIRCULAR = 1, 2, 3


def source_position(position, size, mode):
    """Return which row of the picture stands at `position`, counted from its first; -1: none."""
    if 0 <= position < size:
        return position
    before = position < 0
    if mode == REFLECT:
        return -position if before else 2 * (size - 1) - position
    if mode == REPLICATE:
        return 0 if before else size - 1
    if mode == CIRCULAR:
        return position + size if before else position - size
    return -1


def pad2d_forward(x, pad_top, pad_left, mode, value, y):
    """Write y; every number of it is a copy of one pixel, or `value`."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    ih = source_position(oh - pad_top, x.shape[2], mode)
                    iw = source_position(ow - pad_left, x.shape[3], mode)
                    inside = ih >= 0 and iw >= 0
                    y[n, c, oh, ow] = x[n, c, ih, iw] if inside else value


def pad2d_backward_input(dy, pad_top, pad_left, mode, dx):
    """Write dx: each dy goes to the pixel that its y was copied from."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    ih = source_position(oh - pad_top, dx.shape[2], mode)
                    iw = source_position(ow - pad_left, dx.shape[3], mode)
                    if ih >= 0 and iw >= 0:
                        dx[n, c, ih, iw] += dy[n, c, oh, ow]
