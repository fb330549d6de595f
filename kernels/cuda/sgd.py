"""SGD with momentum, the loop of ``reference/sgd.py`` with one thread per parameter.

Every element is independent. The four rates are rounded on the host to the parameter's own
precision: the threads never touch a wider number.
"""

from ._cuda import cuda, kernel, launch


def sgd_update(grad, lr, momentum, dampening, weight_decay, nesterov, first_step, param, velocity):
    """Move param one step against its gradient."""
    number = param.dtype.type
    rate = number(lr)
    old = number(momentum)
    new = number(1 - dampening)
    decay = number(weight_decay)
    launch(
        _update,
        param.size,
        grad,
        rate,
        old,
        new,
        decay,
        int(nesterov),
        int(first_step),
        param,
        velocity,
    )


@kernel
def _update(grad, rate, old, new, decay, nesterov, first_step, param, velocity):
    i = cuda.grid(1)
    if i < param.size:
        step = grad[i] + decay * param[i]
        if old != param.dtype.type(0):
            velocity[i] = step if first_step else old * velocity[i] + new * step
            step = step + old * velocity[i] if nesterov else velocity[i]
        param[i] -= rate * step
