"""RMSprop, the loop of ``reference/rmsprop.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch


def rmsprop_update(
    grad, lr, alpha, eps, weight_decay, momentum, centered, param, square, mean, velocity
):
    """Move param one step; scale each element by the size of its recent gradients."""
    number = param.dtype.type
    rates = map(number, (lr, alpha, 1 - alpha, eps, weight_decay, momentum, 0))
    launch(_update, param.size, grad, *rates, int(centered), param, square, mean, velocity)


@kernel
def _update(
    grad, rate, keep, new, small, decay, old, zero, centered, param, square, mean, velocity
):
    i = cuda.grid(1)
    if i < param.size:
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
