"""Padding, the loops of ``reference/pad2d.py`` turned inside out.

Forward: a thread owns one y[n, c, oh, ow] and looks up the pixel it copies, as the reference does.

Backward: the reference goes from copy to copy and adds each to its pixel (scatter); two copies of
one pixel would meet there. Here a thread owns one dx[n, c, ih, iw] and asks where its copies are
(gather): along each axis in the padding before the picture, in the picture itself, and in the
padding behind it. They are added in the reference's order.

Shapes and letters as in ``reference/pad2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, device, kernel, launch
from ._index import unravel4

REFLECT, REPLICATE, CIRCULAR = 1, 2, 3


@device
def source_position(position, size, mode):
    """Return which row of the picture stands at `position`, counted from its first; -1: none."""
    if 0 <= position < size:
        return position
    before = position < 0
    if mode == REFLECT:
        return -position if before else 2 * (size - 1) - position
    if mode == REPLICATE:
        return 0 if before else size - 1
    if mode == CIRCULAR:
        return position + size if before else position - size
    return -1


@device
def copies(position, part, mode, pad, size, count):
    """Return the first of the `count` outputs that copy a pixel, and the one after the last.

    In one part only: 0 the padding before the picture, 1 the picture, 2 the padding behind it.
    """
    if part == 1:
        return pad + position, pad + position + 1
    first = 0 if part == 0 else pad + size
    end = pad if part == 0 else count
    if mode == REPLICATE:
        edge = 0 if part == 0 else size - 1
        return first, end if position == edge else first
    copy = -1
    if mode == REFLECT:
        copy = pad - position if part == 0 else pad + 2 * (size - 1) - position
    elif mode == CIRCULAR:
        copy = pad + position - size if part == 0 else pad + position + size
    return (copy, copy + 1) if first <= copy < end else (first, first)


def pad2d_forward(x, pad_top, pad_left, mode, value, y):
    """Write y; a thread owns one y[n, c, oh, ow]."""
    launch(_forward, y.size, x, pad_top, pad_left, mode, x.dtype.type(value), y)


def pad2d_backward_input(dy, pad_top, pad_left, mode, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the copies of its pixel."""
    launch(_backward_input, dx.size, dy, pad_top, pad_left, mode, dx)


@kernel
def _forward(x, pad_top, pad_left, mode, fill, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        ih = source_position(oh - pad_top, x.shape[2], mode)
        iw = source_position(ow - pad_left, x.shape[3], mode)
        y[n, c, oh, ow] = x[n, c, ih, iw] if ih >= 0 and iw >= 0 else fill


@kernel(registers=120)
def _backward_input(dy, pad_top, pad_left, mode, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        height, width = dx.shape[2:]
        out_h, out_w = dy.shape[2:]
        total = dx.dtype.type(0)
        for part_h in range(3):
            first_oh, end_oh = copies(ih, part_h, mode, pad_top, height, out_h)
            for oh in range(first_oh, end_oh):
                for part_w in range(3):
                    first_ow, end_ow = copies(iw, part_w, mode, pad_left, width, out_w)
                    for ow in range(first_ow, end_ow):
                        total += dy[n, c, oh, ow]
        dx[n, c, ih, iw] = total
