"""Local response normalisation, the loops of ``reference/local_response_norm.py`` on every core.

A thread owns planes (n, c) and gathers from the planes beside it, backward too, so no two write
the same number. Squares are added up in ``base`` and the gradient's sum in ``dx``, channel by
channel, so that the inner loops run along the plane.

Shapes and letters as in ``reference/local_response_norm.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def local_response_norm_forward(x, size, alpha, beta, k, base, y):
    """Write base and y; a thread owns planes (n, c)."""
    number = x.dtype.type
    channels = x.shape[1]
    offset = number(k)
    share = number(alpha / size)
    power = number(-beta)
    for nc in prange(x.shape[0] * channels):
        n = nc // channels
        c = nc % channels
        for s in range(x.shape[2]):
            base[n, c, s] = 0
        for j in range(max(c - size // 2, 0), min(c + (size - 1) // 2 + 1, channels)):
            for s in range(x.shape[2]):
                base[n, c, s] += x[n, j, s] * x[n, j, s]
        for s in range(x.shape[2]):
            base[n, c, s] = offset + share * base[n, c, s]
            y[n, c, s] = x[n, c, s] * base[n, c, s] ** power


@kernel
def local_response_norm_backward_input(dy, x, y, base, size, alpha, beta, dx):
    """Write dx; a thread owns planes (n, c)."""
    number = x.dtype.type
    channels = x.shape[1]
    share = number(2 * alpha * beta / size)
    power = number(-beta)
    for nc in prange(x.shape[0] * channels):
        n = nc // channels
        c = nc % channels
        for s in range(x.shape[2]):
            dx[n, c, s] = 0
        for j in range(max(c - (size - 1) // 2, 0), min(c + size // 2 + 1, channels)):
            for s in range(x.shape[2]):
                dx[n, c, s] += dy[n, j, s] * y[n, j, s] / base[n, j, s]
        for s in range(x.shape[2]):
            direct = dy[n, c, s] * base[n, c, s] ** power
            dx[n, c, s] = direct - share * x[n, c, s] * dx[n, c, s]
