"""SGD with momentum, the loop of ``reference/sgd.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number. All of them may be others in the next step.
"""

from ._cuda import cuda, device, kernel, launch
from ._intrinsics import array_at
from ._jobs import SIZE, job_of, piece_of
from ._recording import changing


def sgd_update(grad, lr, momentum, dampening, weight_decay, nesterov, first_step, param, velocity):
    """Move param one step against its gradient."""
    settings = momentum, dampening, weight_decay, nesterov, first_step
    rates = changing(_rates, param.dtype, lr, *settings)
    launch(_update, param.size, grad, rates, param, velocity)


def _rates(number, lr, momentum, dampening, weight_decay, nesterov, first_step):
    rates = lr, momentum, 1 - dampening, weight_decay, nesterov, first_step
    return tuple(map(number, rates))


@device
def _move(i, grad, rates, param, velocity):
    """Move number i."""
    zero = param.dtype.type(0)
    rate, old, new, decay = rates[0], rates[1], rates[2], rates[3]
    nesterov, first_step = rates[4] != zero, rates[5] != zero
    step = grad[i] + decay * param[i]
    if old != zero:
        velocity[i] = step if first_step else old * velocity[i] + new * step
        step = step + old * velocity[i] if nesterov else velocity[i]
    param[i] -= rate * step


@kernel
def _update(grad, rates, param, velocity):
    i = cuda.grid(1)
    if i < param.size:
        _move(i, grad, rates, param, velocity)


@kernel
def _update_all(table, rates):
    block, threads = cuda.blockIdx.x, cuda.blockDim.x
    row = job_of(table, block)
    size = table[row, SIZE]
    grad = array_at(table[row, 0], size, rates[0])
    param = array_at(table[row, 1], size, rates[0])
    velocity = array_at(table[row, 2], size, rates[0])
    begin, end = piece_of(table, row, block, threads)
    for i in range(begin + cuda.threadIdx.x, end, threads):
        _move(i, grad, rates, param, velocity)
