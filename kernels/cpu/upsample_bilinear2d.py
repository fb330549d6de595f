"""Bilinear resizing, the loops of ``reference/upsample_bilinear2d.py`` on every core.

Pictures lie channels last (``../order.py``), so that a vector of channels is computed at once
(``_lanes.py``); others are turned before and after. Positions and weights are worked out once, for
all pictures.

- forward: a thread owns rows of outputs.
- backward_input: a thread owns rows of dx. A pixel gathers from the outputs that looked at it,
  which stand side by side, in the order in which the reference scatters.

Shapes and letters as in ``reference/upsample_bilinear2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange
from ._lanes import WIDTH, every, load, plus_product, store, times
from ._order import as_last, put_last, room_last
from ._windows import sizes_of
from .upsample_nearest2d import looking


@helper
def sources(align_corners, scale, size, outputs, like):
    """Return for each output along an axis the pixel before it, and the weight of the next."""
    before = np.empty(outputs, np.int64)
    weight = np.empty(outputs, like.dtype)
    number = like.dtype.type
    for o in range(outputs):
        position = number(o) * number(scale)
        if not align_corners:
            position = (number(o) + number(0.5)) * number(scale) - number(0.5)
        position = max(position, number(0))
        first = min(int(position), size - 1)
        before[o] = first
        weight[o] = position - number(first) if first + 1 < size else number(0)
    return before, weight


@helper
def mean_of_two(x, one, other, weight, lanes):
    """Return the vector `one` where `other` has no weight, else their weighted mean."""
    if weight == 0:
        return one
    part = times(one, x.dtype.type(1) - weight)
    return plus_product(part, every(x, weight, lanes), other)


@kernel
def _forward(x, sizes, align_corners, scale_h, scale_w, y):
    """Write y; a thread owns rows of outputs."""
    pictures, height, width, out_h, out_w, channels = sizes
    rows, vs = sources(align_corners, scale_h, height, out_h, x)
    columns, us = sources(align_corners, scale_w, width, out_w, x)
    for task in prange(pictures * out_h):
        v = vs[task % out_h]
        top = task // out_h * height + rows[task % out_h]
        below = top + 1 if v > 0 else top
        for ow in range(out_w):
            u = us[ow]
            left = columns[ow]
            right = left + 1 if u > 0 else left
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                one = load(x, (top * width + left) * channels + c, lanes)
                other = load(x, (top * width + right) * channels + c, lanes)
                upper = mean_of_two(x, one, other, u, lanes)
                one = load(x, (below * width + left) * channels + c, lanes)
                other = load(x, (below * width + right) * channels + c, lanes)
                lower = mean_of_two(x, one, other, u, lanes)
                mean = mean_of_two(x, upper, lower, v, lanes)
                store(mean, y, (task * out_w + ow) * channels + c, lanes)


@kernel
def _backward_input(dy, sizes, align_corners, scale_h, scale_w, dx):
    """Write dx; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    rows, vs = sources(align_corners, scale_h, height, out_h, dx)
    columns, us = sources(align_corners, scale_w, width, out_w, dx)
    first_h, end_h = looking(rows, 1, height)
    first_w, end_w = looking(columns, 1, width)
    one = dx.dtype.type(1)
    for task in prange(pictures * height):
        ih = task % height
        for iw in range(width):
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                total = every(dx, 0, lanes)
                for oh in range(first_h[ih], end_h[ih]):
                    down = vs[oh] if rows[oh] < ih else one - vs[oh]
                    row = (task // height * out_h + oh) * out_w
                    for ow in range(first_w[iw], end_w[iw]):
                        share = (us[ow] if columns[ow] < iw else one - us[ow]) * down
                        if share != 0:
                            sent = load(dy, (row + ow) * channels + c, lanes)
                            total = plus_product(total, every(dx, share, lanes), sent)
                store(total, dx, (task * width + iw) * channels + c, lanes)


def upsample_bilinear2d_forward(x, align_corners, scale_h, scale_w, y):
    """Write y; a thread owns rows of outputs."""
    room = room_last(y)
    given = as_last(x).reshape(-1), sizes_of(x, y)
    _forward(*given, align_corners, scale_h, scale_w, room.reshape(-1))
    put_last(room, y)


def upsample_bilinear2d_backward_input(dy, align_corners, scale_h, scale_w, dx):
    """Write dx; a thread owns rows of it."""
    room = room_last(dx)
    given = as_last(dy).reshape(-1), sizes_of(dx, dy)
    _backward_input(*given, align_corners, scale_h, scale_w, room.reshape(-1))
    put_last(room, dx)
