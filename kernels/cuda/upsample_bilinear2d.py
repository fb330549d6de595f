"""Bilinear resizing, the loops of ``reference/upsample_bilinear2d.py`` turned inside out.

Forward: a thread owns one y[n, c, oh, ow] and takes the mean of its pixels.

Backward: several outputs look at one pixel, so the reference's scatter would let two threads add
to one number. Here a thread owns one dx[n, c, ih, iw] and adds up what the outputs that looked at
it have for it (gather). Those are the ones whose position lies less than a pixel away; they stand
side by side, and ``first_output`` finds the first of them by asking the rule itself.

Shapes and letters as in ``reference/upsample_bilinear2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, device, kernel, launch
from ._index import larger, smaller, unravel4


@device
def source(o, align_corners, scale, size, x):
    """Return the pixel before output o's position, and the next one's weight, in x's type."""
    half = x.dtype.type(0.5)
    position = x.dtype.type(o) * scale
    if not align_corners:
        position = (x.dtype.type(o) + half) * scale - half
    if position < x.dtype.type(0):
        position = x.dtype.type(0)
    before = smaller(int(position), size - 1)
    weight = position - x.dtype.type(before)
    if before + 1 >= size:
        weight = x.dtype.type(0)
    return before, weight


@device
def first_output(position, align_corners, scale, size, outputs, x):
    """Return the first output whose position isn't before the pixel at `position`."""
    o = 0
    if position > 0 and scale > x.dtype.type(0):
        # rather too low than too high
        o = smaller(larger(int(x.dtype.type(position) / scale) - 2, 0), outputs)
    while o < outputs and source(o, align_corners, scale, size, x)[0] < position:
        o += 1
    return o


@device
def weight_of(position, o, align_corners, scale, size, x):
    """Return what the pixel at `position` weighs in output o, along one axis."""
    before, weight = source(o, align_corners, scale, size, x)
    share = x.dtype.type(0)
    if before == position:
        share = x.dtype.type(1) - weight
    elif before + 1 == position:
        share = weight
    return share


@device
def mean_of_two(a, b, weight, one):
    """Return a where b has no weight, else their weighted mean."""
    return (one - weight) * a + weight * b if weight > 0 else a


def upsample_bilinear2d_forward(x, align_corners, scale_h, scale_w, y):
    """Write y; a thread owns one y[n, c, oh, ow]."""
    number = x.dtype.type
    launch(_forward, y.size, x, align_corners, number(scale_h), number(scale_w), y)


def upsample_bilinear2d_backward_input(dy, align_corners, scale_h, scale_w, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the outputs around it."""
    number = dx.dtype.type
    launch(_backward_input, dx.size, dy, align_corners, number(scale_h), number(scale_w), dx)


@kernel
def _forward(x, align_corners, scale_h, scale_w, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        one = x.dtype.type(1)
        ih, v = source(oh, align_corners, scale_h, x.shape[2], x)
        iw, u = source(ow, align_corners, scale_w, x.shape[3], x)
        below = ih + 1 if v > 0 else ih
        right = iw + 1 if u > 0 else iw
        upper = mean_of_two(x[n, c, ih, iw], x[n, c, ih, right], u, one)
        lower = mean_of_two(x[n, c, below, iw], x[n, c, below, right], u, one)
        y[n, c, oh, ow] = mean_of_two(upper, lower, v, one)


@kernel(registers=96)
def _backward_input(dy, align_corners, scale_h, scale_w, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        height, width = dx.shape[2:]
        zero = dx.dtype.type(0)
        first_oh = first_output(ih - 1, align_corners, scale_h, height, dy.shape[2], dx)
        end_oh = first_output(ih + 1, align_corners, scale_h, height, dy.shape[2], dx)
        first_ow = first_output(iw - 1, align_corners, scale_w, width, dy.shape[3], dx)
        end_ow = first_output(iw + 1, align_corners, scale_w, width, dy.shape[3], dx)
        total = zero
        for oh in range(first_oh, end_oh):
            v = weight_of(ih, oh, align_corners, scale_h, height, dx)
            for ow in range(first_ow, end_ow):
                u = weight_of(iw, ow, align_corners, scale_w, width, dx)
                if v > zero and u > zero:  # a pixel of weight 0 took no part
                    total += v * u * dy[n, c, oh, ow]
        dx[n, c, ih, iw] = total
