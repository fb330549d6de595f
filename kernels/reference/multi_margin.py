"""Multi-class hinge loss: the right class should lead every other one by a margin.

Shapes: scores, dscores (N, C); target (N,) int64, the right class t of each row; weight (C,), one
number per class; losses, dlosses (N,). ``power`` is 1 or 2.

    losses[n] = weight[t] / C * sum over c ≠ t of max(0, margin - scores[t] + scores[c])^power

Weston and Watkins, "Support vector machines for multi-class pattern recognition", 1999. A term
v = margin - scores[t] + scores[c] that isn't positive is flat. Any other has the slope h = 1, or
2 v for the power 2: dscores[c] is dlosses * weight[t] / C * h, and dscores[t], which stands in
every term with the other sign, is minus the sum of these. Every output array is overwritten.
"""


def multi_margin_forward(scores, target, power, margin, weight, losses):
    """Write losses; every row n is independent."""
    number = scores.dtype.type
    wanted, classes = number(margin), number(scores.shape[1])
    for n in range(scores.shape[0]):
        right = target[n]
        total = number(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            if c != right and not v <= 0:  # so that NaN is added too
                total += v if power == 1 else v * v
        losses[n] = weight[right] * total / classes


def multi_margin_backward_input(scores, target, power, margin, weight, dlosses, dscores):
    """Write dscores; every row n is independent."""
    number = scores.dtype.type
    zero, one, two = number(0), number(1), number(2)
    wanted, classes = number(margin), number(scores.shape[1])
    for n in range(scores.shape[0]):
        right = target[n]
        scale = dlosses[n] * weight[right] / classes
        total = number(0)
        for c in range(scores.shape[1]):
            v = wanted - scores[n, right] + scores[n, c]
            slope = zero if c == right or v <= 0 else scale * (one if power == 1 else two * v)
            dscores[n, c] = slope
            total += slope
        dscores[n, right] = -total
