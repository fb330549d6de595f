"""Softmax and cross-entropy, the loops of ``reference/softmax_cross_entropy.py`` on every core.

A thread owns whole columns (n, p), since each is normalised by its own sum. Only a smoothed
target costs another pass over the classes, forward and backward. Shapes as in the reference;
every output array is overwritten.
"""

import math

from ._jit import exact_kernel, prange
from ._softmax import exponentials, scale


@exact_kernel
def softmax_cross_entropy_forward(
    logits, target, weight, ignore_index, smoothing, losses, probabilities
):
    """Write losses and probabilities; a thread owns columns (n, p)."""
    number = logits.dtype.type
    certain = number(1 - smoothing)
    even = number(smoothing / logits.shape[1])
    for column in prange(logits.shape[0] * logits.shape[2]):
        n = column // logits.shape[2]
        p = column % logits.shape[2]
        largest, total = exponentials(logits, n, p, probabilities)
        scale(probabilities, n, p, number(1) / total)
        right = target[n, p]
        if right == ignore_index:
            losses[n, p] = 0
        else:
            log_total = math.log(total)
            loss = weight[right] * (log_total - (logits[n, right, p] - largest))
            if smoothing > 0:
                spread = number(0)
                for c in range(logits.shape[1]):
                    spread += weight[c] * (log_total - (logits[n, c, p] - largest))
                loss = certain * loss + even * spread
            losses[n, p] = loss


@exact_kernel
def softmax_cross_entropy_backward_input(
    probabilities, target, weight, ignore_index, smoothing, dlosses, dlogits
):
    """Write dlogits; a thread owns columns (n, p)."""
    number = dlogits.dtype.type
    certain = number(1 - smoothing)
    even = number(smoothing / dlogits.shape[1])
    total_weight = number(0)
    for c in range(dlogits.shape[1]):
        total_weight += weight[c]
    for column in prange(dlogits.shape[0] * dlogits.shape[2]):
        n = column // dlogits.shape[2]
        p = column % dlogits.shape[2]
        right = target[n, p]
        if right == ignore_index:
            for c in range(dlogits.shape[1]):
                dlogits[n, c, p] = 0
        else:
            scale = dlosses[n, p] * certain * weight[right]
            for c in range(dlogits.shape[1]):
                dlogits[n, c, p] = scale * (probabilities[n, c, p] - number(c == right))
            if smoothing > 0:
                scale = dlosses[n, p] * even
                for c in range(dlogits.shape[1]):
                    slope = probabilities[n, c, p] * total_weight - weight[c]
                    dlogits[n, c, p] += scale * slope
