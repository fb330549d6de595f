"""Absolute error, element by element.

All arrays are 1-D views of one size; ``i`` is the element, d = pred[i] - target[i].

    losses[i] = |d|,   dpred[i] = sign(d) * dlosses[i]

At d = 0 there is no slope; 0, between those of both sides, is taken. NaN stays NaN.
Every output array is overwritten.
"""


def l1_forward(pred, target, losses):
    """Write losses[i] = |pred[i] - target[i]|."""
    for i in range(pred.shape[0]):
        losses[i] = abs(pred[i] - target[i])


def l1_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = dlosses[i] with the sign of pred[i] - target[i]."""
    for i in range(pred.shape[0]):
        d = pred[i] - target[i]
        if d > 0:
            dpred[i] = dlosses[i]
        elif d < 0:
            dpred[i] = -dlosses[i]
        else:
            dpred[i] = d * dlosses[i]  # 0, or NaN
