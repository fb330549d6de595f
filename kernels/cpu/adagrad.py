"""Adagrad, the loop of ``reference/adagrad.py`` on every core.

Every element is independent; one pass reads and writes each array once.
"""

import math

from ._jit import kernel, prange


@kernel
def adagrad_update(grad, lr, lr_decay, weight_decay, eps, step, param, total):
    """Move param one step; an element that moved much moves less from now on."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr / (1 + (step - 1) * lr_decay))
    decay = number(weight_decay)
    small = number(eps)
    for i in prange(param.shape[0]):
        g = grad[i] + decay * param[i]
        total[i] += g * g
        param[i] -= rate * g / (math.sqrt(total[i]) + small)
