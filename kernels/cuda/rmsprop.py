"""RMSprop, the loop of ``reference/rmsprop.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch
from ._recording import changing


def rmsprop_update(
    grad, lr, alpha, eps, weight_decay, momentum, centered, param, square, mean, velocity
):
    """Move param one step; scale each element by the size of its recent gradients."""
    settings = alpha, eps, weight_decay, momentum, centered
    rates = changing(_rates, param.dtype, lr, *settings)
    launch(_update, param.size, grad, rates, param, square, mean, velocity)


def _rates(number, lr, alpha, eps, weight_decay, momentum, centered):
    return tuple(map(number, (lr, alpha, 1 - alpha, eps, weight_decay, momentum, centered)))


@kernel
def _update(grad, rates, param, square, mean, velocity):
    i = cuda.grid(1)
    if i < param.size:
        zero = param.dtype.type(0)
        rate, keep, new, small = rates[0], rates[1], rates[2], rates[3]
        decay, old, centered = rates[4], rates[5], rates[6] != zero
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        variance = square[i]
        if centered:
            mean[i] = keep * mean[i] + new * g
            variance = max(zero, variance - mean[i] * mean[i])  # rounding may go below
        scaled = g / (math.sqrt(variance) + small)
        if old != zero:
            velocity[i] = old * velocity[i] + scaled
            scaled = velocity[i]
        param[i] -= rate * scaled
