"""Softmax and cross-entropy in one: the loss of a classifier that outputs raw scores.

Shapes: logits, probabilities, dlogits (N, C, P); target (N, P) int64, the right class t of each
(n, p); weight (C,), one number per class; losses, dlosses (N, P). P = 1 for (N, C) scores.
With m the largest score and total = sum over c of exp(logits[c] - m)::

    surprise[c] = -log softmax(logits)[c] = log(total) - (logits[c] - m)
    losses[n, p] = (1 - s) weight[t] surprise[t] + s/C * (sum over c of weight[c] surprise[c])

With s = smoothing the target isn't quite certain: a share s of it is spread evenly over all C
classes (Szegedy et al., "Rethinking the Inception architecture", 2016). Plain is s = 0. Where the
target is ignore_index, the row takes no part: its loss and its gradient are 0.

The derivative of surprise[k] with respect to logits[c] is probabilities[c] - [c is k], one of the
neatest results of the field (Bridle, 1990); summed up as above it gives ::

    dlogits[c] = dlosses * ((1 - s) weight[t] (probabilities[c] - [c is t])
                            + s/C * (probabilities[c] * sum(weight) - weight[c]))

Every output array is overwritten.
"""

import math


def softmax_cross_entropy_forward(
    logits, target, weight, ignore_index, smoothing, losses, probabilities
):
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
            for c in range(logits.shape[1]):
                probabilities[n, c, p] /= total
            right = target[n, p]
            if right == ignore_index:
                losses[n, p] = 0
                continue
            log_total = math.log(total)
            losses[n, p] = weight[right] * (log_total - (logits[n, right, p] - largest))
            if smoothing > 0:
                spread = number(0)
                for c in range(logits.shape[1]):
                    spread += weight[c] * (log_total - (logits[n, c, p] - largest))
                losses[n, p] = certain * losses[n, p] + even * spread


def softmax_cross_entropy_backward_input(
    probabilities, target, weight, ignore_index, smoothing, dlosses, dlogits
):
    """Write dlogits = dlosses * weight * (probabilities - one_hot(target)), or as smoothed."""
    number = dlogits.dtype.type
    certain, even = number(1 - smoothing), number(smoothing / dlogits.shape[1])
    total_weight = number(0)
    for c in range(dlogits.shape[1]):
        total_weight += weight[c]
    for n in range(dlogits.shape[0]):
        for c in range(dlogits.shape[1]):
            for p in range(dlogits.shape[2]):
                right = target[n, p]
                if right == ignore_index:
                    dlogits[n, c, p] = 0
                    continue
                hit = 1 if c == right else 0
                slope = certain * weight[right] * (probabilities[n, c, p] - hit)
                if smoothing > 0:
                    slope += even * (probabilities[n, c, p] * total_weight - weight[c])
                dlogits[n, c, p] = dlosses[n, p] * slope
