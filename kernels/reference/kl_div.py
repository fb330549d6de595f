"""Kullback-Leibler divergence of log-probabilities from a target, element by element.

All arrays are 1-D views of one size; ``i`` is the element. pred holds log-probabilities, target
probabilities t, or with ``log_target`` their logarithms.

    losses[i] = t (log(t) - pred[i]),   dpred[i] = -t dlosses[i]

Where t is 0, t log(t) is 0, its limit; where t is negative the result is NaN. Kullback and
Leibler, "On information and sufficiency", 1951. Every output array is overwritten.
"""

import math


def kl_div_forward(pred, target, log_target, losses):
    """Write losses[i] = t (log(t) - pred[i])."""
    number = pred.dtype.type
    zero = number(0)
    nan = number(math.nan)
    for i in range(pred.shape[0]):
        t = target[i]
        if log_target:
            losses[i] = math.exp(t) * (t - pred[i])
        elif t > zero:
            losses[i] = t * (math.log(t) - pred[i])
        else:
            losses[i] = -t * pred[i] if t == zero else nan


def kl_div_backward_input(pred, target, log_target, dlosses, dpred):
    """Write dpred[i] = -t dlosses[i]."""
    number = pred.dtype.type
    zero = number(0)
    nan = number(math.nan)
    for i in range(pred.shape[0]):
        t = target[i]
        if log_target:
            dpred[i] = -math.exp(t) * dlosses[i]
        else:
            dpred[i] = -t * dlosses[i] if t >= zero else nan
