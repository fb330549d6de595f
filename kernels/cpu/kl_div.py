"""Kullback-Leibler divergence, the loops of ``reference/kl_div.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

import math

from ._functions import exp
from ._jit import kernel, prange


@kernel
def kl_div_forward(pred, target, log_target, losses):
    """Write losses[i] = t (log(t) - pred[i])."""
    number = pred.dtype.type
    zero = number(0)
    nan = number(math.nan)
    for i in prange(pred.shape[0]):
        t = target[i]
        if log_target:
            losses[i] = exp(t) * (t - pred[i])
        elif t > zero:
            losses[i] = t * (math.log(t) - pred[i])
        else:
            losses[i] = -t * pred[i] if t == zero else nan


@kernel
def kl_div_backward_input(pred, target, log_target, dlosses, dpred):
    """Write dpred[i] = -t dlosses[i]."""
    number = pred.dtype.type
    zero = number(0)
    nan = number(math.nan)
    for i in prange(pred.shape[0]):
        t = target[i]
        if log_target:
            dpred[i] = -exp(t) * dlosses[i]
        else:
            dpred[i] = -t * dlosses[i] if t >= zero else nan
