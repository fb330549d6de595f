"""Padding, the loops of ``reference/pad2d.py`` on every core.

Pictures lie channels last (``../order.py``), so that a vector of channels is copied at once
(``_lanes.py``); others are turned before and after. Which pixel stands where is put into tables
once, one for the rows and one for the columns.

- forward: a thread owns rows of the framed pictures.
- backward_input: a thread owns rows of dx. A pixel gathers from its copies, in the order in which
  the reference scatters: each number is written once.

Shapes and letters as in ``reference/pad2d.py``; every output array is overwritten.
"""

import functools

import numpy as np

from ._jit import kernel, prange
from ._lanes import WIDTH, every, load, plus, store
from ._order import as_last, put_last, room_last
from ._windows import sizes_of

REFLECT, REPLICATE, CIRCULAR = 1, 2, 3


@functools.lru_cache(256)
def _sources(size, pad, outputs, mode):
    """Return which pixel of `size` stands at each output, counted from the first; -1: none."""
    place = np.arange(outputs) - pad
    if mode == REFLECT:
        return np.where(place < size, np.abs(place), 2 * (size - 1) - place)
    if mode == REPLICATE:
        return np.clip(place, 0, size - 1)
    if mode == CIRCULAR:
        return place + np.where(place < 0, size, np.where(place < size, 0, -size))
    return np.where((place >= 0) & (place < size), place, -1)


@functools.lru_cache(256)
def _copies(size, pad, outputs, mode):
    """Return where each pixel's copies begin in a list, and the list of the outputs."""
    found = _sources(size, pad, outputs, mode)
    outputs_of = np.argsort(found, kind="stable")
    return np.searchsorted(found[outputs_of], np.arange(size + 1)), outputs_of


@kernel
def _forward(x, sizes, rows, columns, value, y):
    """Write y; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * out_h):
        ih = rows[task % out_h]
        for ow in range(out_w):
            iw = columns[ow]
            at = ((task // out_h * height + ih) * width + iw) * channels
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                vector = every(y, value, lanes)
                if ih >= 0 and iw >= 0:
                    vector = load(x, at + c, lanes)
                store(vector, y, (task * out_w + ow) * channels + c, lanes)


@kernel
def _backward_input(dy, sizes, first_h, rows, first_w, columns, dx):
    """Write dx; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * height):
        ih = task % height
        for iw in range(width):
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                total = every(dx, 0, lanes)
                for i in range(first_h[ih], first_h[ih + 1]):
                    row = (task // height * out_h + rows[i]) * out_w
                    for j in range(first_w[iw], first_w[iw + 1]):
                        total = plus(total, load(dy, (row + columns[j]) * channels + c, lanes))
                store(total, dx, (task * width + iw) * channels + c, lanes)


def pad2d_forward(x, pad_top, pad_left, mode, value, y):
    """Write y; a thread owns rows of it."""
    rows = _sources(x.shape[2], pad_top, y.shape[2], mode)
    columns = _sources(x.shape[3], pad_left, y.shape[3], mode)
    room = room_last(y)
    fill = x.dtype.type(value)
    _forward(as_last(x).reshape(-1), sizes_of(x, y), rows, columns, fill, room.reshape(-1))
    put_last(room, y)


def pad2d_backward_input(dy, pad_top, pad_left, mode, dx):
    """Write dx; a thread owns rows of it."""
    tables = (
        *_copies(dx.shape[2], pad_top, dy.shape[2], mode),
        *_copies(dx.shape[3], pad_left, dy.shape[3], mode),
    )
    room = room_last(dx)
    _backward_input(as_last(dy).reshape(-1), sizes_of(dx, dy), *tables, room.reshape(-1))
    put_last(room, dx)
