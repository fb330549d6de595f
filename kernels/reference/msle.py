"""Squared logarithmic error: what counts is the ratio, not the difference.

All arrays are 1-D views of one size; ``i`` is the element.

    d = log(1 + pred[i]) - log(1 + target[i])
    losses[i] = d²,   dpred[i] = dlosses[i] * 2 d / (1 + pred[i])

by the chain rule, the derivative of log(1 + x) being 1 / (1 + x). Where pred or target is -1 or
less there is no logarithm, and the result is NaN. Every output array is overwritten.
"""

import math


def msle_forward(pred, target, losses):
    """Write losses[i] = (log(1 + pred[i]) - log(1 + target[i]))²."""
    number = pred.dtype.type
    least = number(-1)
    nan = number(math.nan)
    for i in range(pred.shape[0]):
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            losses[i] = d * d
        else:
            losses[i] = nan


def msle_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = 2 d / (1 + pred[i]) * dlosses[i]."""
    number = pred.dtype.type
    least = number(-1)
    one = number(1)
    two = number(2)
    nan = number(math.nan)
    for i in range(pred.shape[0]):
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            dpred[i] = two * d / (one + pred[i]) * dlosses[i]
        else:
            dpred[i] = nan
