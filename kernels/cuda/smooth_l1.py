"""Smooth absolute error, the loops of ``reference/smooth_l1.py`` with one thread per element.

Every element is independent. Numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def smooth_l1_forward(pred, target, beta, losses):
    """Write losses[i] = d² / (2 beta), or |d| - beta/2 from beta on."""
    edge = pred.dtype.type(beta)
    launch(_forward, losses.size, pred, target, edge, losses)


def smooth_l1_backward_input(pred, target, beta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d / beta, at most as large as dlosses[i]."""
    edge = pred.dtype.type(beta)
    launch(_backward_input, dpred.size, pred, target, edge, dlosses, dpred)


@kernel
def _forward(pred, target, edge, losses):
    i = cuda.grid(1)
    if i < losses.size:
        half = pred.dtype.type(0.5)
        size = abs(pred[i] - target[i])
        if size < edge:
            losses[i] = half * size * size / edge
        else:
            losses[i] = size - half * edge


@kernel
def _backward_input(pred, target, edge, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        d = pred[i] - target[i]
        if abs(d) < edge:
            dpred[i] = d / edge * dlosses[i]
        elif d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # beta is 0 and so is d; or NaN
