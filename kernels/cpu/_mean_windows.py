"""The mean of each window, for every kind of window (``_windows.py``).

Pictures lie channels last (``../order.py``), so that one addition serves a vector of channels
(``_lanes.py``), whatever the windows do; others are turned before and after.

- forward: a thread owns rows of outputs.
- backward_input: a thread owns rows of dx. Each pixel gathers from the windows that see it, in the
  order in which the reference scatters.

Each number is written once, so it doesn't matter how many threads there are.
"""

from ._jit import helper, kernel, prange
from ._lanes import WIDTH, every, load, over, plus, store, times
from ._order import as_last, put_last, room_last
from ._windows import sizes_of


@helper
def _share(vector, count):
    """Return the vector divided by count; by a power of two, a product gives the same bits."""
    return over(vector, count) if count & (count - 1) else times(vector, 1 / count)


@kernel
def _forward(x, sizes, rows, columns, count_h, count_w, y):
    """Write y; a thread owns rows of outputs."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * out_h):
        top, taps_h = rows[task % out_h, 0], rows[task % out_h, 1]
        for ow in range(out_w):
            left, taps_w = columns[ow, 0], columns[ow, 1]
            count = count_h[task % out_h] * count_w[ow]
            corner = (task // out_h * height + top) * width + left
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                total = every(y, 0, lanes)
                for kh in range(taps_h):
                    at = (corner + kh * width) * channels + c
                    for _ in range(taps_w):
                        total = plus(total, load(x, at, lanes))
                        at += channels
                store(_share(total, count), y, (task * out_w + ow) * channels + c, lanes)


@kernel
def _backward_input(dy, sizes, rows, columns, count_h, count_w, dx):
    """Write dx; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * height):
        first_h, end_h = rows[task % height, 0], rows[task % height, 1]
        for iw in range(width):
            first_w, end_w = columns[iw, 0], columns[iw, 1]
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                total = every(dx, 0, lanes)
                for oh in range(first_h, end_h):
                    at = ((task // height * out_h + oh) * out_w + first_w) * channels + c
                    for ow in range(first_w, end_w):
                        share = _share(load(dy, at, lanes), count_h[oh] * count_w[ow])
                        total = plus(total, share)
                        at += channels
                store(total, dx, (task * width + iw) * channels + c, lanes)


def mean_forward(x, rows, columns, y):
    """Write y for the windows of the tables."""
    room = room_last(y)
    tables = rows.pixels, columns.pixels, rows.count, columns.count
    _forward(as_last(x).reshape(-1), sizes_of(x, y), *tables, room.reshape(-1))
    put_last(room, y)


def mean_backward_input(dy, rows, columns, dx):
    """Write dx for the windows of the tables."""
    room = room_last(dx)
    tables = rows.windows, columns.windows, rows.count, columns.count
    _backward_input(as_last(dy).reshape(-1), sizes_of(dx, dy), *tables, room.reshape(-1))
    put_last(room, dx)
