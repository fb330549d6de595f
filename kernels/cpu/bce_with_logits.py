"""Binary cross-entropy of raw scores, the loops of ``reference/bce_with_logits.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._functions import exp, log1p
from ._jit import kernel, prange


@kernel
def bce_with_logits_forward(pred, target, weight, pos_weight, losses):
    """Write losses[i] = weight (pos_weight t softplus(-x) + (1 - t) softplus(x))."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    for i in prange(pred.shape[0]):
        x = pred[i]
        t = target[i]
        tail = log1p(exp(-abs(x)))
        yes = (zero if x >= zero else -x) + tail
        no = (x if x >= zero else zero) + tail
        loss = pos_weight[i % pos_weight.size] * t * yes + (one - t) * no
        losses[i] = weight[i % weight.size] * loss


@kernel
def bce_with_logits_backward_input(pred, target, weight, pos_weight, dlosses, dpred):
    """Write dpred[i] = weight ((1 - t) s(x) - pos_weight t s(-x)) * dlosses[i]."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    for i in prange(pred.shape[0]):
        x = pred[i]
        t = target[i]
        e = exp(-abs(x))
        yes = (one if x >= zero else e) / (one + e)
        no = (e if x >= zero else one) / (one + e)
        slope = (one - t) * yes - pos_weight[i % pos_weight.size] * t * no
        dpred[i] = weight[i % weight.size] * slope * dlosses[i]
