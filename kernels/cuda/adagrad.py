"""Adagrad, the loop of ``reference/adagrad.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch


def adagrad_update(grad, lr, lr_decay, weight_decay, eps, step, param, total):
    """Move param one step; an element that moved much moves less from now on."""
    number = param.dtype.type
    rates = map(number, (lr / (1 + (step - 1) * lr_decay), weight_decay, eps))
    launch(_update, param.size, grad, *rates, param, total)


@kernel
def _update(grad, rate, decay, small, param, total):
    i = cuda.grid(1)
    if i < param.size:
        g = grad[i] + decay * param[i]
        total[i] += g * g
        param[i] -= rate * g / (math.sqrt(total[i]) + small)
