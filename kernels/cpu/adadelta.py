"""Adadelta, the loop of ``reference/adadelta.py`` on every core.

Every element is independent; one pass reads and writes each array once. It is computed as written:
told that a quotient of roots may be approximated, compilers do so in the loop's vectors and not in
what is left over, on processors whose roots are slow, and the bits depend on the number of threads.
"""

import math

from ._jit import exact_kernel, prange


@exact_kernel
def adadelta_update(grad, lr, rho, eps, weight_decay, param, square, moved):
    """Move param one step; its size follows from the steps before."""
    number = param.dtype.type  # keep the arithmetic in the parameter's own precision
    rate = number(lr)
    keep = number(rho)
    new = number(1 - rho)
    small = number(eps)
    decay = number(weight_decay)
    for i in prange(param.shape[0]):
        g = grad[i] + decay * param[i]
        square[i] = keep * square[i] + new * g * g
        root = math.sqrt(moved[i] + small) / math.sqrt(square[i] + small)
        delta = root * g
        moved[i] = keep * moved[i] + new * delta * delta
        param[i] -= rate * delta
