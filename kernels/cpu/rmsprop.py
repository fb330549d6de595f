"""RMSprop, the loop of ``reference/rmsprop.py`` on every core.

Every element is independent; one pass reads and writes each array once.
"""

import math

from ._jit import kernel, prange


@kernel
def rmsprop_update(
    grad, lr, alpha, eps, weight_decay, momentum, centered, param, square, mean, velocity
):
    """Move param one step; scale each element by the size of its recent gradients."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr)
    keep = number(alpha)
    new = number(1 - alpha)
    small = number(eps)
    decay = number(weight_decay)
    old = number(momentum)
    for i in prange(param.shape[0]):
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        variance = square[i]
        if centered:
            mean[i] = keep * mean[i] + new * g
            variance = max(number(0), variance - mean[i] * mean[i])  # rounding may go below
        scaled = g / (math.sqrt(variance) + small)
        if momentum != 0:
            velocity[i] = old * velocity[i] + scaled
            scaled = velocity[i]
        param[i] -= rate * scaled
