"""Dropout: multiply each row by its entry of a mask (Srivastava et al., 2014).

Shapes: x, y, dy, dx (R, P), mask (R,). A row is what is kept or dropped together: one number
for Dropout (P = 1), a whole H×W map for Dropout2d. The mask holds 0 or 1 / (1 - p): scaling
while training ("inverted" dropout) makes the expected output equal the input, so evaluation
needs no scaling at all. The operation is linear, so the gradient meets the same mask.
Every output array is overwritten.
"""


def dropout_forward(x, mask, y):
    """Write y[r, p] = x[r, p] * mask[r], and exactly 0 in a dropped row."""
    for r in range(x.shape[0]):
        for p in range(x.shape[1]):
            y[r, p] = x[r, p] * mask[r] if mask[r] != 0 else 0


def dropout_backward_input(dy, mask, dx):
    """Write dx[r, p] = dy[r, p] * mask[r], and exactly 0 in a dropped row."""
    for r in range(dy.shape[0]):
        for p in range(dy.shape[1]):
            dx[r, p] = dy[r, p] * mask[r] if mask[r] != 0 else 0
