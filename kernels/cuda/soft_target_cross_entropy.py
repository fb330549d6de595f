"""Cross-entropy against probabilities: ``reference/soft_target_cross_entropy.py``.

A thread owns a whole column (n, p), forward and backward, since its classes share one maximum,
one sum of exponentials and one sum of the target. Neighbouring threads own neighbouring p.
Shapes as in the reference; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel2


def soft_target_cross_entropy_forward(logits, target, weight, smoothing, losses, probabilities):
    """Write losses and probabilities; a thread owns one column (n, p)."""
    number = logits.dtype.type
    shares = number(1 - smoothing), number(smoothing / logits.shape[1])
    launch(_forward, losses.size, logits, target, weight, *shares, losses, probabilities)


def soft_target_cross_entropy_backward_input(
    probabilities, target, weight, smoothing, dlosses, dlogits
):
    """Write dlogits; a thread owns one column (n, p)."""
    number = dlogits.dtype.type
    shares = number(1 - smoothing), number(smoothing / dlogits.shape[1])
    launch(_backward_input, dlosses.size, probabilities, target, weight, *shares, dlosses, dlogits)


@kernel
def _forward(logits, target, weight, certain, even, losses, probabilities):
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
        log_total = math.log(total)
        loss = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            probabilities[n, c, p] /= total
            share = weight[c] * (certain * target[n, c, p] + even)
            loss += share * (log_total - (logits[n, c, p] - largest))
        losses[n, p] = loss


@kernel
def _backward_input(probabilities, target, weight, certain, even, dlosses, dlogits):
    i = cuda.grid(1)
    if i < dlosses.size:
        n, p = unravel2(i, dlosses.shape[1])
        mass = dlogits.dtype.type(0)
        for c in range(dlogits.shape[1]):
            mass += weight[c] * (certain * target[n, c, p] + even)
        for c in range(dlogits.shape[1]):
            share = weight[c] * (certain * target[n, c, p] + even)
            dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] * mass - share)
