"""Adam, AdamW and AMSGrad, the loop of ``reference/adam.py`` with one thread per parameter.

Every element is independent. What is the same for all of them (the bias corrections, the
differences ``1 - beta``) is computed once, on the host in double precision, then rounded to
the parameter's own precision: the threads never touch a wider number. All of them may be others in
the next step.
"""

import math

from ._cuda import cuda, device, kernel, launch
from ._intrinsics import array_at
from ._jobs import SIZE, job_of, piece_of
from ._recording import changing


def adam_update(
    grad,
    lr,
    beta1,
    beta2,
    eps,
    weight_decay,
    decoupled,
    amsgrad,
    step,
    param,
    mean,
    square,
    largest,
):
    """Move param one step; scale each element by its own gradient history."""
    settings = beta1, beta2, eps, weight_decay, decoupled, amsgrad, step
    rates = changing(_rates, param.dtype, lr, *settings)
    launch(_update, param.size, grad, rates, param, mean, square, largest)


def _rates(number, lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, step):
    """Return the rate, its correction, two shares kept and two taken, and the rest in order."""
    rates = (
        lr / (1 - beta1**step),
        math.sqrt(1 - beta2**step),
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        eps,
        0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1,
        amsgrad,
    )
    return tuple(map(number, rates))


@device
def _move(i, grad, rates, param, mean, square, largest):
    """Move number i."""
    rate, correction, keep1, new1 = rates[0], rates[1], rates[2], rates[3]
    keep2, new2, small, decay = rates[4], rates[5], rates[6], rates[7]
    shrink, amsgrad = rates[8], rates[9] != param.dtype.type(0)
    g = grad[i] + decay * param[i]
    mean[i] = keep1 * mean[i] + new1 * g
    square[i] = keep2 * square[i] + new2 * g * g
    scale = square[i]
    if amsgrad:
        largest[i] = max(largest[i], scale)
        scale = largest[i]
    step_size = rate * mean[i] / (math.sqrt(scale) / correction + small)
    param[i] = shrink * param[i] - step_size


@kernel
def _update(grad, rates, param, mean, square, largest):
    i = cuda.grid(1)
    if i < param.size:
        _move(i, grad, rates, param, mean, square, largest)


@kernel
def _update_all(table, rates):
    block, threads = cuda.blockIdx.x, cuda.blockDim.x
    row = job_of(table, block)
    size = table[row, SIZE]
    grad = array_at(table[row, 0], size, rates[0])
    param = array_at(table[row, 1], size, rates[0])
    mean = array_at(table[row, 2], size, rates[0])
    square = array_at(table[row, 3], size, rates[0])
    largest = array_at(table[row, 4], size, rates[0])
    begin, end = piece_of(table, row, block, threads)
    for i in range(begin + cuda.threadIdx.x, end, threads):
        _move(i, grad, rates, param, mean, square, largest)
