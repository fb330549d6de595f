"""Adaptive max pooling: cut the picture into OH × OW windows and keep the largest of each.

Shapes (C order)::

    x       (N, C, H, W)       y  (N, C, OH, OW)
    argmax  (N, C, OH, OW)     position ``ih * W + iw`` of the winner inside its plane

The windows are those of ``adaptive_avg_pool2d.py``: the rows from floor(oh * H / OH) up to, not
including, ceil((oh + 1) * H / OH), and likewise the columns. On a tie the first in row-major
order wins, and a NaN wins over every number, as in ``max_pool2d.py``.

The gradient of a maximum goes to the winner alone. Neighbouring windows may share pixels, so
one ``dx`` can receive from several. Every output array is overwritten.
"""

import math


def window_of(o, outputs, size):
    """Return the first pixel that window o of `outputs` sees along an axis, and the end."""
    return o * size // outputs, -(-(o + 1) * size // outputs)


def adaptive_max_pool2d_forward(x, y, argmax):
    """Write y and argmax; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                top, bottom = window_of(oh, y.shape[2], x.shape[2])
                for ow in range(y.shape[3]):
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


def adaptive_max_pool2d_backward_input(dy, argmax, dx):
    """Write dx: hand each dy to the pixel that won its window."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    winner = argmax[n, c, oh, ow]
                    dx[n, c, winner // dx.shape[3], winner % dx.shape[3]] += dy[n, c, oh, ow]
