"""Absolute error, the loops of ``reference/l1.py`` with one thread per element.

Every element is independent. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def l1_forward(pred, target, losses):
    """Write losses[i] = |pred[i] - target[i]|."""
    launch(_forward, losses.size, pred, target, losses)


def l1_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = dlosses[i] with the sign of pred[i] - target[i]."""
    launch(_backward_input, dpred.size, pred, target, dlosses, dpred)


@kernel
def _forward(pred, target, losses):
    i = cuda.grid(1)
    if i < losses.size:
        losses[i] = abs(pred[i] - target[i])


@kernel
def _backward_input(pred, target, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        d = pred[i] - target[i]
        if d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # 0, or NaN
