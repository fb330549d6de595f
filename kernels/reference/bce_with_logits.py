"""Binary cross-entropy of raw scores; the sigmoid is inside, and nothing can overflow.

pred, target, losses, dlosses and dpred are 1-D views of one size; ``i`` is the element. weight and
pos_weight are repeated along them, ``weight[i % weight.size]``: one number for all, or a pattern.
x = pred[i] is the score, t = target[i] the right probability of yes, s the logistic function.

    losses[i] = weight (pos_weight t softplus(-x) + (1 - t) softplus(x))

where softplus(x) = log(1 + exp(x)) = -log s(-x) is computed as max(x, 0) + log(1 + exp(-|x|)).
Its derivative is s(x), and that of softplus(-x) is -s(-x), so ::

    dpred[i] = dlosses[i] * weight ((1 - t) s(x) - pos_weight t s(-x))

which for the weights 1 is s(x) - t. Cox, "The regression analysis of binary sequences", 1958.
Every output array is overwritten.
"""

import math


def bce_with_logits_forward(pred, target, weight, pos_weight, losses):
    """Write losses[i] = weight (pos_weight t softplus(-x) + (1 - t) softplus(x))."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    for i in range(pred.shape[0]):
        x = pred[i]
        t = target[i]
        tail = math.log1p(math.exp(-abs(x)))
        yes = (zero if x >= zero else -x) + tail
        no = (x if x >= zero else zero) + tail
        loss = pos_weight[i % pos_weight.size] * t * yes + (one - t) * no
        losses[i] = weight[i % weight.size] * loss


def bce_with_logits_backward_input(pred, target, weight, pos_weight, dlosses, dpred):
    """Write dpred[i] = weight ((1 - t) s(x) - pos_weight t s(-x)) * dlosses[i]."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    for i in range(pred.shape[0]):
        x = pred[i]
        t = target[i]
        e = math.exp(-abs(x))
        yes = (one if x >= zero else e) / (one + e)
        no = (e if x >= zero else one) / (one + e)
        slope = (one - t) * yes - pos_weight[i % pos_weight.size] * t * no
        dpred[i] = weight[i % weight.size] * slope * dlosses[i]
