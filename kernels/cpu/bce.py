"""Binary cross-entropy, the loops of ``reference/bce.py`` on every core.

Every element is independent. Every output array is overwritten. The gradient is computed in the
order in which it is written: a compiler that may choose one took another in the loop's vectors than
in what is left over, and the bits depended on the number of threads.
"""

import math

from ._jit import exact_kernel, kernel, prange


@kernel
def bce_forward(pred, target, weight, losses):
    """Write losses[i] = -weight (t log(p) + (1 - t) log(1 - p))."""
    number = pred.dtype.type
    zero = number(0)
    one = number(1)
    least = number(-100)
    nan = number(math.nan)
    for i in prange(pred.shape[0]):
        p = pred[i]
        t = target[i]
        yes = math.log(p) if p > zero else least
        yes = yes if yes > least else least
        no = math.log1p(-p) if p < one else least  # 1 - p is eps/2 at least
        loss = weight[i % weight.size] * ((t - one) * no - t * yes)
        possible = p >= zero and p <= one and t >= zero and t <= one
        losses[i] = loss if possible else nan


@exact_kernel
def bce_backward_input(pred, target, weight, dlosses, dpred):
    """Write dpred[i] = weight (p - t) / (p (1 - p)) * dlosses[i]."""
    number = pred.dtype.type
    one = number(1)
    tiny = number(9.999999960041972e-13)  # 1e-12 of float32, in both precisions
    for i in prange(pred.shape[0]):
        p = pred[i]
        below = p * (one - p)
        below = below if not below < tiny else tiny
        dpred[i] = weight[i % weight.size] * (p - target[i]) / below * dlosses[i]
