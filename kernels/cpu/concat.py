"""Concatenation, the loops of ``reference/concat.py`` on every core.

A thread owns whole channels (n, c) of what is copied. Shapes and letters as in the reference.
"""

from ._jit import kernel, prange


@kernel
def concat_forward(x, offset, y):
    """Write the channels of x into y, from channel `offset` on; a thread owns channels (n, c)."""
    for nc in prange(x.shape[0] * x.shape[1]):
        n = nc // x.shape[1]
        c = nc % x.shape[1]
        for s in range(x.shape[2]):
            y[n, offset + c, s] = x[n, c, s]


@kernel
def concat_backward_input(dy, offset, dx):
    """Write dx: the channels of dy from `offset` on; a thread owns channels (n, c)."""
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for s in range(dx.shape[2]):
            dx[n, c, s] = dy[n, offset + c, s]
