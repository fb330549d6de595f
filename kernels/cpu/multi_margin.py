"""Multi-class hinge loss, the loops of ``reference/multi_margin.py`` on every core.

A thread owns rows n. The difference is taken in the reference's order, which decides what counts
as positive. Shapes as in the reference; every output array is overwritten.
"""

from ._jit import exact_kernel, prange


@exact_kernel
def multi_margin_forward(scores, target, power, margin, weight, losses):
    """Write losses; a thread owns rows n."""
    number = scores.dtype.type
    wanted = number(margin)
    classes = number(scores.shape[1])
    for n in prange(scores.shape[0]):
        right = target[n]
        total = number(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            if c != right and not v <= 0:
                total += v if power == 1 else v * v
        losses[n] = weight[right] * total / classes


@exact_kernel
def multi_margin_backward_input(scores, target, power, margin, weight, dlosses, dscores):
    """Write dscores; a thread owns rows n."""
    number = scores.dtype.type
    zero = number(0)
    one = number(1)
    two = number(2)
    wanted = number(margin)
    classes = number(scores.shape[1])
    for n in prange(scores.shape[0]):
        right = target[n]
        scale = dlosses[n] * weight[right] / classes
        total = number(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            slope = zero if c == right or v <= 0 else scale * (one if power == 1 else two * v)
            dscores[n, c] = slope
            total += slope
        dscores[n, right] = -total
