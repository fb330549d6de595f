"""Step function, the loops of ``reference/step.py`` with one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def step_forward(x, low, y):
    """Write y[i] = 1 where x[i] is positive, else low."""
    number = x.dtype.type
    launch(_forward, y.size, x, number(0), number(1), number(low), y)


def step_backward_input(dy, dx):
    """Write dx[i] = 0: what comes from above is lost."""
    launch(_backward_input, dx.size, dx)


@kernel
def _forward(x, zero, one, left, y):
    i = cuda.grid(1)
    if i < y.size:
        other = left if x[i] <= zero else x[i]  # neither: NaN
        y[i] = one if x[i] > zero else other


@kernel
def _backward_input(dx):
    i = cuda.grid(1)
    if i < dx.size:
        dx[i] = 0
