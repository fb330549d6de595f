"""Weight normalisation: a weight as a length g times a direction v.

Shapes: v, w (P, K, Q), g (K,): each of the K slices along the middle axis has a length of its
own. Letters: ``k`` slice, ``p`` and ``q`` what lies before and behind it. Sums run over p and q.

    norm[k] = sqrt(sum of v[p, k, q]²)
    w[p, k, q] = g[k] * v[p, k, q] / norm[k]

g is learned by how far dw points along v; v by what remains of dw when that part is taken out,
since a longer v alone changes nothing:

    dg[k] = sum of dw * v / norm[k]
    dv = g[k] / norm[k] * (dw - dg[k] * v / norm[k])

A slice of zeros has no direction: its w is NaN. Sums are float64. Every output array is
overwritten. Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate
training of deep neural networks", 2016.
"""

import numpy as np


def slice_norm(v, k):
    """Return the length of slice k."""
    total = np.float64(0)
    for p in range(v.shape[0]):
        for q in range(v.shape[2]):
            total += np.float64(v[p, k, q]) * v[p, k, q]
    return np.sqrt(total)


def weight_norm_forward(v, g, w):
    """Write w; every slice is independent of the others."""
    for k in range(v.shape[1]):
        norm = slice_norm(v, k)
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                w[p, k, q] = g[k] * v[p, k, q] / norm


def weight_norm_backward_input(dw, v, g, dv):
    """Write dv, the gradient of the direction; every slice is independent of the others."""
    for k in range(v.shape[1]):
        norm = slice_norm(v, k)
        total = np.float64(0)
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                total += np.float64(dw[p, k, q]) * v[p, k, q]
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                across = dw[p, k, q] - total / norm * v[p, k, q] / norm
                dv[p, k, q] = g[k] / norm * across


def weight_norm_backward_weight(dw, v, dg):
    """Write dg, the gradient of the lengths: how far dw points along each direction."""
    for k in range(v.shape[1]):
        total = np.float64(0)
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                total += np.float64(dw[p, k, q]) * v[p, k, q]
        dg[k] = total / slice_norm(v, k)
