"""Adam, Algorithm 1 of Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

All arrays are 1-D views of one size; ``i`` is the element. ``param``, ``mean`` and ``square``
are updated in place; ``step`` counts from 1.

    g = grad + weight_decay * param
    mean   = beta1 * mean   + (1 - beta1) * g           running mean of the gradient
    square = beta2 * square + (1 - beta2) * g²          running mean of its square
    param -= lr * mean / (1 - beta1^step) / (sqrt(square / (1 - beta2^step)) + eps)

Both averages start at 0 and are too small at first; dividing by ``1 - beta^step`` repairs
exactly that. The first step therefore moves every parameter by lr * g / (|g| + eps).
"""

import math


def adam_update(grad, lr, beta1, beta2, eps, weight_decay, step, param, mean, square):
    """Move param one step; scale each element by its own gradient history."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr / (1 - beta1**step))
    correction = number(math.sqrt(1 - beta2**step))
    keep1 = number(beta1)
    new1 = number(1 - beta1)
    keep2 = number(beta2)
    new2 = number(1 - beta2)
    small = number(eps)
    decay = number(weight_decay)
    for i in range(param.shape[0]):
        g = grad[i] + decay * param[i]
        mean[i] = keep1 * mean[i] + new1 * g
        square[i] = keep2 * square[i] + new2 * g * g
        param[i] -= rate * mean[i] / (number(math.sqrt(square[i])) / correction + small)
