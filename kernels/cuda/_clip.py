"""Gradients shrunk by one factor that the host never sees, so that a step needn't wait for it.

The sums of squares stay on the GPU, in float64. One thread adds them up in their order and makes
the factor of them; the kernels that scale read it from there. As in ``numcnn.clip_grad_norm``, a
NaN makes everything NaN, and infinity makes finite numbers 0.
"""

import math

import numpy as np

from . import scale
from ._cuda import cuda, kernel, launch
from ._memory import empty
from .power_sum import power_sum_forward


def clipped(arrays, max_norm):
    """Return new arrays, the given ones times min(1, max_norm / (their common norm + 1e-6))."""
    sums = empty((len(arrays),), np.float64)
    for n, x in enumerate(arrays):
        power_sum_forward(x.reshape(-1), 2.0, sums[n : n + 1])
    factors, found = {}, []
    for x in arrays:
        if x.dtype not in factors:
            factors[x.dtype] = empty((1,), x.dtype)
            launch(_factor, 1, sums, float(max_norm), factors[x.dtype])
        found.append(empty(x.shape, x.dtype))
        rows = x.reshape(-1), found[-1].reshape(-1)
        launch(scale._forward, x.size, rows[0], factors[x.dtype], rows[1])
    return found


@kernel(double=True)
def _factor(sums, max_norm, factor):
    if cuda.grid(1) == 0:
        total = 0.0
        for n in range(sums.size):
            total += sums[n]
        wanted = max_norm / (math.sqrt(total) + 1e-6)
        factor[0] = 1.0 if wanted >= 1.0 else wanted  # a NaN stays one
