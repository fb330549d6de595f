"""Adaptive average pooling, the loops of ``reference/adaptive_avg_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: windows share pixels of one plane only.

Shapes and letters as in ``reference/adaptive_avg_pool2d.py``; every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def window_of(o, outputs, size):
    """Return the first pixel that window o of `outputs` sees along an axis, and the end."""
    return o * size // outputs, -(-(o + 1) * size // outputs)


@kernel
def adaptive_avg_pool2d_forward(x, y):
    """Write y; a thread owns planes (n, c)."""
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            top, bottom = window_of(oh, y.shape[2], x.shape[2])
            for ow in range(y.shape[3]):
                left, right = window_of(ow, y.shape[3], x.shape[3])
                total = x.dtype.type(0)
                for ih in range(top, bottom):
                    for iw in range(left, right):
                        total += x[n, c, ih, iw]
                y[n, c, oh, ow] = total / x.dtype.type((bottom - top) * (right - left))


@kernel
def adaptive_avg_pool2d_backward_input(dy, dx):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(dx.shape[2]):
            for iw in range(dx.shape[3]):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            top, bottom = window_of(oh, dy.shape[2], dx.shape[2])
            for ow in range(dy.shape[3]):
                left, right = window_of(ow, dy.shape[3], dx.shape[3])
                share = dy[n, c, oh, ow] / dy.dtype.type((bottom - top) * (right - left))
                for ih in range(top, bottom):
                    for iw in range(left, right):
                        dx[n, c, ih, iw] += share
