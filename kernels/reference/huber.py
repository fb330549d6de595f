"""Huber's error: squared where it is small, straight where it is large.

All arrays are 1-D views of one size; ``i`` is the element, d = pred[i] - target[i].

    losses[i] = d² / 2 where |d| <= delta, else delta (|d| - delta/2)
    dpred[i] = dlosses[i] * d, where d is kept between -delta and delta

So one wild target can't pull harder than delta. Huber, "Robust estimation of a location parameter",
1964. Every output array is overwritten.
"""


def huber_forward(pred, target, delta, losses):
    """Write losses[i] = d² / 2, or delta (|d| - delta/2) beyond delta."""
    number = pred.dtype.type
    edge = number(delta)
    half = number(0.5)
    for i in range(pred.shape[0]):
        size = abs(pred[i] - target[i])
        if size <= edge:
            losses[i] = half * size * size
        else:
            losses[i] = edge * (size - half * edge)


def huber_backward_input(pred, target, delta, dlosses, dpred):
    """Write dpred[i] = dlosses[i] * d, with d kept between -delta and delta."""
    number = pred.dtype.type
    edge = number(delta)
    for i in range(pred.shape[0]):
        d = pred[i] - target[i]
        if d > edge:
            d = edge
        elif d < -edge:
            d = -edge
        dpred[i] = d * dlosses[i]
