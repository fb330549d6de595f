"""Softsign, y = x / (1 + |x|): between -1 and 1 like tanh, but slower to get there.

All arrays are 1-D views of one size; ``i`` is the element. The derivative is ``1 / (1 + |x|)^2``.
Every output array is overwritten. Turian, Bergstra and Bengio, "Quadratic features and deep
architectures for chunking", 2009.
"""


def softsign_forward(x, y):
    """Write y[i] = x[i] / (1 + |x[i]|)."""
    number = x.dtype.type
    one = number(1)
    for i in range(x.shape[0]):
        y[i] = x[i] / (one + abs(x[i]))


def softsign_backward_input(dy, x, dx):
    """Write dx[i] = dy[i] / (1 + |x[i]|)^2."""
    number = x.dtype.type
    one = number(1)
    for i in range(x.shape[0]):
        size = one + abs(x[i])
        dx[i] = dy[i] / (size * size)
