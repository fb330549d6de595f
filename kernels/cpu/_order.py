"""From planes to channels last and back: a transpose of small matrices, on every core.

Channels of a picture are the rows of a matrix, pixels its columns; turning it is the whole work.
Blocks of 4 columns of as many rows as a vector has lanes are turned in registers.
"""

import numpy as np
from numba.core import config

from ..order import empty, is_last
from . import _simd
from ._jit import kernel, prange

WIDTH = _simd.WIDTH
LINES = 64  # columns of a task


@kernel
def _turn(x, y):
    """y[n, j, i] = x[n, i, j]; a thread owns LINES of the j of one n."""
    rows, columns = x.shape[1:]
    pieces = (columns + LINES - 1) // LINES
    for task in prange(x.shape[0] * pieces):
        n = task // pieces
        begin = task % pieces * LINES
        end = min(columns, begin + LINES)
        source = x.reshape(-1)
        target = y.reshape(-1)
        base = n * rows * columns
        whole = rows // WIDTH * WIDTH if end - begin >= 4 else 0
        for i in range(0, whole, WIDTH):
            for j in range(begin, end, 4):
                first = min(j, end - 4)
                four = _simd.load_across(source, base + i * columns + first, columns)
                _simd.store(four, target, base + first * rows + i, rows)
        for j in range(begin, end):
            for i in range(whole, rows):
                target[base + j * rows + i] = source[base + i * columns + j]


def _copy_turned(x, y):
    """Write y[n, j, i] = x[n, i, j] for contiguous arrays."""
    if x.dtype.itemsize == 4 and not config.DISABLE_JIT:
        _turn(x.view(np.float32), y.view(np.float32))
    else:
        np.copyto(y, x.transpose(0, 2, 1))


def as_last(x):
    """Return pictures (N, C, H, W) as a contiguous array (N, H, W, C): a view, or a copy."""
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous:
        return last
    n, c, h, w = x.shape
    turned = empty((n, h, w, c), x.dtype)
    _copy_turned(np.ascontiguousarray(x).reshape(n, c, h * w), turned.reshape(n, h * w, c))
    return turned


def as_planes(x):
    """Return pictures in either order as a C-contiguous array (N, C, H, W): x itself, or a copy."""
    if not is_last(x):
        return np.ascontiguousarray(x)
    n, c, h, w = x.shape
    turned = empty((n, c, h, w), x.dtype)
    _copy_turned(x.transpose(0, 2, 3, 1).reshape(n, h * w, c), turned.reshape(n, c, h * w))
    return turned


def room_last(y):
    """Return room (N, H, W, C) for the output y: its own memory, or new; then call `put_last`."""
    last = y.transpose(0, 2, 3, 1)
    return last if last.flags.c_contiguous else empty(last.shape, y.dtype)


def put_last(room, y):
    """Bring what stands in `room` to the output y, unless it is y's own memory."""
    if not np.may_share_memory(room, y):
        n, h, w, c = room.shape
        _copy_turned(room.reshape(n, h * w, c), y.reshape(n, c, h * w))


def room_planes(y):
    """Return room (N, C, H, W) for the output y: y itself, or new; then call `put_planes`."""
    return empty(y.shape, y.dtype) if is_last(y) else y


def put_planes(room, y):
    """Bring what stands in `room` to the output y, unless it is y itself."""
    if room is not y:
        n, c, h, w = y.shape
        last = y.transpose(0, 2, 3, 1).reshape(n, h * w, c)
        _copy_turned(room.reshape(n, c, h * w), last)
