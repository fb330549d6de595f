"""Softmax and cross-entropy, the loops of ``reference/softmax_cross_entropy.py`` on every core.

A thread owns whole columns (n, p), since each is normalised by its own sum. Shapes as in the
reference; every output array is overwritten.
"""

import math

from ._jit import exact_kernel, prange


@exact_kernel
def softmax_cross_entropy_forward(logits, target, losses, probabilities):
    """Write losses and probabilities; a thread owns columns (n, p)."""
    for column in prange(logits.shape[0] * logits.shape[2]):
        n = column // logits.shape[2]
        p = column % logits.shape[2]
        largest = logits[n, 0, p]
        for c in range(1, logits.shape[1]):
            largest = max(largest, logits[n, c, p])
        total = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            e = math.exp(logits[n, c, p] - largest)
            probabilities[n, c, p] = e
            total += e
        for c in range(logits.shape[1]):
            probabilities[n, c, p] /= total
        losses[n, p] = math.log(total) - (logits[n, target[n, p], p] - largest)


@exact_kernel
def softmax_cross_entropy_backward_input(probabilities, target, dlosses, dlogits):
    """Write dlogits = dlosses * (probabilities - one_hot(target)); a thread owns columns (n, p)."""
    for column in prange(dlogits.shape[0] * dlogits.shape[2]):
        n = column // dlogits.shape[2]
        p = column % dlogits.shape[2]
        for c in range(dlogits.shape[1]):
            hit = dlogits.dtype.type(c == target[n, p])
            dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] - hit)
