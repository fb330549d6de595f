"""Negative log-likelihood, the loops of ``reference/nll.py`` with one thread per output.

Forward: a thread owns one losses[n, p]. Backward: a thread owns one element (n, c, p) and asks
whether c is the right class; so the zeros are written by the same launch.
Shapes as in ``reference/nll.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def nll_forward(log_probabilities, target, weight, ignore_index, losses):
    """Write losses; a thread owns one losses[n, p]."""
    launch(_forward, losses.size, log_probabilities, target, weight, ignore_index, losses)


def nll_backward_input(target, weight, ignore_index, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -weight * dlosses at the right class, 0 elsewhere."""
    size = dlog_probabilities.size
    launch(_backward_input, size, target, weight, ignore_index, dlosses, dlog_probabilities)


@kernel
def _forward(log_probabilities, target, weight, ignore_index, losses):
    i = cuda.grid(1)
    if i < losses.size:
        n, p = unravel2(i, losses.shape[1])
        right = target[n, p]
        if right == ignore_index:
            losses[n, p] = 0
        else:
            losses[n, p] = -weight[right] * log_probabilities[n, right, p]


@kernel
def _backward_input(target, weight, ignore_index, dlosses, dlog_probabilities):
    i = cuda.grid(1)
    if i < dlog_probabilities.size:
        n, c, p = unravel3(i, dlog_probabilities.shape)
        zero = dlosses.dtype.type(0)
        hit = c == target[n, p] and c != ignore_index
        dlog_probabilities[n, c, p] = -weight[c] * dlosses[n, p] if hit else zero
