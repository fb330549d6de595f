"""Adaptive max pooling, the loops of ``reference/adaptive_max_pool2d.py`` turned inside out.

Forward: a thread owns one window (n, c, oh, ow) and searches it, as the reference does.

Backward: a thread owns one dx[n, c, ih, iw], goes through the windows that see this pixel
(gather; which they are: ``adaptive_avg_pool2d.py``) and adds dy of those whose argmax names it.

Shapes and letters as in ``reference/adaptive_max_pool2d.py``; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel4, window_of


def adaptive_max_pool2d_forward(x, y, argmax):
    """Write y and argmax; a thread owns one window (n, c, oh, ow)."""
    launch(_forward, y.size, x, y, argmax)


def adaptive_max_pool2d_backward_input(dy, argmax, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the windows that it won."""
    launch(_backward_input, dx.size, dy, argmax, dx)


@kernel(registers=80)
def _forward(x, y, argmax):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        top, bottom = window_of(oh, y.shape[2], x.shape[2])
        left, right = window_of(ow, y.shape[3], x.shape[3])
        best = x.dtype.type(-math.inf)
        winner = -1
        for ih in range(top, bottom):
            for iw in range(left, right):
                value = x[n, c, ih, iw]
                first_nan = value != value and best == best
                if winner < 0 or value > best or first_nan:
                    best = value
                    winner = ih * x.shape[3] + iw
        y[n, c, oh, ow] = best
        argmax[n, c, oh, ow] = winner


@kernel(registers=96)
def _backward_input(dy, argmax, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        first_oh, end_oh = window_of(ih, dx.shape[2], dy.shape[2])
        first_ow, end_ow = window_of(iw, dx.shape[3], dy.shape[3])
        here = ih * dx.shape[3] + iw
        total = dx.dtype.type(0)
        for oh in range(first_oh, end_oh):
            for ow in range(first_ow, end_ow):
                if argmax[n, c, oh, ow] == here:
                    total += dy[n, c, oh, ow]
        dx[n, c, ih, iw] = total
