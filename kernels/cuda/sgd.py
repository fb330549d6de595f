"""SGD with momentum, the loop of ``reference/sgd.py`` with one thread per parameter.

Every element is independent. The rates are rounded on the host to the parameter's own precision:
the threads never touch a wider number. All of them may be others in the next step.
"""

from ._cuda import cuda, kernel, launch
from ._recording import changing


def sgd_update(grad, lr, momentum, dampening, weight_decay, nesterov, first_step, param, velocity):
    """Move param one step against its gradient."""
    settings = momentum, dampening, weight_decay, nesterov, first_step
    rates = changing(_rates, param.dtype, lr, *settings)
    launch(_update, param.size, grad, rates, param, velocity)


def _rates(number, lr, momentum, dampening, weight_decay, nesterov, first_step):
    rates = lr, momentum, 1 - dampening, weight_decay, nesterov, first_step
    return tuple(map(number, rates))


@kernel
def _update(grad, rates, param, velocity):
    i = cuda.grid(1)
    if i < param.size:
        zero = param.dtype.type(0)
        rate, old, new, decay = rates[0], rates[1], rates[2], rates[3]
        nesterov, first_step = rates[4] != zero, rates[5] != zero
        step = grad[i] + decay * param[i]
        if old != zero:
            velocity[i] = step if first_step else old * velocity[i] + new * step
            step = step + old * velocity[i] if nesterov else velocity[i]
        param[i] -= rate * step
