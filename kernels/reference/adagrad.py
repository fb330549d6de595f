"""Adagrad: steps divided by the root of the sum of all squared gradients so far.

All arrays are 1-D views of one size; ``i`` is the element. ``param`` and ``total`` are updated in
place; ``step`` counts from 1.

    g = grad + weight_decay * param
    total += g²
    param -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(total) + eps)

Elements with rare gradients keep large steps. Duchi, Hazan and Singer, "Adaptive subgradient
methods for online learning and stochastic optimization", 2011.
"""

import math


def adagrad_update(grad, lr, lr_decay, weight_decay, eps, step, param, total):
    """Move param one step; an element that moved much moves less from now on."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr / (1 + (step - 1) * lr_decay))
    decay = number(weight_decay)
    small = number(eps)
    for i in range(param.shape[0]):
        g = grad[i] + decay * param[i]
        total[i] += g * g
        param[i] -= rate * g / (number(math.sqrt(total[i])) + small)
