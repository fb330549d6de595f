"""Adam, AdamW and AMSGrad, the loop of ``reference/adam.py`` with one thread per parameter.

Every element is independent. What is the same for all of them (the bias corrections, the
differences ``1 - beta``) is computed once, on the host in double precision, then rounded to
the parameter's own precision: the threads never touch a wider number.
"""

import math

from ._cuda import cuda, kernel, launch


def adam_update(
    grad,
    lr,
    beta1,
    beta2,
    eps,
    weight_decay,
    decoupled,
    amsgrad,
    step,
    param,
    mean,
    square,
    largest,
):
    """Move param one step; scale each element by its own gradient history."""
    number = param.dtype.type
    numbers = (
        number(lr / (1 - beta1**step)),
        number(math.sqrt(1 - beta2**step)),
        number(beta1),
        number(1 - beta1),
        number(beta2),
        number(1 - beta2),
        number(eps),
        number(0 if decoupled else weight_decay),
        number(1 - lr * weight_decay if decoupled else 1),
    )
    arrays = (param, mean, square, largest)
    launch(_update, param.size, grad, *numbers, int(amsgrad), *arrays)


@kernel
def _update(
    grad,
    rate,
    correction,
    keep1,
    new1,
    keep2,
    new2,
    small,
    decay,
    shrink,
    amsgrad,
    param,
    mean,
    square,
    largest,
):
    i = cuda.grid(1)
    if i < param.size:
        g = grad[i] + decay * param[i]
        mean[i] = keep1 * mean[i] + new1 * g
        square[i] = keep2 * square[i] + new2 * g * g
        scale = square[i]
        if amsgrad:
            largest[i] = max(largest[i], scale)
            scale = largest[i]
        step_size = rate * mean[i] / (math.sqrt(scale) / correction + small)
        param[i] = shrink * param[i] - step_size
