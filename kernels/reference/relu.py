"""Rectified linear unit, y = max(x, 0) (Nair and Hinton, 2010).

All arrays are 1-D views of one size; ``i`` is the element. The slope is 1 where y > 0 and 0
where y = 0, the convention at the kink included; so y alone decides, and x need not be kept.
A NaN passes through in both directions. Every output array is overwritten.
"""


def relu_forward(x, y):
    """Write y[i] = x[i] where it is positive (or NaN), else 0."""
    for i in range(x.shape[0]):
        y[i] = 0 if x[i] <= 0 else x[i]


def relu_backward_input(dy, y, dx):
    """Write dx[i] = dy[i] where the unit was on, else 0."""
    for i in range(dy.shape[0]):
        dx[i] = 0 if y[i] <= 0 else dy[i]
