"""Adagrad, the loop of ``reference/adagrad.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch
from ._recording import changing


def adagrad_update(grad, lr, lr_decay, weight_decay, eps, step, param, total):
    """Move param one step; an element that moved much moves less from now on."""
    rates = changing(_rates, param.dtype, lr, lr_decay, weight_decay, eps, step)
    launch(_update, param.size, grad, rates, param, total)


def _rates(number, lr, lr_decay, weight_decay, eps, step):
    return tuple(map(number, (lr / (1 + (step - 1) * lr_decay), weight_decay, eps)))


@kernel
def _update(grad, rates, param, total):
    i = cuda.grid(1)
    if i < param.size:
        rate, decay, small = rates[0], rates[1], rates[2]
        g = grad[i] + decay * param[i]
        total[i] += g * g
        param[i] -= rate * g / (math.sqrt(total[i]) + small)
