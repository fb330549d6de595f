"""Bilinear resizing, the loops of ``reference/upsample_bilinear2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: the outputs that looked at one pixel lie in
one plane. Positions and weights are worked out once, for all planes.

Shapes and letters as in ``reference/upsample_bilinear2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange


@helper
def sources(align_corners, scale, size, before, weight):
    """Write for each output along an axis the pixel before it, and the weight of the next."""
    number = weight.dtype.type
    for o in range(before.size):
        position = number(o) * number(scale)
        if not align_corners:
            position = (number(o) + number(0.5)) * number(scale) - number(0.5)
        position = max(position, number(0))
        first = min(int(position), size - 1)
        before[o] = first
        weight[o] = position - number(first) if first + 1 < size else number(0)


@helper
def mean_of_two(a, b, weight, one):
    """Return a where b has no weight, else their weighted mean."""
    return a if weight == 0 else (one - weight) * a + weight * b


@kernel
def upsample_bilinear2d_forward(x, align_corners, scale_h, scale_w, y):
    """Write y; a thread owns planes (n, c)."""
    one = x.dtype.type(1)
    rows = np.empty(y.shape[2], np.int64)
    columns = np.empty(y.shape[3], np.int64)
    vs = np.empty(y.shape[2], x.dtype)
    us = np.empty(y.shape[3], x.dtype)
    sources(align_corners, scale_h, x.shape[2], rows, vs)
    sources(align_corners, scale_w, x.shape[3], columns, us)
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            ih = rows[oh]
            below = ih + 1 if vs[oh] > 0 else ih
            for ow in range(y.shape[3]):
                iw = columns[ow]
                u = us[ow]
                right = iw + 1 if u > 0 else iw
                upper = mean_of_two(x[n, c, ih, iw], x[n, c, ih, right], u, one)
                lower = mean_of_two(x[n, c, below, iw], x[n, c, below, right], u, one)
                y[n, c, oh, ow] = mean_of_two(upper, lower, vs[oh], one)


@kernel
def upsample_bilinear2d_backward_input(dy, align_corners, scale_h, scale_w, dx):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    one = dx.dtype.type(1)
    rows = np.empty(dy.shape[2], np.int64)
    columns = np.empty(dy.shape[3], np.int64)
    vs = np.empty(dy.shape[2], dx.dtype)
    us = np.empty(dy.shape[3], dx.dtype)
    sources(align_corners, scale_h, dx.shape[2], rows, vs)
    sources(align_corners, scale_w, dx.shape[3], columns, us)
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(dx.shape[2]):
            for iw in range(dx.shape[3]):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            ih = rows[oh]
            v = vs[oh]
            for ow in range(dy.shape[3]):
                iw = columns[ow]
                u = us[ow]
                upper = (one - v) * dy[n, c, oh, ow]
                dx[n, c, ih, iw] += (one - u) * upper
                if u > 0:
                    dx[n, c, ih, iw + 1] += u * upper
                if v > 0:
                    lower = v * dy[n, c, oh, ow]
                    dx[n, c, ih + 1, iw] += (one - u) * lower
                    if u > 0:
                        dx[n, c, ih + 1, iw + 1] += u * lower
