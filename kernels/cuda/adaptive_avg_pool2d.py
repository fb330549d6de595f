"""Adaptive average pooling, the loops of ``reference/adaptive_avg_pool2d.py`` turned inside out.

Forward: a thread owns one y[n, c, oh, ow] and adds up its window, as the reference does.

Backward: neighbouring windows may share pixels, so the reference's scatter would let two threads
add to one number. Here a thread owns one dx[n, c, ih, iw] and goes through the windows that see
this pixel (gather). Which ones these are, the formula of the windows says itself, with the two
sizes exchanged: window oh sees row ih when the row's stretch of the outputs,
ih * OH / H to (ih + 1) * OH / H, reaches into oh's.

Shapes and letters as in ``reference/adaptive_avg_pool2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel4, window_of


def adaptive_avg_pool2d_forward(x, y):
    """Write y; a thread owns one y[n, c, oh, ow]."""
    launch(_forward, y.size, x, y)


def adaptive_avg_pool2d_backward_input(dy, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the windows over it."""
    launch(_backward_input, dx.size, dy, dx)


@kernel(registers=72)
def _forward(x, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        top, bottom = window_of(oh, y.shape[2], x.shape[2])
        left, right = window_of(ow, y.shape[3], x.shape[3])
        total = x.dtype.type(0)
        for ih in range(top, bottom):
            for iw in range(left, right):
                total += x[n, c, ih, iw]
        y[n, c, oh, ow] = total / x.dtype.type((bottom - top) * (right - left))


@kernel(registers=96)
def _backward_input(dy, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        first_oh, end_oh = window_of(ih, dx.shape[2], dy.shape[2])
        first_ow, end_ow = window_of(iw, dx.shape[3], dy.shape[3])
        total = dx.dtype.type(0)
        for oh in range(first_oh, end_oh):
            top, bottom = window_of(oh, dy.shape[2], dx.shape[2])
            for ow in range(first_ow, end_ow):
                left, right = window_of(ow, dy.shape[3], dx.shape[3])
                total += dy[n, c, oh, ow] / dy.dtype.type((bottom - top) * (right - left))
        dx[n, c, ih, iw] = total
