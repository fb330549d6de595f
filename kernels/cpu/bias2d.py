"""A bias for each channel, the loops of ``reference/bias2d.py`` on every core.

A thread owns whole planes (n, c), or rows of pixels where those lie channels last; ``y`` may be
``x`` itself.
"""

from ..order import is_last
from ._jit import kernel, prange

PIECE = 64  # pixels


@kernel
def _planes(x, bias, y):
    """Write y; a thread owns planes (n, c)."""
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for h in range(y.shape[2]):
            for w in range(y.shape[3]):
                y[n, c, h, w] = x[n, c, h, w] + bias[c]


@kernel
def _pixels(x, bias, y):
    """Write y[p, c] = x[p, c] + bias[c]; a thread owns pieces of the pixels p."""
    pixels, channels = y.shape
    for piece in prange((pixels + PIECE - 1) // PIECE):
        for p in range(piece * PIECE, min(pixels, (piece + 1) * PIECE)):
            source = x[p]
            target = y[p]
            for c in range(channels):
                target[c] = source[c] + bias[c]


def bias2d_forward(x, bias, y):
    """Write y[n, c, h, w] = x[n, c, h, w] + bias[c]."""
    if is_last(x) and is_last(y):
        shape = -1, y.shape[1]
        rows = y.transpose(0, 2, 3, 1).reshape(shape)
        _pixels(x.transpose(0, 2, 3, 1).reshape(shape), bias, rows)
    else:
        _planes(x, bias, y)
