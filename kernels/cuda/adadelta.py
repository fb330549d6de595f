"""Adadelta, the loop of ``reference/adadelta.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number.
"""

import math

from ._cuda import cuda, device, kernel, launch
from ._intrinsics import array_at
from ._jobs import SIZE, job_of, piece_of
from ._recording import changing


def adadelta_update(grad, lr, rho, eps, weight_decay, param, square, moved):
    """Move param one step; its size follows from the steps before."""
    rates = changing(_rates, param.dtype, lr, rho, eps, weight_decay)
    launch(_update, param.size, grad, rates, param, square, moved)


def _rates(number, lr, rho, eps, weight_decay):
    return tuple(map(number, (lr, rho, 1 - rho, eps, weight_decay)))


@device
def _move(i, grad, rates, param, square, moved):
    """Move number i."""
    rate, keep, new, small, decay = rates[0], rates[1], rates[2], rates[3], rates[4]
    g = grad[i] + decay * param[i]
    square[i] = keep * square[i] + new * g * g
    delta = math.sqrt(moved[i] + small) / math.sqrt(square[i] + small) * g
    moved[i] = keep * moved[i] + new * delta * delta
    param[i] -= rate * delta


@kernel
def _update(grad, rates, param, square, moved):
    i = cuda.grid(1)
    if i < param.size:
        _move(i, grad, rates, param, square, moved)


@kernel
def _update_all(table, rates):
    block, threads = cuda.blockIdx.x, cuda.blockDim.x
    row = job_of(table, block)
    size = table[row, SIZE]
    grad = array_at(table[row, 0], size, rates[0])
    param = array_at(table[row, 1], size, rates[0])
    square = array_at(table[row, 2], size, rates[0])
    moved = array_at(table[row, 3], size, rates[0])
    begin, end = piece_of(table, row, block, threads)
    for i in range(begin + cuda.threadIdx.x, end, threads):
        _move(i, grad, rates, param, square, moved)
