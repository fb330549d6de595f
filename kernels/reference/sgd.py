"""Stochastic gradient descent with momentum, as ``torch.optim.SGD`` defines it.

All arrays are 1-D views of one size; ``i`` is the element. ``param`` and ``velocity`` are
updated in place; lr, momentum, dampening and weight_decay are numbers, nesterov and first_step
are 0 or 1.

    g = grad + weight_decay * param
    velocity = momentum * velocity + (1 - dampening) * g     (on the first step: g)
    param -= lr * velocity           (Nesterov: param -= lr * (g + momentum * velocity))

Momentum: Polyak, 1964; Nesterov's form: Sutskever et al., 2013. Without momentum the velocity
is not touched.
"""


def sgd_update(grad, lr, momentum, dampening, weight_decay, nesterov, first_step, param, velocity):
    """Move param one step against its gradient."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr)
    old = number(momentum)
    new = number(1 - dampening)
    decay = number(weight_decay)
    for i in range(param.shape[0]):
        step = grad[i] + decay * param[i]
        if momentum != 0:
            velocity[i] = step if first_step else old * velocity[i] + new * step
            step = step + old * velocity[i] if nesterov else velocity[i]
        param[i] -= rate * step
