"""Weight normalisation, the loops of ``reference/weight_norm.py`` with one thread per slice.

A thread owns a whole slice k: its numbers share one length, which the thread finds alone.
Shapes and letters as in ``reference/weight_norm.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._cuda import cuda, device, kernel, launch


def weight_norm_forward(v, g, w):
    """Write w; a thread owns one slice k."""
    launch(_forward, v.shape[1], v, g, w)


def weight_norm_backward_input(dw, v, g, dv):
    """Write dv; a thread owns one slice k."""
    launch(_backward_input, v.shape[1], dw, v, g, dv)


def weight_norm_backward_weight(dw, v, dg):
    """Write dg; a thread owns one dg[k]."""
    launch(_backward_weight, v.shape[1], dw, v, dg)


@device
def slice_product(a, b, k):
    """Return the sum of a * b over slice k."""
    total = np.float64(0)
    for p in range(a.shape[0]):
        for q in range(a.shape[2]):
            total += np.float64(a[p, k, q]) * b[p, k, q]
    return total


@kernel(double=True)
def _forward(v, g, w):
    k = cuda.grid(1)
    if k < v.shape[1]:
        scale = g[k] / math.sqrt(slice_product(v, v, k))
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                w[p, k, q] = v[p, k, q] * scale


@kernel(double=True)
def _backward_input(dw, v, g, dv):
    k = cuda.grid(1)
    if k < v.shape[1]:
        square = slice_product(v, v, k)
        scale = g[k] / math.sqrt(square)
        along = slice_product(dw, v, k) / square
        for p in range(v.shape[0]):
            for q in range(v.shape[2]):
                dv[p, k, q] = (dw[p, k, q] - v[p, k, q] * along) * scale


@kernel(double=True)
def _backward_weight(dw, v, dg):
    k = cuda.grid(1)
    if k < v.shape[1]:
        dg[k] = slice_product(dw, v, k) / math.sqrt(slice_product(v, v, k))
