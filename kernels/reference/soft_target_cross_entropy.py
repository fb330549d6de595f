"""Softmax and cross-entropy against probabilities: a target that isn't one class alone.

Shapes: logits, target, probabilities, dlogits (N, C, P); weight (C,), one number per class;
losses, dlosses (N, P). The target is q = (1 - s) target + s/C, s = smoothing (Szegedy et al.,
"Rethinking the Inception architecture", 2016). With m the largest score and
total = sum over c of exp(logits[c] - m)::

    losses[n, p] = sum over c of weight[c] q[c] (log(total) - (logits[c] - m))

which is -sum of weight q log softmax(logits): Shannon, "A mathematical theory of communication",
1948. The derivative of -log softmax(logits)[k] with respect to logits[c] is
probabilities[c] - [c is k] (Bridle, 1990), so ::

    dlogits[c] = dlosses * (probabilities[c] * (sum over k of weight[k] q[k]) - weight[c] q[c])

Where q adds up to 1 and the weights are 1 this is probabilities - q.
Every output array is overwritten.
"""

import math


def soft_target_cross_entropy_forward(logits, target, weight, smoothing, losses, probabilities):
    """Write losses and probabilities; every (n, p) column is independent of the others."""
    number = logits.dtype.type
    certain, even = number(1 - smoothing), number(smoothing / logits.shape[1])
    for n in range(logits.shape[0]):
        for p in range(logits.shape[2]):
            largest = logits[n, 0, p]
            for c in range(logits.shape[1]):
                largest = max(largest, logits[n, c, p])
            total = number(0)
            for c in range(logits.shape[1]):
                probabilities[n, c, p] = math.exp(logits[n, c, p] - largest)
                total += probabilities[n, c, p]
            log_total = math.log(total)
            loss = number(0)
            for c in range(logits.shape[1]):
                probabilities[n, c, p] /= total
                share = weight[c] * (certain * target[n, c, p] + even)
                loss += share * (log_total - (logits[n, c, p] - largest))
            losses[n, p] = loss


def soft_target_cross_entropy_backward_input(
    probabilities, target, weight, smoothing, dlosses, dlogits
):
    """Write dlogits = dlosses * (probabilities * sum(weight * q) - weight * q)."""
    number = dlogits.dtype.type
    certain, even = number(1 - smoothing), number(smoothing / dlogits.shape[1])
    for n in range(dlogits.shape[0]):
        for p in range(dlogits.shape[2]):
            mass = number(0)
            for c in range(dlogits.shape[1]):
                mass += weight[c] * (certain * target[n, c, p] + even)
            for c in range(dlogits.shape[1]):
                share = weight[c] * (certain * target[n, c, p] + even)
                dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] * mass - share)
