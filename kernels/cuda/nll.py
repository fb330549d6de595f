"""Negative log-likelihood, the loops of ``reference/nll.py`` with one thread per output.

Forward: a thread owns one losses[n, p]. Backward: a thread owns one element (n, c, p) and asks
whether c is the right class; so the zeros are written by the same launch.
Shapes as in ``reference/nll.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel2, unravel3


def nll_forward(log_probabilities, target, losses):
    """Write losses; a thread owns one losses[n, p]."""
    launch(_forward, losses.size, log_probabilities, target, losses)


def nll_backward_input(target, dlosses, dlog_probabilities):
    """Write dlog_probabilities: -dlosses at the right class, 0 elsewhere."""
    launch(_backward_input, dlog_probabilities.size, target, dlosses, dlog_probabilities)


@kernel
def _forward(log_probabilities, target, losses):
    i = cuda.grid(1)
    if i < losses.size:
        n, p = unravel2(i, losses.shape[1])
        losses[n, p] = -log_probabilities[n, target[n, p], p]


@kernel
def _backward_input(target, dlosses, dlog_probabilities):
    i = cuda.grid(1)
    if i < dlog_probabilities.size:
        n, c, p = unravel3(i, dlog_probabilities.shape)
        zero = dlosses.dtype.type(0)
        dlog_probabilities[n, c, p] = -dlosses[n, p] if c == target[n, p] else zero
