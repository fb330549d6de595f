"""Adadelta, the loop of ``reference/adadelta.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch
from ._recording import changing


def adadelta_update(grad, lr, rho, eps, weight_decay, param, square, moved):
    """Move param one step; its size follows from the steps before."""
    rates = changing(_rates, param.dtype, lr, rho, eps, weight_decay)
    launch(_update, param.size, grad, rates, param, square, moved)


def _rates(number, lr, rho, eps, weight_decay):
    return tuple(map(number, (lr, rho, 1 - rho, eps, weight_decay)))


@kernel
def _update(grad, rates, param, square, moved):
    i = cuda.grid(1)
    if i < param.size:
        rate, keep, new, small, decay = rates[0], rates[1], rates[2], rates[3], rates[4]
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        delta = math.sqrt(moved[i] + small) / math.sqrt(square[i] + small) * g
        moved[i] = keep * moved[i] + new * delta * delta
        param[i] -= rate * delta
