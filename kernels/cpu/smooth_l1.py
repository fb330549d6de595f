"""Smooth absolute error, the loops of ``reference/smooth_l1.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def smooth_l1_forward(pred, target, beta, losses):
    """Write losses[i] = d² / (2 beta), or |d| - beta/2 from beta on."""
    number = pred.dtype.type
    edge = number(beta)
    half = number(0.5)
    for i in prange(pred.shape[0]):
        size = abs(pred[i] - target[i])
        if size < edge:
            losses[i] = half * size * size / edge
        else:
            losses[i] = size - half * edge


@kernel
def smooth_l1_backward_input(pred, target, beta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d / beta, at most as large as dlosses[i]."""
    number = pred.dtype.type
    edge = number(beta)
    for i in prange(pred.shape[0]):
        d = pred[i] - target[i]
        if abs(d) < edge:
            dpred[i] = d / edge * dlosses[i]
        elif d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # beta is 0 and so is d; or NaN
