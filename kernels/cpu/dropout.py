"""Dropout, the loops of ``reference/dropout.py`` on every core.

A thread owns rows r. Shapes as in ``reference/dropout.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def dropout_forward(x, mask, y):
    """Write y[r, p] = x[r, p] * mask[r], and exactly 0 in a dropped row."""
    zero = x.dtype.type(0)
    for r in prange(x.shape[0]):
        for p in range(x.shape[1]):
            y[r, p] = x[r, p] * mask[r] if mask[r] != zero else zero


def dropout_backward_input(dy, mask, dx):
    """Write dx: what was scaled on the way forward is scaled alike on the way back."""
    dropout_forward(dy, mask, dx)
