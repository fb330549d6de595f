"""Every number times one factor, the loop of ``reference/scale.py`` with one thread per element.

Every element is independent; ``y`` may be ``x`` itself.
"""

from ._cuda import cuda, kernel, launch
from ._recording import changing


def scale_forward(x, factor, y):
    """Write y[i] = factor * x[i]."""
    launch(_forward, y.size, x, changing(_rounded, x.dtype, factor), y)


def _rounded(number, factor):
    return (number(factor),)


@kernel
def _forward(x, given, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = given[0] * x[i]
