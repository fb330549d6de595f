"""Pixel shuffle, the loops of ``reference/pixel_shuffle.py`` on every core.

A thread owns whole planes (n, c) of the large picture, in both directions, and with them the r²
planes of the small one that hold the same pixels: every number has one place in each.

Shapes and letters as in ``reference/pixel_shuffle.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def pixel_shuffle_forward(x, factor, y):
    """Write y; a thread owns planes (n, c) of y."""
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for ih in range(x.shape[2]):
            for i in range(factor):
                for iw in range(x.shape[3]):
                    for j in range(factor):
                        ci = (c * factor + i) * factor + j
                        y[n, c, ih * factor + i, iw * factor + j] = x[n, ci, ih, iw]


@kernel
def pixel_shuffle_backward_input(dy, factor, dx):
    """Write dx; a thread owns planes (n, c) of dy, and factor² planes of dx."""
    for nc in prange(dy.shape[0] * dy.shape[1]):
        n = nc // dy.shape[1]
        c = nc % dy.shape[1]
        for i in range(factor):
            for j in range(factor):
                ci = (c * factor + i) * factor + j
                for ih in range(dx.shape[2]):
                    for iw in range(dx.shape[3]):
                        dx[n, ci, ih, iw] = dy[n, c, ih * factor + i, iw * factor + j]
