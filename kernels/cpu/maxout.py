"""Maximum over pieces, the loops of ``reference/maxout.py`` on every core.

A thread owns examples n. Shapes as in ``reference/maxout.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def maxout_forward(x, y, argmax):
    """Write y and argmax; a thread owns examples n."""
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
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
def maxout_backward_input(dy, argmax, dx):
    """Write dx[n, c, k] = dy[n, c] where piece k won, else 0; a thread owns examples n."""
    zero = dy.dtype.type(0)
    for n in prange(dx.shape[0]):
        for c in range(dx.shape[1]):
            for k in range(dx.shape[2]):
                dx[n, c, k] = dy[n, c] if k == argmax[n, c] else zero
