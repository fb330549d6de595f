"""Fully connected layer with sums that stay in registers.

What it does to the loops of ``linear.py``: a block of sums is kept in vector registers
(``_simd.py``) until all its products are added. Which of the two kinds of tile serves depends on
where the sum runs:

- forward sums over ci, along both rows: inner products, lane by lane. A thread owns ROWS output
  features.
- backward_input sums over co, backward_weight over n: one number of dy meets a vector of weight
  or of x. A thread owns SPAN input features.

Float32; input features beyond the last whole vector are left to plain loops. Every sum runs in a
fixed order: results don't depend on the number of threads.
"""

import numpy as np

from . import _simd
from ._jit import helper, kernel, prange

ROWS = _simd.ROWS
COLUMNS = _simd.COLUMNS
SPAN = _simd.SPAN
WIDTH = _simd.WIDTH


def linear_forward(x, weight, bias, y):
    """Write y; a thread owns ROWS output features co."""
    rows, length = x.shape
    starts = np.minimum(np.arange(-(-rows // COLUMNS) * COLUMNS), rows - 1) * length
    _forward(x, weight, bias, starts, y)


@helper
def _inner_products(weight, at, length, x, starts, first, whole, sums):
    """sums[i, j] = inner product of weight row i and x row j over the whole vectors."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for ci in range(0, whole, WIDTH):
        tile = _simd.multiply_add_rows(tile, weight, at + ci, length, x, ci, starts, first)
    for k in range(sums.size):
        sums[k] = 0
    _simd.add_sums(tile, sums, 0, COLUMNS)


@kernel
def _forward(x, weight, bias, starts, y):
    rows, length = x.shape
    features = weight.shape[0]
    whole = length // WIDTH * WIDTH
    for block in prange((features + ROWS - 1) // ROWS):
        # the last block may begin early, rather than read past the end; it writes its own rows only
        first = min(block * ROWS, features - ROWS)
        sums = np.empty(ROWS * COLUMNS, y.dtype)
        left = weight.reshape(-1)
        right = x.reshape(-1)
        for n in range(0, rows, COLUMNS):
            _inner_products(left, first * length, length, right, starts, n, whole, sums)
            for i in range(block * ROWS - first, ROWS):
                co = first + i
                for j in range(min(COLUMNS, rows - n)):
                    total = sums[i * COLUMNS + j] + bias[co]
                    for ci in range(whole, length):
                        total += weight[co, ci] * x[n + j, ci]
                    y[n + j, co] = total


def linear_backward_input(dy, weight, dx):
    """Write dx; a thread owns SPAN input features ci."""
    _combine(_pack(dy), weight, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dweight; a thread owns SPAN input features ci."""
    _combine(_pack(dy.T), x, dweight)


def _pack(factors):
    """Return factors (outputs, terms) as (blocks, terms * ROWS), filled up with zeros."""
    outputs, terms = factors.shape
    padded = np.zeros((-(-outputs // ROWS) * ROWS, terms), factors.dtype)
    padded[:outputs] = factors
    blocks = padded.reshape(-1, ROWS, terms).transpose(0, 2, 1)
    return np.ascontiguousarray(blocks).reshape(-1, terms * ROWS)


@helper
def _sum_terms(factors, source, at, step, terms, sums):
    """sums[i, p] = sum over terms of factors[term, i] * source[term, p]."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for term in range(terms):
        tile = _simd.multiply_add(tile, factors, term * ROWS, 1, source, at + term * step)
    _simd.store(tile, sums, 0, SPAN)


@kernel
def _combine(packed, source, target):
    """target[r, c] = sum over terms of factor[r, term] * source[term, c]: both gradients."""
    outputs, length = target.shape
    terms = source.shape[0]
    whole = length // SPAN
    for block in prange(whole + 1):
        begin = block * SPAN
        sums = np.empty(ROWS * SPAN, target.dtype)
        flat = source.reshape(-1)
        for r in range(0, outputs, ROWS):
            factors = packed[r // ROWS]
            if block < whole:
                _sum_terms(factors, flat, begin, length, terms, sums)
            for i in range(min(ROWS, outputs - r)):
                if block < whole:
                    for c in range(SPAN):
                        target[r + i, begin + c] = sums[i * SPAN + c]
                else:  # what is left beside the last whole block
                    for c in range(begin, length):
                        total = target.dtype.type(0)
                        for term in range(terms):
                            total += factors[term * ROWS + i] * source[term, c]
                        target[r + i, c] = total
