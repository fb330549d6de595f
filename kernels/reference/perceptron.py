"""The perceptron's criterion: how far the sum of a wrong threshold unit lies on the wrong side.

All arrays are 1-D views of one size; ``i`` is the element. ``a`` is the weighted sum of a
threshold unit, ``t`` the answer wanted, 1 or ``low`` (-1 or 0), and ``y = step(a)`` the answer
given: 1 where a > 0, else low.

    losses[i] = (y - t) * a,   dpred[i] = (y - t) * dlosses[i]

A right answer costs nothing and changes nothing. A wrong one costs in proportion to |a|; its
derivative is y - t, since y doesn't change where a does by a little. One step of gradient descent
through ``a = w x + b`` is then ``w += lr (t - y) x``: Rosenblatt's rule ("The perceptron", 1958).
A NaN in `pred` stays NaN. Every output array is overwritten.
"""


def perceptron_forward(pred, target, low, losses):
    """Write losses[i] = (step(pred[i]) - target[i]) * pred[i], or 0 where the answer is right."""
    for i in range(pred.shape[0]):
        error = _error(pred[i], target[i], low)
        losses[i] = error * pred[i] if error != 0 else 0


def perceptron_backward_input(pred, target, low, dlosses, dpred):
    """Write dpred[i] = (step(pred[i]) - target[i]) * dlosses[i]."""
    for i in range(pred.shape[0]):
        error = _error(pred[i], target[i], low)
        dpred[i] = error * dlosses[i] if error != 0 else 0


def _error(a, t, low):
    """Return step(a) - t; NaN where a is NaN."""
    if a > 0:
        return 1 - t
    return low - t if a <= 0 else a
