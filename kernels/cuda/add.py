"""Sum of two arrays, the loop of ``reference/add.py`` with one thread per element.

Every element is independent; ``y`` may be ``a`` or ``b`` itself.
"""

from ._cuda import cuda, kernel, launch


def add_forward(a, b, y):
    """Write y[i] = a[i] + b[i]."""
    launch(_forward, y.size, a, b, y)


@kernel
def _forward(a, b, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a[i] + b[i]
