"""Negative log-likelihood, the loops of ``reference/nll.py`` on every core.

A thread owns columns (n, p). Shapes as in ``reference/nll.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def nll_forward(log_probabilities, target, weight, ignore_index, losses):
    """Write losses; every (n, p) is independent."""
    for column in prange(losses.shape[0] * losses.shape[1]):
        n = column // losses.shape[1]
        p = column % losses.shape[1]
        right = target[n, p]
        if right == ignore_index:
            losses[n, p] = 0
        else:
            losses[n, p] = -weight[right] * log_probabilities[n, right, p]


@kernel
def nll_backward_input(target, weight, ignore_index, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -weight * dlosses at the right class, 0 elsewhere."""
    zero = dlosses.dtype.type(0)
    for column in prange(dlosses.shape[0] * dlosses.shape[1]):
        n = column // dlosses.shape[1]
        p = column % dlosses.shape[1]
        for c in range(dlog_probabilities.shape[1]):
            hit = c == target[n, p] and c != ignore_index
            dlog_probabilities[n, c, p] = -weight[c] * dlosses[n, p] if hit else zero
