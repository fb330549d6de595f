"""The exponentials of a column of scores, for everything that begins with a softmax.

Where a picture has one position only, its classes lie side by side, and loops over them compile
to vectors; in maps they are a plane apart.
"""

from ._functions import exp, maximum
from ._jit import helper


@helper
def _fill(scores, values):
    largest = scores[0]
    for c in range(1, scores.size):
        largest = maximum(largest, scores[c])
    total = scores.dtype.type(0)
    for c in range(scores.size):
        e = exp(scores[c] - largest)
        values[c] = e
        total += e
    return largest, total


@helper
def exponentials(x, n, p, y):
    """Write y[n, c, p] = exp(x[n, c, p] - largest of all c); return the largest and their sum."""
    if x.shape[2] == 1:
        return _fill(x[n].reshape(-1), y[n].reshape(-1))
    return _fill(x[n, :, p], y[n, :, p])


@helper
def _scale(values, factor):
    for c in range(values.size):
        values[c] *= factor


@helper
def scale(y, n, p, factor):
    """Multiply y[n, c, p] by factor, for all c."""
    if y.shape[2] == 1:
        _scale(y[n].reshape(-1), factor)
    else:
        _scale(y[n, :, p], factor)
