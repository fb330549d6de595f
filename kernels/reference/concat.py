"""Concatenation: put the channels of one array behind those of others.

Shapes: x (N, C, S), y (N, T, S) with T >= offset + C; S is everything behind the channels.

    y[n, offset + c, s] = x[n, c, s]

A copy has the slope 1, so the gradient is copied back from where the channels went. Forward
writes the C channels of y from `offset` on and leaves the others to the other inputs; backward
overwrites all of dx.
"""


def concat_forward(x, offset, y):
    """Write the channels of x into y, from channel `offset` on."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for s in range(x.shape[2]):
                y[n, offset + c, s] = x[n, c, s]


def concat_backward_input(dy, offset, dx):
    """Write dx: the channels of dy from `offset` on."""
    for n in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            for s in range(dx.shape[2]):
                dx[n, c, s] = dy[n, offset + c, s]
