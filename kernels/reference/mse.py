"""Squared error, element by element (how they are averaged is the loss's business).

All arrays are 1-D views of one size; ``i`` is the element.

    losses[i] = (pred[i] - target[i])²,   dpred[i] = 2 * (pred[i] - target[i]) * dlosses[i]

Every output array is overwritten.
"""


def mse_forward(pred, target, losses):
    """Write losses[i] = (pred[i] - target[i])²."""
    for i in range(pred.shape[0]):
        difference = pred[i] - target[i]
        losses[i] = difference * difference


def mse_backward_input(pred, target, dlosses, dpred):
    """Write dpred[i] = 2 (pred[i] - target[i]) dlosses[i]."""
    for i in range(pred.shape[0]):
        dpred[i] = 2 * (pred[i] - target[i]) * dlosses[i]
