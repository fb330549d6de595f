"""Absolute error, the loops of ``reference/l1.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def l1_forward(pred, target, losses):
    """Write losses[i] = |pred[i] - target[i]|."""
    for i in prange(pred.shape[0]):
        losses[i] = abs(pred[i] - target[i])


@kernel
def l1_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = dlosses[i] with the sign of pred[i] - target[i]."""
    for i in prange(pred.shape[0]):
        d = pred[i] - target[i]
        if d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # 0, or NaN
