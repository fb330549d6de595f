"""Adam, and its relatives AdamW and AMSGrad.

All arrays are 1-D views of one size; ``i`` is the element. ``param``, ``mean``, ``square`` and
``largest`` are updated in place; ``step`` counts from 1; ``decoupled`` and ``amsgrad`` are 0 or 1.

    g = grad + weight_decay * param                     AdamW: param *= 1 - lr * weight_decay
    mean    = beta1 * mean   + (1 - beta1) * g          running mean of the gradient
    square  = beta2 * square + (1 - beta2) * g²         running mean of its square
    largest = max(largest, square)                      AMSGrad only, in the place of square:
    param -= lr * mean / (1 - beta1^step) / (sqrt(square / (1 - beta2^step)) + eps)

Both averages start at 0 and are too small at first; dividing by ``1 - beta^step`` repairs
exactly that. The first step therefore moves every parameter by lr * g / (|g| + eps).

Kingma and Ba, "Adam: a method for stochastic optimization", 2015, Algorithm 1. Loshchilov and
Hutter, "Decoupled weight decay regularization", 2019 (AdamW): a decay that goes through ``g`` is
divided by ``sqrt(square)`` too, and weights with large gradients decay less. Reddi, Kale and Kumar,
"On the convergence of Adam and beyond", 2018 (AMSGrad): a step that can't grow again.
"""

import math


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
    for i in range(param.shape[0]):
        g = grad[i] + decay * param[i]
        mean[i] = keep1 * mean[i] + new1 * g
        square[i] = keep2 * square[i] + new2 * g * g
        scale = square[i]
        if amsgrad:
            largest[i] = max(largest[i], scale)
            scale = largest[i]
        step_size = rate * mean[i] / (number(math.sqrt(scale)) / correction + small)
        param[i] = shrink * param[i] - step_size
