"""Weight normalisation, the loops of ``reference/weight_norm.py`` on every core.

A thread owns whole slices k, in both directions; its sums are float64, so the squares of large
numbers don't overflow either. Shapes and letters as in ``reference/weight_norm.py``; every output
array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange


@helper
def slice_product(a, b, k):
    """Return the sum of a * b over slice k."""
    total = np.float64(0)
    for p in range(a.shape[0]):
        for q in range(a.shape[2]):
            total += np.float64(a[p, k, q]) * b[p, k, q]
    return total


@kernel
def weight_norm_forward(v, g, w):
    """Write w; a thread owns slices k."""
    number = v.dtype.type
    for k in prange(v.shape[1]):
        scale = number(g[k] / np.sqrt(slice_product(v, v, k)))
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                w[p, k, q] = v[p, k, q] * scale


@kernel
def weight_norm_backward_input(dw, v, g, dv):
    """Write dv; a thread owns slices k."""
    number = v.dtype.type
    for k in prange(v.shape[1]):
        square = slice_product(v, v, k)
        scale = number(g[k] / np.sqrt(square))
        along = number(slice_product(dw, v, k) / square)
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                dv[p, k, q] = (dw[p, k, q] - v[p, k, q] * along) * scale


@kernel
def weight_norm_backward_weight(dw, v, dg):
    """Write dg; a thread owns slices k."""
    for k in prange(v.shape[1]):
        dg[k] = slice_product(dw, v, k) / np.sqrt(slice_product(v, v, k))
