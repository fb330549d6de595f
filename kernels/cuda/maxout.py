"""Maximum over pieces, the loops of ``reference/maxout.py`` with one thread per output.

Forward: a thread owns one unit (n, c) and looks through its pieces. Backward: a thread owns one
dx[n, c, k] and asks whether it won. Shapes as in ``reference/maxout.py``; every output array is
overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def maxout_forward(x, y, argmax):
    """Write y and argmax; a thread owns one unit (n, c)."""
    launch(_forward, y.size, x, y, argmax)


def maxout_backward_input(dy, argmax, dx):
    """Write dx[n, c, k] = dy[n, c] where piece k won, else 0."""
    launch(_backward_input, dx.size, dy, argmax, dx)


@kernel
def _forward(x, y, argmax):
    i = cuda.grid(1)
    if i < y.size:
        n, c = unravel2(i, y.shape[1])
        best = x[n, c, 0]
        winner = 0
        for k in range(1, x.shape[2]):
            value = x[n, c, k]
            first_nan = value != value and best == best
            if value > best or first_nan:
                best = value
                winner = k
        y[n, c] = best
        argmax[n, c] = winner


@kernel
def _backward_input(dy, argmax, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, k = unravel3(i, dx.shape)
        dx[n, c, k] = dy[n, c] if k == argmax[n, c] else dx.dtype.type(0)
