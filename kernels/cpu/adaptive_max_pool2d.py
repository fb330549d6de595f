"""Adaptive max pooling, the loops of ``reference/adaptive_max_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: windows that share a winner lie in one
plane, so scattering inside a plane can't meet another thread.

Shapes and letters as in ``reference/adaptive_max_pool2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange


@helper
def window_of(o, outputs, size):
    """Return the first pixel that window o of `outputs` sees along an axis, and the end."""
    return o * size // outputs, -(-(o + 1) * size // outputs)


@kernel
def adaptive_max_pool2d_forward(x, y, argmax):
    """Write y and argmax; a thread owns planes (n, c)."""
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            top, bottom = window_of(oh, y.shape[2], x.shape[2])
            for ow in range(y.shape[3]):
                left, right = window_of(ow, y.shape[3], x.shape[3])
                best = x.dtype.type(-np.inf)
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


@kernel
def adaptive_max_pool2d_backward_input(dy, argmax, dx):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(dx.shape[2]):
            for iw in range(dx.shape[3]):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            for ow in range(dy.shape[3]):
                winner = argmax[n, c, oh, ow]
                dx[n, c, winner // dx.shape[3], winner % dx.shape[3]] += dy[n, c, oh, ow]
