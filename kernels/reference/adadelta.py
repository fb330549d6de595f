"""Adadelta: steps as large as recent steps were, relative to recent gradients.

All arrays are 1-D views of one size; ``i`` is the element. ``param``, ``square`` and ``moved`` are
updated in place.

    g = grad + weight_decay * param
    square = rho * square + (1 - rho) * g²              running mean of squared gradients
    delta  = sqrt(moved + eps) / sqrt(square + eps) * g
    moved  = rho * moved + (1 - rho) * delta²           running mean of squared steps
    param -= lr * delta

The step has the parameter's own unit, so that lr = 1 does for most. Zeiler, "ADADELTA: an adaptive
learning rate method", 2012.
"""

import math


def adadelta_update(grad, lr, rho, eps, weight_decay, param, square, moved):
    """Move param one step; its size follows from the steps before."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr)
    keep = number(rho)
    new = number(1 - rho)
    small = number(eps)
    decay = number(weight_decay)
    for i in range(param.shape[0]):
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        root = number(math.sqrt(moved[i] + small)) / number(math.sqrt(square[i] + small))
        delta = root * g
        moved[i] = keep * moved[i] + new * delta * delta
        param[i] -= rate * delta
