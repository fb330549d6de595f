"""Padding, the loops of ``reference/pad2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: a pixel and its copies lie in one plane.
Each row is three loops, left of the picture, in it and right of it, so that the long middle one
has no test inside.

Shapes and letters as in ``reference/pad2d.py``; every output array is overwritten.
"""

from ._jit import helper, kernel, prange

REFLECT, REPLICATE, CIRCULAR = 1, 2, 3


@helper
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


@helper
def _fill_ends(source, pad_left, mode, fill, target):
    """Write the numbers of a row that lie left and right of the picture."""
    for end in range(2):
        first = 0 if end == 0 else pad_left + source.size
        last = pad_left if end == 0 else target.size
        for ow in range(first, last):
            iw = source_position(ow - pad_left, source.size, mode)
            target[ow] = fill if iw < 0 else source[iw]


@helper
def _collect_ends(row, pad_left, mode, target):
    """Add what lies left and right of the picture to the pixels it was copied from."""
    for end in range(2):
        first = 0 if end == 0 else pad_left + target.size
        last = pad_left if end == 0 else row.size
        for ow in range(first, last):
            iw = source_position(ow - pad_left, target.size, mode)
            if iw >= 0:
                target[iw] += row[ow]


@kernel
def pad2d_forward(x, pad_top, pad_left, mode, value, y):
    """Write y; a thread owns planes (n, c)."""
    fill = x.dtype.type(value)
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            target = y[n, c, oh]
            ih = source_position(oh - pad_top, x.shape[2], mode)
            if ih < 0:
                for ow in range(target.size):
                    target[ow] = fill
            else:
                source = x[n, c, ih]
                _fill_ends(source, pad_left, mode, fill, target)
                middle = target[pad_left : pad_left + source.size]
                for iw in range(source.size):
                    middle[iw] = source[iw]


@kernel
def pad2d_backward_input(dy, pad_top, pad_left, mode, dx):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    height = dx.shape[2]
    width = dx.shape[3]
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(height):
            for iw in range(width):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            ih = source_position(oh - pad_top, height, mode)
            if ih >= 0:
                row = dy[n, c, oh]
                target = dx[n, c, ih]
                middle = row[pad_left : pad_left + width]
                for iw in range(width):
                    target[iw] += middle[iw]
                _collect_ends(row, pad_left, mode, target)
