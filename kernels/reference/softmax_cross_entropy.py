"""Softmax and cross-entropy in one: the loss of a classifier that outputs raw scores.

Shapes: logits, probabilities, dlogits (N, C, P); target (N, P) int64, the right class of each
(n, p); losses, dlosses (N, P). P = 1 for the usual (N, C) scores.

    losses[n, p] = -log softmax(logits)[n, target, p]
                 = log(sum over c of exp(logits[c] - m)) - (logits[target] - m)

The two derivatives collapse into one of the neatest results of the field (Bridle, 1990)::

    dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] - [c is the target])

Every output array is overwritten.
"""

import math


def softmax_cross_entropy_forward(logits, target, losses, probabilities):
    """Write losses and probabilities; every (n, p) column is independent of the others."""
    for n in range(logits.shape[0]):
        for p in range(logits.shape[2]):
            largest = logits[n, 0, p]
            for c in range(logits.shape[1]):
                largest = max(largest, logits[n, c, p])
            total = logits.dtype.type(0)
            for c in range(logits.shape[1]):
                probabilities[n, c, p] = math.exp(logits[n, c, p] - largest)
                total += probabilities[n, c, p]
            for c in range(logits.shape[1]):
                probabilities[n, c, p] /= total
            losses[n, p] = math.log(total) - (logits[n, target[n, p], p] - largest)


def softmax_cross_entropy_backward_input(probabilities, target, dlosses, dlogits):
    """Write dlogits = dlosses * (probabilities - one_hot(target))."""
    for n in range(dlogits.shape[0]):
        for c in range(dlogits.shape[1]):
            for p in range(dlogits.shape[2]):
                hit = 1 if c == target[n, p] else 0
                dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] - hit)
