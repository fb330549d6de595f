"""Sum of two arrays of one size, seen as 1-D: how gradients that meet are added up.

``y`` may be ``a`` or ``b`` itself: each element is read before it is written.
"""


def add_forward(a, b, y):
    """Write y[i] = a[i] + b[i]."""
    for i in range(a.shape[0]):
        y[i] = a[i] + b[i]
