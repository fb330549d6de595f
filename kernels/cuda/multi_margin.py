"""Multi-class hinge loss, the loops of ``reference/multi_margin.py``.

A thread owns a whole row n, forward and backward: every score of a row is compared with the right
one, and the right one's gradient is the sum of the others'. Numbers are rounded on the host.
Shapes as in the reference; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def multi_margin_forward(scores, target, power, margin, weight, losses):
    """Write losses; a thread owns one row n."""
    wanted = scores.dtype.type(margin)
    launch(_forward, losses.size, scores, target, power, wanted, weight, losses)


def multi_margin_backward_input(scores, target, power, margin, weight, dlosses, dscores):
    """Write dscores; a thread owns one row n."""
    wanted = scores.dtype.type(margin)
    launch(_backward_input, dlosses.size, scores, target, power, wanted, weight, dlosses, dscores)


@kernel
def _forward(scores, target, power, wanted, weight, losses):
    n = cuda.grid(1)
    if n < losses.size:
        right = target[n]
        total = scores.dtype.type(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            if c != right and not v <= 0:
                total += v if power == 1 else v * v
        losses[n] = weight[right] * total / scores.dtype.type(scores.shape[1])


@kernel
def _backward_input(scores, target, power, wanted, weight, dlosses, dscores):
    n = cuda.grid(1)
    if n < dlosses.size:
        right = target[n]
        scale = dlosses[n] * weight[right] / scores.dtype.type(scores.shape[1])
        total = scores.dtype.type(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            slope = scores.dtype.type(0)
            if c != right and not v <= 0:
                slope = scale if power == 1 else scale * (scores.dtype.type(2) * v)
            dscores[n, c] = slope
            total += slope
        dscores[n, right] = -total
