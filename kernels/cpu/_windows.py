"""Which pixels each window of a pooling sees, and which windows see each pixel: small tables.

A pooling's geometry (kernel, stride, padding, dilation, or how many windows there shall be) only
decides these tables, one for the rows and one for the columns. So the loops need no case for any
of it, and all poolings share them: `_max_windows.py` and `_mean_windows.py`.
"""

import functools
from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """The windows along one axis.

    Attributes
    ----------
    pixels : array (O, 2)
        First pixel of window o inside the picture, and how many it sees.
    step : int
        Distance from one pixel of a window to the next.
    windows : array (I, 2)
        First window whose reach holds pixel i, and the end.
    cells : array (O + 1,) or None
        Where no two windows reach the same pixel: window o alone sees pixels of
        [cells[o], cells[o + 1]), and these cells fill the picture.
    count : array (O,)
        By how many pixels a mean divides.
    """

    pixels: np.ndarray
    step: int
    windows: np.ndarray
    cells: np.ndarray | None
    count: np.ndarray


def _tables(begin, first, end, step, size, count=None):
    """Return the tables of windows that reach over [begin, end) and see `first` as their first.

    Neither begin nor end ever falls. `first` may: with a dilation of 3, the windows that begin at
    pixels -2, -1 and 0 see 1, 2 and 0 first.
    """
    pixel = np.arange(size)
    taps = -(-np.maximum(end - first, 0) // step)
    windows = np.searchsorted(end, pixel, "right"), np.searchsorted(begin, pixel, "right")
    apart = (windows[1] - windows[0]).max(initial=0) <= 1
    cells = np.array([0, *np.clip(begin[1:], 0, size), size]) if apart else None
    count = taps if count is None else count
    tables = np.stack([first, taps], axis=1), step, np.stack(windows, axis=1), cells, count
    for table in tables:
        if isinstance(table, np.ndarray):  # it is kept, and served to whoever asks next
            table.flags.writeable = False
    return Windows(*tables)


@functools.lru_cache(256)
def sliding(size, kernel, stride, pad, dilation, outputs, count_include_pad=0):
    """Return the tables of a window that slides over `size` pixels, with `outputs` places."""
    begin = np.arange(outputs) * stride - pad
    outside = -(-np.maximum(-begin, 0) // dilation)  # taps before the first pixel
    first = np.minimum(begin + outside * dilation, size)
    end = np.minimum(begin + dilation * (kernel - 1) + 1, size)
    padded = np.minimum(begin + kernel, size + pad) - begin
    return _tables(begin, first, end, dilation, size, padded if count_include_pad else None)


@functools.lru_cache(256)
def adaptive(size, outputs):
    """Return the tables of `outputs` windows that cover `size` pixels evenly."""
    window = np.arange(outputs)
    begin = window * size // outputs
    return _tables(begin, begin, -(-(window + 1) * size // outputs), 1, size)


def sizes_of(x, y):
    """Return (N, H, W, OH, OW, C) of pictures and their pooled ones."""
    return (x.shape[0], *x.shape[2:], *y.shape[2:], x.shape[1])
