"""Dropout, the loops of ``reference/dropout.py`` on every core.

A thread owns pieces of rows r. Where a row is a single number, the loop over rows is the inner one,
so that vectors of numbers meet vectors of the mask. Shapes as in ``reference/dropout.py``; every
output array is overwritten.
"""

from ._jit import helper, kernel, prange

NUMBERS = 4096  # in a piece


@helper
def _scale_numbers(x, mask, y):
    zero = x.dtype.type(0)
    for r in range(mask.size):
        y[r] = x[r] * mask[r] if mask[r] != zero else zero


@helper
def _scale_row(x, factor, y):
    zero = x.dtype.type(0)
    for p in range(x.size):
        y[p] = x[p] * factor if factor != zero else zero


@kernel
def dropout_forward(x, mask, y):
    """Write y[r, p] = x[r, p] * mask[r], and exactly 0 in a dropped row."""
    rows, width = x.shape
    step = max(1, NUMBERS // max(1, width))
    for piece in prange((rows + step - 1) // step):
        begin = piece * step
        end = min(begin + step, rows)
        if width == 1:
            source = x.reshape(rows)
            target = y.reshape(rows)
            _scale_numbers(source[begin:end], mask[begin:end], target[begin:end])
        else:
            for r in range(begin, end):
                _scale_row(x[r], mask[r], y[r])


def dropout_backward_input(dy, mask, dx):
    """Write dx: what was scaled on the way forward is scaled alike on the way back."""
    dropout_forward(dy, mask, dx)
