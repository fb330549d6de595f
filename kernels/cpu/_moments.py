"""Passes over one row x[n, c, :] of an array, which all normalisations are made of.

Sums are float64: over float32 numbers they are exact to a few units of float64 however long the
row is, and adding costs less than reading memory. What is written is computed in the array's
own type, twice as many numbers at a time. There x - mean must not lose the mean's last digits, so
the mean is cut in two: ``near``, the mean rounded to the array's type, and the small remainder,
which the caller multiplies out into ``rest``.
"""

import numpy as np

from ._jit import helper

__all__ = [
    "row_gradient",
    "row_line",
    "row_products",
    "row_squares",
    "row_sum",
]


@helper
def row_sum(x, n, c):
    """Return the sum of the row."""
    total = np.float64(0)
    for s in range(x.shape[2]):
        total += x[n, c, s]
    return total


@helper
def row_squares(x, n, c, centre):
    """Return the sum of (x - centre)²."""
    total = np.float64(0)
    for s in range(x.shape[2]):
        total += (x[n, c, s] - centre) * (x[n, c, s] - centre)
    return total


@helper
def row_products(dy, x, n, c, centre):
    """Return the sum of dy, and that of dy * (x - centre)."""
    total = np.float64(0)
    product = np.float64(0)
    for s in range(x.shape[2]):
        total += dy[n, c, s]
        product += np.float64(dy[n, c, s]) * (x[n, c, s] - centre)
    return total, product


@helper
def row_line(x, n, c, near, scale, rest, y):
    """Write y = (x - near) * scale + rest."""
    for s in range(x.shape[2]):
        y[n, c, s] = (x[n, c, s] - near) * scale + rest


@helper
def row_gradient(dy, x, n, c, gain, near, slope, rest, scale, dx):
    """Write dx = (dy * gain - (x - near) * slope - rest) * scale."""
    for s in range(x.shape[2]):
        dx[n, c, s] = (dy[n, c, s] * gain - (x[n, c, s] - near) * slope - rest) * scale
