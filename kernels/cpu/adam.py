"""Adam, AdamW and AMSGrad, the loop of ``reference/adam.py`` on every core.

Every element is independent; one pass reads and writes each array once. It is computed as written:
free to reorder, a compiler made ``beta m + (1 - beta) g`` into ``g - beta (g - m)``, which costs
digits.
"""

import math

from ._jit import exact_kernel, prange


@exact_kernel
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
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr / (1 - beta1**step))
    correction = number(math.sqrt(1 - beta2**step))
    keep1 = number(beta1)
    new1 = number(1 - beta1)
    keep2 = number(beta2)
    new2 = number(1 - beta2)
    small = number(eps)
    decay = number(0 if decoupled else weight_decay)
    shrink = number(1 - lr * weight_decay if decoupled else 1)
    for i in prange(param.shape[0]):
        g = grad[i] + decay * param[i]
        mean[i] = keep1 * mean[i] + new1 * g
        square[i] = keep2 * square[i] + new2 * g * g
        scale = square[i]
        if amsgrad:
            largest[i] = max(largest[i], scale)
            scale = largest[i]
        step_size = rate * mean[i] / (math.sqrt(scale) / correction + small)
        param[i] = shrink * param[i] - step_size
