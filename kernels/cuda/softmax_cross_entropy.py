"""Softmax and cross-entropy, the loops of ``reference/softmax_cross_entropy.py``.

Forward: a thread owns a whole column (n, p), since the classes of a column share one maximum and
one sum. Backward: nothing is shared any more, and a thread owns one dlogits[n, c, p].
Shapes as in the reference; every output array is overwritten.
"""

import math

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def softmax_cross_entropy_forward(logits, target, losses, probabilities):
    """Write losses and probabilities; a thread owns one column (n, p)."""
    launch(_forward, losses.size, logits, target, losses, probabilities)


def softmax_cross_entropy_backward_input(probabilities, target, dlosses, dlogits):
    """Write dlogits = dlosses * (probabilities - one_hot(target))."""
    launch(_backward_input, dlogits.size, probabilities, target, dlosses, dlogits)


@kernel
def _forward(logits, target, losses, probabilities):
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
        losses[n, p] = math.log(total) - (logits[n, target[n, p], p] - largest)


@kernel
def _backward_input(probabilities, target, dlosses, dlogits):
    i = cuda.grid(1)
    if i < dlogits.size:
        n, c, p = unravel3(i, dlogits.shape)
        hit = dlogits.dtype.type(c == target[n, p])
        dlogits[n, c, p] = dlosses[n, p] * (probabilities[n, c, p] - hit)
