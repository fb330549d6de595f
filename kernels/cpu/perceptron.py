"""The perceptron's criterion, the loops of ``reference/perceptron.py`` on every core.

Every element is independent. Every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def _error(a, t, zero, one, left):
    """Return step(a) - t; NaN where a is NaN."""
    if a > zero:
        return one - t
    return left - t if a <= zero else a


@kernel
def perceptron_forward(pred, target, low, losses):
    """Write losses[i] = (step(pred[i]) - target[i]) * pred[i], or 0 where the answer is right."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    left = number(low)
    for i in prange(pred.shape[0]):
        error = _error(pred[i], target[i], zero, one, left)
        losses[i] = error * pred[i] if error != zero else zero


@kernel
def perceptron_backward_input(pred, target, low, dlosses, dpred):
    """Write dpred[i] = (step(pred[i]) - target[i]) * dlosses[i]."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    left = number(low)
    for i in prange(pred.shape[0]):
        error = _error(pred[i], target[i], zero, one, left)
        dpred[i] = error * dlosses[i] if error != zero else zero
