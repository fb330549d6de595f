"""Every number times one factor: y[i] = factor * x[i], all arrays seen as 1-D.

``y`` may be ``x`` itself: each element is read before it is written.
"""


def scale_forward(x, factor, y):
    """Write y[i] = factor * x[i]."""
    number = x.dtype.type(factor)
    for i in range(x.shape[0]):
        y[i] = number * x[i]
