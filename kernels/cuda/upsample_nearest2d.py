"""Resizing by the nearest pixel, the loops of ``reference/upsample_nearest2d.py`` inside out.

Forward: a thread owns one y[n, c, oh, ow] and copies its pixel.

Backward: several outputs may have copied one pixel, so the reference's scatter would let two
threads add to one number. Here a thread owns one dx[n, c, ih, iw] and adds up the outputs that
copied it (gather). They stand side by side, since a later output never copies an earlier pixel;
``first_output`` finds the first of them by asking the rule itself, so that rounding can't let
forward and backward disagree.

Shapes and letters as in ``reference/upsample_nearest2d.py``; every output array is overwritten.
"""

import numpy as np

from ._cuda import cuda, device, kernel, launch
from ._index import larger, smaller, unravel4


@device
def source(o, scale, size):
    """Return the position along an axis of `size` pixels that output o copies."""
    return smaller(int(np.float32(o) * scale), size - 1)


@device
def first_output(position, scale, size, outputs):
    """Return the first output that copies `position` or one after it."""
    # one too low rather than too high
    o = smaller(larger(int(np.float32(position) / scale) - 1, 0), outputs)
    while o < outputs and source(o, scale, size) < position:
        o += 1
    return o


def upsample_nearest2d_forward(x, scale_h, scale_w, y):
    """Write y; a thread owns one y[n, c, oh, ow]."""
    launch(_forward, y.size, x, np.float32(scale_h), np.float32(scale_w), y)


def upsample_nearest2d_backward_input(dy, scale_h, scale_w, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from its copies."""
    launch(_backward_input, dx.size, dy, np.float32(scale_h), np.float32(scale_w), dx)


@kernel
def _forward(x, scale_h, scale_w, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        ih = source(oh, scale_h, x.shape[2])
        iw = source(ow, scale_w, x.shape[3])
        y[n, c, oh, ow] = x[n, c, ih, iw]


@kernel(registers=72)
def _backward_input(dy, scale_h, scale_w, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        height, width = dx.shape[2:]
        first_oh = first_output(ih, scale_h, height, dy.shape[2])
        end_oh = first_output(ih + 1, scale_h, height, dy.shape[2])
        first_ow = first_output(iw, scale_w, width, dy.shape[3])
        end_ow = first_output(iw + 1, scale_w, width, dy.shape[3])
        total = dx.dtype.type(0)
        for oh in range(first_oh, end_oh):
            for ow in range(first_ow, end_ow):
                total += dy[n, c, oh, ow]
        dx[n, c, ih, iw] = total
