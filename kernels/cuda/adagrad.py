"""Adagrad, the loop of ``reference/adagrad.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, device, kernel, launch
from ._intrinsics import array_at
from ._jobs import SIZE, job_of, piece_of
from ._recording import changing


def adagrad_update(grad, lr, lr_decay, weight_decay, eps, step, param, total):
    """Move param one step; an element that moved much moves less from now on."""
    rates = changing(_rates, param.dtype, lr, lr_decay, weight_decay, eps, step)
    launch(_update, param.size, grad, rates, param, total)


def _rates(number, lr, lr_decay, weight_decay, eps, step):
    return tuple(map(number, (lr / (1 + (step - 1) * lr_decay), weight_decay, eps)))


@device
def _move(i, grad, rates, param, total):
    """Move number i."""
    rate, decay, small = rates[0], rates[1], rates[2]
    g = grad[i] + decay * param[i]
    total[i] += g * g
    param[i] -= rate * g / (math.sqrt(total[i]) + small)


@kernel
def _update(grad, rates, param, total):
    i = cuda.grid(1)
    if i < param.size:
        _move(i, grad, rates, param, total)


@kernel
def _update_all(table, rates):
    block, threads = cuda.blockIdx.x, cuda.blockDim.x
    row = job_of(table, block)
    size = table[row, SIZE]
    grad = array_at(table[row, 0], size, rates[0])
    param = array_at(table[row, 1], size, rates[0])
    total = array_at(table[row, 2], size, rates[0])
    begin, end = piece_of(table, row, block, threads)
    for i in range(begin + cuda.threadIdx.x, end, threads):
        _move(i, grad, rates, param, total)
