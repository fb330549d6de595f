"""Huber's error, the loops of ``reference/huber.py`` with one thread per element.

Every element is independent. Numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch


def huber_forward(pred, target, delta, losses):
    """Write losses[i] = d² / 2, or delta (|d| - delta/2) beyond delta."""
    edge = pred.dtype.type(delta)
    launch(_forward, losses.size, pred, target, edge, losses)


def huber_backward_input(pred, target, delta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d, with d kept between -delta and delta."""
    edge = pred.dtype.type(delta)
    launch(_backward_input, dpred.size, pred, target, edge, dlosses, dpred)


@kernel
def _forward(pred, target, edge, losses):
    i = cuda.grid(1)
    if i < losses.size:
        half = pred.dtype.type(0.5)
        size = abs(pred[i] - target[i])
        if size <= edge:
            losses[i] = half * size * size
        else:
            losses[i] = edge * (size - half * edge)


@kernel
def _backward_input(pred, target, edge, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        d = pred[i] - target[i]
        if d > edge:
            d = edge
        elif d < -edge:
            d = -edge
        dpred[i] = d * dlosses[i]
