"""Binary cross-entropy of raw scores, the loops of ``reference/bce_with_logits.py``.

One thread per element; every element is independent. Every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch


def bce_with_logits_forward(pred, target, weight, pos_weight, losses):
    """Write losses[i] = weight (pos_weight t softplus(-x) + (1 - t) softplus(x))."""
    launch(_forward, losses.size, pred, target, weight, pos_weight, losses)


def bce_with_logits_backward_input(pred, target, weight, pos_weight, dlosses, dpred):
    """Write dpred[i] = weight ((1 - t) s(x) - pos_weight t s(-x)) * dlosses[i]."""
    launch(_backward_input, dpred.size, pred, target, weight, pos_weight, dlosses, dpred)


@kernel
def _forward(pred, target, weight, pos_weight, losses):
    i = cuda.grid(1)
    if i < losses.size:
        zero = pred.dtype.type(0)
        one = pred.dtype.type(1)
        x = pred[i]
        t = target[i]
        tail = math.log1p(math.exp(-abs(x)))
        yes = (zero if x >= zero else -x) + tail
        no = (x if x >= zero else zero) + tail
        loss = pos_weight[i % pos_weight.size] * t * yes + (one - t) * no
        losses[i] = weight[i % weight.size] * loss


@kernel
def _backward_input(pred, target, weight, pos_weight, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        zero = pred.dtype.type(0)
        one = pred.dtype.type(1)
        x = pred[i]
        t = target[i]
        e = math.exp(-abs(x))
        yes = (one if x >= zero else e) / (one + e)
        no = (e if x >= zero else one) / (one + e)
        slope = (one - t) * yes - pos_weight[i % pos_weight.size] * t * no
        dpred[i] = weight[i % weight.size] * slope * dlosses[i]
