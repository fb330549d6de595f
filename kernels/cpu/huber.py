"""Huber's error, the loops of ``reference/huber.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import kernel, prange


@kernel
def huber_forward(pred, target, delta, losses):
    """Write losses[i] = d² / 2, or delta (|d| - delta/2) beyond delta."""
    number = pred.dtype.type
    edge = number(delta)
    half = number(0.5)
    for i in prange(pred.shape[0]):
        size = abs(pred[i] - target[i])
        if size <= edge:
            losses[i] = half * size * size
        else:
            losses[i] = edge * (size - half * edge)


@kernel
def huber_backward_input(pred, target, delta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d, with d kept between -delta and delta."""
    number = pred.dtype.type
    edge = number(delta)
    for i in prange(pred.shape[0]):
        d = pred[i] - target[i]
        if d > edge:
            d = edge
        elif d < -edge:
            d = -edge
        dpred[i] = d * dlosses[i]
