"""Max unpooling, the loops of ``reference/max_unpool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: a number's place lies in its own plane, so
the scatter of the forward pass can't meet another thread, and goes through a plane in row-major
order, in which the last number to name a place stays.

Shapes and letters as in ``reference/max_unpool2d.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def max_unpool2d_forward(x, indices, y, winner):
    """Write y and winner; a thread owns planes (n, c) and scatters inside them."""
    for nc in prange(x.shape[0] * x.shape[1]):
        n = nc // x.shape[1]
        c = nc % x.shape[1]
        for oh in range(y.shape[2]):
            for ow in range(y.shape[3]):
                y[n, c, oh, ow] = 0
                winner[n, c, oh, ow] = -1
        for ih in range(x.shape[2]):
            for iw in range(x.shape[3]):
                place = indices[n, c, ih, iw]
                if place >= 0:  # -1: a window without a pixel
                    oh = place // y.shape[3]
                    ow = place % y.shape[3]
                    y[n, c, oh, ow] = x[n, c, ih, iw]
                    winner[n, c, oh, ow] = ih * x.shape[3] + iw


@kernel
def max_unpool2d_backward_input(dy, indices, winner, dx):
    """Write dx; a thread owns planes (n, c)."""
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(dx.shape[2]):
            for iw in range(dx.shape[3]):
                grad = dy.dtype.type(0)
                place = indices[n, c, ih, iw]
                if place >= 0:
                    oh = place // dy.shape[3]
                    ow = place % dy.shape[3]
                    if winner[n, c, oh, ow] == ih * dx.shape[3] + iw:
                        grad = dy[n, c, oh, ow]
                dx[n, c, ih, iw] = grad
