"""Negative log-likelihood, the loops of ``reference/nll.py`` on every core.

A thread owns columns (n, p). Shapes as in ``reference/nll.py``; every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def nll_forward(log_probabilities, target, losses):
    """Write losses; every (n, p) is independent."""
    for column in prange(losses.shape[0] * losses.shape[1]):
        n = column // losses.shape[1]
        p = column % losses.shape[1]
        losses[n, p] = -log_probabilities[n, target[n, p], p]


@kernel
def nll_backward_input(target, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -dlosses at the right class, 0 elsewhere."""
    zero = dlosses.dtype.type(0)
    for column in prange(dlosses.shape[0] * dlosses.shape[1]):
        n = column // dlosses.shape[1]
        p = column % dlosses.shape[1]
        for c in range(dlog_probabilities.shape[1]):
            dlog_probabilities[n, c, p] = -dlosses[n, p] if c == target[n, p] else zero
