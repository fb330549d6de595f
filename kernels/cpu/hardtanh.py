"""Numbers between two limits, the loops of ``reference/hardtanh.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def hardtanh_forward(x, low, high, y):
    """Write y[i] = x[i], moved to the nearer limit where it is outside."""
    number = x.dtype.type
    least = number(low)
    most = number(high)
    for i in prange(x.shape[0]):
        below = least if x[i] < least else x[i]
        y[i] = most if x[i] > most else below


@kernel
def hardtanh_backward_input(dy, x, low, high, dx):
    """Write dx[i] = dy[i] where x[i] lies between the limits, else 0."""
    number = x.dtype.type
    zero = number(0)
    least = number(low)
    most = number(high)
    for i in prange(x.shape[0]):
        outside = x[i] <= least or x[i] >= most
        dx[i] = zero if outside else dy[i]
