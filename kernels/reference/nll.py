"""Negative log-likelihood of the right class, given log-probabilities.

Shapes: log_probabilities (N, C, P); target (N, P) int64; losses, dlosses (N, P).

    losses[n, p] = -log_probabilities[n, target[n, p], p]

so only the right class's entry has a gradient, ``-dlosses[n, p]``.
Every output array is overwritten.
"""


def nll_forward(log_probabilities, target, losses):
    """Write losses; every (n, p) is independent."""
    for n in range(losses.shape[0]):
        for p in range(losses.shape[1]):
            losses[n, p] = -log_probabilities[n, target[n, p], p]


def nll_backward_input(target, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -dlosses at the right class, 0 elsewhere."""
    for n in range(dlog_probabilities.shape[0]):
        for c in range(dlog_probabilities.shape[1]):
            for p in range(dlog_probabilities.shape[2]):
                hit = c == target[n, p]
                dlog_probabilities[n, c, p] = -dlosses[n, p] if hit else 0
