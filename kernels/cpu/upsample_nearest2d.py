"""Resizing by the nearest pixel, the loops of ``reference/upsample_nearest2d.py`` on every core.

Pictures lie channels last (``../order.py``), so that a vector of channels is copied at once
(``_lanes.py``); others are turned before and after. Which pixel an output copies is worked out
once, for all pictures.

- forward: a thread owns rows of outputs.
- backward_input: a thread owns rows of dx. A pixel gathers from its copies, which stand side by
  side, in the order in which the reference scatters: each number is written once.

Shapes and letters as in ``reference/upsample_nearest2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange
from ._lanes import WIDTH, every, load, plus, store
from ._order import as_last, put_last, room_last
from ._windows import sizes_of


@helper
def sources(scale, size, outputs):
    """Return for each output along an axis the position, of `size`, that it copies."""
    found = np.empty(outputs, np.int64)
    for o in range(outputs):
        found[o] = min(int(np.float32(o) * np.float32(scale)), size - 1)
    return found


@helper
def looking(before, reach, size):
    """Return for each pixel i the first output, and the end, with i - reach <= before <= i."""
    first = np.zeros(size, np.int64)
    end = np.zeros(size, np.int64)
    for o in range(before.size):
        for i in range(before[o] + reach + 1, size):
            first[i] = o + 1
        for i in range(before[o], size):
            end[i] = o + 1
    return first, end


@kernel
def _forward(x, sizes, scale_h, scale_w, y):
    """Write y; a thread owns rows of outputs."""
    pictures, height, width, out_h, out_w, channels = sizes
    rows = sources(scale_h, height, out_h)
    columns = sources(scale_w, width, out_w)
    for task in prange(pictures * out_h):
        row = (task // out_h * height + rows[task % out_h]) * width
        for ow in range(out_w):
            at = (row + columns[ow]) * channels
            to = (task * out_w + ow) * channels
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                store(load(x, at + c, lanes), y, to + c, lanes)


@kernel
def _backward_input(dy, sizes, scale_h, scale_w, dx):
    """Write dx; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    first_h, end_h = looking(sources(scale_h, height, out_h), 0, height)
    first_w, end_w = looking(sources(scale_w, width, out_w), 0, width)
    for task in prange(pictures * height):
        ih = task % height
        for iw in range(width):
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                total = every(dx, 0, lanes)
                for oh in range(first_h[ih], end_h[ih]):
                    row = (task // height * out_h + oh) * out_w
                    for ow in range(first_w[iw], end_w[iw]):
                        total = plus(total, load(dy, (row + ow) * channels + c, lanes))
                store(total, dx, (task * width + iw) * channels + c, lanes)


def upsample_nearest2d_forward(x, scale_h, scale_w, y):
    """Write y; a thread owns rows of outputs."""
    room = room_last(y)
    _forward(as_last(x).reshape(-1), sizes_of(x, y), scale_h, scale_w, room.reshape(-1))
    put_last(room, y)


def upsample_nearest2d_backward_input(dy, scale_h, scale_w, dx):
    """Write dx; a thread owns rows of it."""
    room = room_last(dx)
    given = as_last(dy).reshape(-1), sizes_of(dx, dy)
    _backward_input(*given, scale_h, scale_w, room.reshape(-1))
    put_last(room, dx)
