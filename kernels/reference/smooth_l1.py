"""Smooth absolute error: a parabola near 0 that goes over into straight lines.

All arrays are 1-D views of one size; ``i`` is the element, d = pred[i] - target[i].

    losses[i] = d² / (2 beta) where |d| < beta, else |d| - beta/2
    dpred[i] = dlosses[i] * (d / beta where |d| < beta, else sign(d))

Both pieces have the same value and slope at |d| = beta. With beta = 0 nothing is left of the
parabola: the absolute error. Girshick, "Fast R-CNN", 2015. Every output array is overwritten.
"""


def smooth_l1_forward(pred, target, beta, losses):
    """Write losses[i] = d² / (2 beta), or |d| - beta/2 from beta on."""
    number = pred.dtype.type
    edge = number(beta)
    half = number(0.5)
    for i in range(pred.shape[0]):
        size = abs(pred[i] - target[i])
        if size < edge:
            losses[i] = half * size * size / edge
        else:
            losses[i] = size - half * edge


def smooth_l1_backward_input(pred, target, beta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d / beta, at most as large as dlosses[i]."""
    number = pred.dtype.type
    edge = number(beta)
    for i in range(pred.shape[0]):
        d = pred[i] - target[i]
        if abs(d) < edge:
            dpred[i] = d / edge * dlosses[i]
        elif d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # beta is 0 and so is d; or NaN
