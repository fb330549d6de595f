"""Binary cross-entropy, the loops of ``reference/bce.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def bce_forward(pred, target, weight, losses):
    """Write losses[i] = -weight (t log(p) + (1 - t) log(1 - p))."""
    launch(_forward, losses.size, pred, target, weight, losses)


def bce_backward_input(pred, target, weight, dlosses, dpred):
    """Write dpred[i] = weight (p - t) / (p (1 - p)) * dlosses[i]."""
    launch(_backward_input, dpred.size, pred, target, weight, dlosses, dpred)


@kernel
def _forward(pred, target, weight, losses):
    i = cuda.grid(1)
    if i < losses.size:
        zero = pred.dtype.type(0)
        one = pred.dtype.type(1)
        least = pred.dtype.type(-100)
        nan = pred.dtype.type(math.nan)
        p = pred[i]
        t = target[i]
        yes = math.log(p) if p > zero else least
        yes = yes if yes > least else least
        no = math.log1p(-p) if p < one else least  # 1 - p is eps/2 at least
        loss = weight[i % weight.size] * ((t - one) * no - t * yes)
        possible = p >= zero and p <= one and t >= zero and t <= one
        losses[i] = loss if possible else nan


@kernel
def _backward_input(pred, target, weight, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        one = pred.dtype.type(1)
        tiny = pred.dtype.type(9.999999960041972e-13)  # 1e-12 of float32, in both precisions
        p = pred[i]
        below = p * (one - p)
        below = below if not below < tiny else tiny
        dpred[i] = weight[i % weight.size] * (p - target[i]) / below * dlosses[i]
