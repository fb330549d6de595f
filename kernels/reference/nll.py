"""Negative log-likelihood of the right class, given log-probabilities.

Shapes: log_probabilities (N, C, P); target (N, P) int64; weight (C,), one number per class;
losses, dlosses (N, P).

    losses[n, p] = -weight[t] * log_probabilities[n, t, p],   t = target[n, p]

so only the right class's entry has a gradient, ``-weight[t] * dlosses[n, p]``. Where the target is
ignore_index, the row takes no part: its loss and its gradient are 0 whatever it holds.
Every output array is overwritten.
"""


def nll_forward(log_probabilities, target, weight, ignore_index, losses):
    """Write losses; every (n, p) is independent."""
    for n in range(losses.shape[0]):
        for p in range(losses.shape[1]):
            right = target[n, p]
            if right == ignore_index:
                losses[n, p] = 0
            else:
                losses[n, p] = -weight[right] * log_probabilities[n, right, p]


def nll_backward_input(target, weight, ignore_index, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -weight * dlosses at the right class, 0 elsewhere."""
    for n in range(dlog_probabilities.shape[0]):
        for c in range(dlog_probabilities.shape[1]):
            for p in range(dlog_probabilities.shape[2]):
                hit = c == target[n, p] and c != ignore_index
                dlog_probabilities[n, c, p] = -weight[c] * dlosses[n, p] if hit else 0
