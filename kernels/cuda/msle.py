"""Squared logarithmic error, the loops of ``reference/msle.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def msle_forward(pred, target, losses):
    """Write losses[i] = (log(1 + pred[i]) - log(1 + target[i]))²."""
    launch(_forward, losses.size, pred, target, losses)


def msle_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = 2 d / (1 + pred[i]) * dlosses[i]."""
    launch(_backward_input, dpred.size, pred, target, dlosses, dpred)


@kernel
def _forward(pred, target, losses):
    i = cuda.grid(1)
    if i < losses.size:
        least = pred.dtype.type(-1)
        nan = pred.dtype.type(math.nan)
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            losses[i] = d * d
        else:
            losses[i] = nan


@kernel
def _backward_input(pred, target, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        least = pred.dtype.type(-1)
        one = pred.dtype.type(1)
        two = pred.dtype.type(2)
        nan = pred.dtype.type(math.nan)
        if pred[i] > least and target[i] > least:
            d = math.log1p(pred[i]) - math.log1p(target[i])
            dpred[i] = two * d / (one + pred[i]) * dlosses[i]
        else:
            dpred[i] = nan
