"""What the host wants to know of a training step: the sum of its losses, and how many were right.

Losses are added up in float64 by at most 1024 threads side by side: thread t takes the numbers t,
t + T, t + 2 T … (T threads), so neighbouring threads read neighbouring numbers. Thread t also owns
the columns t, t + T … of the scores and counts those whose highest score is the label's. One thread
of a second launch adds up what they found, in its order: two runs give the same bits.
"""

import numpy as np

from ._cuda import cuda, kernel, launch
from ._index import unravel2
from ._memory import empty

MOST_SUMS = 1024


def add_up(losses, scores=None, labels=None, ignore_index=-100):
    """Return an array on the GPU of the sum of all losses and of the number of hits.

    losses         any shape
    scores         (N, C, P), or None: no hits
    labels         (N, P) int64; where they are ignore_index nothing counts
    """
    found = empty((2, max(1, min(losses.size, MOST_SUMS))), np.float64)
    figures = empty((2,), np.float64)
    launch(_sums, found.shape[1], losses.reshape(-1), found)
    if scores is None:
        launch(_combine, 2, found, 1, figures)
    else:
        launch(_hits, found.shape[1], scores, labels, ignore_index, found)
        launch(_combine, 2, found, 2, figures)
    return figures


@kernel(double=True)
def _sums(losses, found):
    t = cuda.grid(1)
    if t < found.shape[1]:
        total = np.float64(0)
        for i in range(t, losses.size, found.shape[1]):
            total += losses[i]
        found[0, t] = total


@kernel(double=True)
def _hits(scores, labels, ignore_index, found):
    t = cuda.grid(1)
    if t < found.shape[1]:
        hits = 0
        for i in range(t, labels.size, found.shape[1]):
            n, p = unravel2(i, labels.shape[1])
            best = 0
            for c in range(1, scores.shape[1]):
                a, b = scores[n, c, p], scores[n, best, p]
                if a > b or (a != a and b == b):  # a NaN is the highest, as for NumPy
                    best = c
            if labels[n, p] != ignore_index and labels[n, p] == best:
                hits += 1
        found[1, t] = hits


@kernel(double=True)
def _combine(found, rows, figures):
    r = cuda.grid(1)
    if r < 2:
        total = np.float64(0)
        if r < rows:
            for t in range(found.shape[1]):
                total += found[r, t]
        figures[r] = total
