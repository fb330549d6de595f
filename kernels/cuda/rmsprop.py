"""RMSprop, the loop of ``reference/rmsprop.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, device, kernel, launch
from ._intrinsics import array_at
from ._jobs import SIZE, job_of, piece_of
from ._recording import changing


def rmsprop_update(
    grad, lr, alpha, eps, weight_decay, momentum, centered, param, square, mean, velocity
):
    """Move param one step; scale each element by the size of its recent gradients."""
    settings = alpha, eps, weight_decay, momentum, centered
    rates = changing(_rates, param.dtype, lr, *settings)
    launch(_update, param.size, grad, rates, param, square, mean, velocity)


def _rates(number, lr, alpha, eps, weight_decay, momentum, centered):
    return tuple(map(number, (lr, alpha, 1 - alpha, eps, weight_decay, momentum, centered)))


@device
def _move(i, grad, rates, param, square, mean, velocity):
    """Move number i."""
    zero = param.dtype.type(0)
    rate, keep, new, small = rates[0], rates[1], rates[2], rates[3]
    decay, old, centered = rates[4], rates[5], rates[6] != zero
    g = grad[i] + decay * param[i]
    square[i] = keep * square[i] + new * g * g
    variance = square[i]
    if centered:
        mean[i] = keep * mean[i] + new * g
        variance = max(zero, variance - mean[i] * mean[i])  # rounding may go below
    scaled = g / (math.sqrt(variance) + small)
    if old != zero:
        velocity[i] = old * velocity[i] + scaled
        scaled = velocity[i]
    param[i] -= rate * scaled


@kernel
def _update(grad, rates, param, square, mean, velocity):
    i = cuda.grid(1)
    if i < param.size:
        _move(i, grad, rates, param, square, mean, velocity)


@kernel
def _update_all(table, rates):
    block, threads = cuda.blockIdx.x, cuda.blockDim.x
    row = job_of(table, block)
    size = table[row, SIZE]
    grad = array_at(table[row, 0], size, rates[0])
    param = array_at(table[row, 1], size, rates[0])
    square = array_at(table[row, 2], size, rates[0])
    mean = array_at(table[row, 3], size, rates[0])
    velocity = array_at(table[row, 4], size, rates[0])
    begin, end = piece_of(table, row, block, threads)
    for i in range(begin + cuda.threadIdx.x, end, threads):
        _move(i, grad, rates, param, square, mean, velocity)
