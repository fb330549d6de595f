"""Adam, the loop of ``reference/adam.py`` with one thread per parameter.

Every element is independent. What is the same for all of them (the bias corrections, the
differences ``1 - beta``) is computed once, on the host in double precision, then rounded to
the parameter's own precision: the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch


def adam_update(grad, lr, beta1, beta2, eps, weight_decay, step, param, mean, square):
    """Move param one step; scale each element by its own gradient history."""
    number = param.dtype.type
    rate = number(lr / (1 - beta1**step))
    correction = number(math.sqrt(1 - beta2**step))
    keep1 = number(beta1)
    new1 = number(1 - beta1)
    keep2 = number(beta2)
    new2 = number(1 - beta2)
    small = number(eps)
    decay = number(weight_decay)
    launch(
        _update,
        param.size,
        grad,
        rate,
        correction,
        keep1,
        new1,
        keep2,
        new2,
        small,
        decay,
        param,
        mean,
        square,
    )


@kernel
def _update(grad, rate, correction, keep1, new1, keep2, new2, small, decay, param, mean, square):
    i = cuda.grid(1)
    if i < param.size:
        g = grad[i] + decay * param[i]
        mean[i] = keep1 * mean[i] + new1 * g
        square[i] = keep2 * square[i] + new2 * g * g
        param[i] -= rate * mean[i] / (math.sqrt(square[i]) / correction + small)
