"""Softmax and cross-entropy, the loops of ``reference/softmax_cross_entropy.py``.

Forward: a thread owns a whole column (n, p), since the classes of a column share one maximum and
one sum. Backward: nothing is shared any more, and a thread owns one dlogits[n, c, p]; with a
smoothed target each adds up the weights for itself. Shapes as in the reference; every output
array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def softmax_cross_entropy_forward(
    logits, target, weight, ignore_index, smoothing, losses, probabilities
):
    """Write losses and probabilities; a thread owns one column (n, p)."""
    number = logits.dtype.type
    shares = number(1 - smoothing), number(smoothing / logits.shape[1])
    numbers = (ignore_index, *shares)
    launch(_forward, losses.size, logits, target, weight, *numbers, losses, probabilities)


def softmax_cross_entropy_backward_input(
    probabilities, target, weight, ignore_index, smoothing, dlosses, dlogits
):
    """Write dlogits; a thread owns one element."""
    number = dlogits.dtype.type
    shares = number(1 - smoothing), number(smoothing / dlogits.shape[1])
    numbers = (ignore_index, *shares)
    launch(_backward_input, dlogits.size, probabilities, target, weight, *numbers, dlosses, dlogits)


@kernel
def _forward(logits, target, weight, ignore_index, certain, even, losses, probabilities):
    i = cuda.grid(1)
    if i < losses.size:
        n, p = unravel2(i, losses.shape[1])
        largest = logits[n, 0, p]
        for c in range(1, logits.shape[1]):
            if logits[n, c, p] > largest:
                largest = logits[n, c, p]
        total = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            e = math.exp(logits[n, c, p] - largest)
            probabilities[n, c, p] = e
            total += e
        for c in range(logits.shape[1]):
            probabilities[n, c, p] /= total
        right = target[n, p]
        if right == ignore_index:
            losses[n, p] = 0
        else:
            log_total = math.log(total)
            loss = weight[right] * (log_total - (logits[n, right, p] - largest))
            if even > 0:
                spread = logits.dtype.type(0)
                for c in range(logits.shape[1]):
                    spread += weight[c] * (log_total - (logits[n, c, p] - largest))
                loss = certain * loss + even * spread
            losses[n, p] = loss


@kernel
def _backward_input(probabilities, target, weight, ignore_index, certain, even, dlosses, dlogits):
    i = cuda.grid(1)
    if i < dlogits.size:
        n, c, p = unravel3(i, dlogits.shape)
        right = target[n, p]
        if right == ignore_index:
            dlogits[n, c, p] = 0
        else:
            hit = dlogits.dtype.type(c == right)
            slope = certain * weight[right] * (probabilities[n, c, p] - hit)
            if even > 0:
                total_weight = dlogits.dtype.type(0)
                for k in range(weight.size):
                    total_weight += weight[k]
                slope += even * (probabilities[n, c, p] * total_weight - weight[c])
            dlogits[n, c, p] = dlosses[n, p] * slope
