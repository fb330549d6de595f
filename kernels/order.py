"""The order of pictures in memory: shape (N, C, H, W) outside, either of two orders inside.

*Planes*: NumPy's own order, one channel's picture after the other. *Channels last*: the memory of
an array (N, H, W, C), seen through its transpose. There all channels of a pixel lie side by side,
so that vectors run over channels, whatever the window, stride and padding do to pixels; the tuned
loops of the CPU floor work so. Nobody has to ask: indices and values are the same, only the
strides differ (PyTorch calls it ``channels_last``).
"""

import ctypes
import math

import numpy as np

LINE = 64  # bytes
LARGE = 4096  # bytes from which an array's beginning is worth a thought


def is_last(x):
    """Return whether the pictures x lie channels last, and not (also) plane by plane."""
    if x.ndim != 4 or not isinstance(x, np.ndarray) or x.flags.c_contiguous:
        return False
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def empty(shape, dtype):
    """Return a new array; a large one begins where a line of the cache does.

    A vector of 64 bytes that lies across two lines costs two loads, and NumPy's arrays begin
    anywhere: a product of matrices took a sixth longer for it.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    room = np.empty(size + LINE, np.uint8)
    # room.ctypes.data would take longer than all the rest
    first = -ctypes.addressof(ctypes.c_char.from_buffer(room)) % LINE
    return np.ndarray(shape, dtype, room, first)


def empty_last(shape, dtype):
    """Return a new array of shape (N, C, H, W) that lies channels last."""
    n, c, h, w = shape
    return empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def flat(x):
    """Return the numbers of x as one row, in the order of the memory; nothing is copied."""
    return x.transpose(0, 2, 3, 1).reshape(-1) if is_last(x) else x.reshape(-1)
