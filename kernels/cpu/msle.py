"""Squared logarithmic error, the loops of ``reference/msle.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

import math

from ._jit import kernel, prange


@kernel
def msle_forward(pred, target, losses):
    """Write losses[i] = (log(1 + pred[i]) - log(1 + target[i]))²."""
    number = pred.dtype.type
    least = number(-1)
    nan = number(math.nan)
    for i in prange(pred.shape[0]):
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            losses[i] = d * d
        else:
            losses[i] = nan


@kernel
def msle_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = 2 d / (1 + pred[i]) * dlosses[i]."""
    number = pred.dtype.type
    least = number(-1)
    one = number(1)
    two = number(2)
    nan = number(math.nan)
    for i in prange(pred.shape[0]):
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            dpred[i] = two * d / (one + pred[i]) * dlosses[i]
        else:
            dpred[i] = nan
