"""RMSprop: steps divided by the root of a running mean of the squared gradient.

All arrays are 1-D views of one size; ``i`` is the element. ``param``, ``square``, ``mean`` and
``velocity`` are updated in place; ``centered`` is 0 or 1.

    g = grad + weight_decay * param
    square = alpha * square + (1 - alpha) * g²
    mean   = alpha * mean   + (1 - alpha) * g           centered only: its square is subtracted
    scaled = g / (sqrt(square - mean²) + eps)           so that the variance is what divides
    velocity = momentum * velocity + scaled             with momentum only, in the place of scaled:
    param -= lr * scaled

Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; centered: Graves, "Generating
sequences with recurrent neural networks", 2013. What isn't used isn't touched.
"""

import math


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
    for i in range(param.shape[0]):
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        variance = square[i]
        if centered:
            mean[i] = keep * mean[i] + new * g
            variance = max(number(0), variance - mean[i] * mean[i])  # rounding may go below
        scaled = g / (number(math.sqrt(variance)) + small)
        if momentum != 0:
            velocity[i] = old * velocity[i] + scaled
            scaled = velocity[i]
        param[i] -= rate * scaled
