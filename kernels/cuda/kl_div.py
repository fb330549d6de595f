"""Kullback-Leibler divergence, the loops of ``reference/kl_div.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def kl_div_forward(pred, target, log_target, losses):
    """Write losses[i] = t (log(t) - pred[i])."""
    launch(_forward, losses.size, pred, target, log_target, losses)


def kl_div_backward_input(pred, target, log_target, dlosses, dpred):
    """Write dpred[i] = -t dlosses[i]."""
    launch(_backward_input, dpred.size, pred, target, log_target, dlosses, dpred)


@kernel
def _forward(pred, target, log_target, losses):
    i = cuda.grid(1)
    if i < losses.size:
        zero = pred.dtype.type(0)
        nan = pred.dtype.type(math.nan)
        t = target[i]
        if log_target:
            losses[i] = math.exp(t) * (t - pred[i])
        elif t > zero:
            losses[i] = t * (math.log(t) - pred[i])
        else:
            losses[i] = -t * pred[i] if t == zero else nan


@kernel
def _backward_input(pred, target, log_target, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        zero = pred.dtype.type(0)
        nan = pred.dtype.type(math.nan)
        t = target[i]
        if log_target:
            dpred[i] = -math.exp(t) * dlosses[i]
        else:
            dpred[i] = -t * dlosses[i] if t >= zero else nan
