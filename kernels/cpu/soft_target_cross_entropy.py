"""Cross-entropy against probabilities: ``reference/soft_target_cross_entropy.py`` on every core.

A thread owns whole columns (n, p), since each is normalised by its own sum. Shapes as in the
reference; every output array is overwritten.
"""

import math

from ._jit import exact_kernel, prange
from ._softmax import exponentials, scale


@exact_kernel
def soft_target_cross_entropy_forward(logits, target, weight, smoothing, losses, probabilities):
    """Write losses and probabilities; a thread owns columns (n, p)."""
    number = logits.dtype.type
    certain = number(1 - smoothing)
    even = number(smoothing / logits.shape[1])
    for column in prange(logits.shape[0] * logits.shape[2]):
        n = column // logits.shape[2]
        p = column % logits.shape[2]
        largest, total = exponentials(logits, n, p, probabilities)
        log_total = math.log(total)
        loss = number(0)
        for c in range(logits.shape[1]):
            share = weight[c] * (certain * target[n, c, p] + even)
            loss += share * (log_total - (logits[n, c, p] - largest))
        losses[n, p] = loss
        scale(probabilities, n, p, number(1) / total)


@exact_kernel
def soft_target_cross_entropy_backward_input(
    probabilities, target, weight, smoothing, dlosses, dlogits
):
    """Write dlogits = dlosses * (probabilities * sum(weight * q) - weight * q)."""
    number = dlogits.dtype.type
    certain = number(1 - smoothing)
    even = number(smoothing / dlogits.shape[1])
    for column in prange(dlogits.shape[0] * dlogits.shape[2]):
        n = column // dlogits.shape[2]
        p = column % dlogits.shape[2]
        mass = number(0)
        for c in range(dlogits.shape[1]):
            mass += weight[c] * (certain * target[n, c, p] + even)
        for c in range(dlogits.shape[1]):
            share = weight[c] * (certain * target[n, c, p] + even)
            dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] * mass - share)
