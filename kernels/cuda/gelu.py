"""Gaussian error linear unit, the loops of ``reference/gelu.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def gelu_forward(x, approximate, y):
    """Write y[i] = x[i] * Phi(x[i]), or its approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    launch(_forward, y.size, x, half, one, root, outer, cubic, int(approximate), y)


def gelu_backward_input(dy, x, approximate, dx):
    """Write dx[i] = dy[i] * (Phi(x[i]) + x[i] * phi(x[i])), or of the approximation."""
    number = x.dtype.type
    half = number(0.5)
    one = number(1)
    root = number(math.sqrt(0.5))
    outer = number(math.sqrt(2 / math.pi))
    cubic = number(0.044715)
    density = number(1 / math.sqrt(2 * math.pi))
    launch(
        _backward_input,
        dx.size,
        dy,
        x,
        half,
        one,
        root,
        outer,
        cubic,
        density,
        int(approximate),
        dx,
    )


@kernel
def _forward(x, half, one, root, outer, cubic, approximate, y):
    i = cuda.grid(1)
    if i < y.size:
        v = x[i]
        if approximate:
            t = math.tanh(outer * (v + cubic * v * v * v))
            y[i] = half * v * (one + t)
        else:
            y[i] = half * v * math.erfc(-v * root)


@kernel
def _backward_input(dy, x, half, one, root, outer, cubic, density, approximate, dx):
    i = cuda.grid(1)
    if i < dx.size:
        number = x.dtype.type
        v = x[i]
        if approximate:
            t = math.tanh(outer * (v + cubic * v * v * v))
            inner = outer * (one + number(3) * cubic * v * v)
            slope = half * (one + t) + half * v * (one - t * t) * inner
        else:
            slope = half * math.erfc(-v * root) + v * density * math.exp(-half * v * v)
        dx[i] = dy[i] * slope
