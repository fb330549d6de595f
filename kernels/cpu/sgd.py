"""SGD with momentum, the loop of ``reference/sgd.py`` on every core.

Every element is independent; one pass reads and writes each array once.
"""

from ._jit import kernel, prange


@kernel
def sgd_update(grad, lr, momentum, dampening, weight_decay, nesterov, first_step, param, velocity):
    """Move param one step against its gradient."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr)
    old = number(momentum)
    new = number(1 - dampening)
    decay = number(weight_decay)
    for i in prange(param.shape[0]):
        step = grad[i] + decay * param[i]
        if momentum != 0:
            velocity[i] = step if first_step else old * velocity[i] + new * step
            step = step + old * velocity[i] if nesterov else velocity[i]
        param[i] -= rate * step
