"""The perceptron's criterion, the loops of ``reference/perceptron.py``, one thread per element.

Every element is independent; numbers are rounded on the host. Every output array is overwritten.
"""

from ._cuda import cuda, device, kernel, launch


def perceptron_forward(pred, target, low, losses):
    """Write losses[i] = (step(pred[i]) - target[i]) * pred[i], or 0 where the answer is right."""
    number = pred.dtype.type
    launch(_forward, losses.size, pred, target, number(0), number(1), number(low), losses)


def perceptron_backward_input(pred, target, low, dlosses, dpred):
    """Write dpred[i] = (step(pred[i]) - target[i]) * dlosses[i]."""
    number = pred.dtype.type
    zero, one, left = number(0), number(1), number(low)
    launch(_backward_input, dpred.size, pred, target, zero, one, left, dlosses, dpred)


@device
def _error(a, t, zero, one, left):
    """Return step(a) - t; NaN where a is NaN."""
    if a > zero:
        return one - t
    return left - t if a <= zero else a


@kernel
def _forward(pred, target, zero, one, left, losses):
    i = cuda.grid(1)
    if i < losses.size:
        error = _error(pred[i], target[i], zero, one, left)
        losses[i] = error * pred[i] if error != zero else zero


@kernel
def _backward_input(pred, target, zero, one, left, dlosses, dpred):
    i = cuda.grid(1)
    if i < dpred.size:
        error = _error(pred[i], target[i], zero, one, left)
        dpred[i] = error * dlosses[i] if error != zero else zero
