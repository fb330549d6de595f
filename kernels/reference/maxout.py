"""Maximum over the pieces of a maxout unit, and a note of which piece won.

Shapes: x, dx (N, C, K), y, dy (N, C), argmax (N, C) int32. Letters: ``n`` example, ``c`` unit,
``k`` piece.

    y[n, c] = max over k of x[n, c, k]

On a tie the first piece wins, and a NaN wins over every number, so that it can't hide. The
gradient of a maximum goes to the winner alone; the other pieces receive 0. Every output array is
overwritten. Goodfellow et al., "Maxout networks", 2013.
"""


def maxout_forward(x, y, argmax):
    """Write y and argmax; every (n, c) is independent."""
    for n in range(x.shape[0]):
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


def maxout_backward_input(dy, argmax, dx):
    """Write dx[n, c, k] = dy[n, c] where piece k won, else 0."""
    for n in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            for k in range(dx.shape[2]):
                dx[n, c, k] = dy[n, c] if k == argmax[n, c] else 0
