"""The packed matrix product against float64, and the fully connected layer that stands on it.

The bound is that of every sum of products: (K + 1) eps times the sum over the absolute values
(checks_kernels.py); the bias is one term more.
"""

import itertools

import numpy as np
import pytest
from checks_kernels import Out, assert_near, assert_sum, normal
from numba.core import config

from numcnn.kernels.cpu import _gemm, linear_packed

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="vector registers exist in compiled code only"
)

HIGH, LOW, SPAN, DEPTH, CHUNK = _gemm.HIGH, _gemm.LOW, _gemm.SPAN, _gemm.DEPTH, _gemm.CHUNK

SIZES = {  # rows, columns, terms
    "one": (1, 1, 1),
    "small": (3, 5, 7),
    "one-tile": (HIGH, SPAN, 9),
    "one-low-tile": (LOW, SPAN, 9),
    "row-too-many": (HIGH + 1, 2 * SPAN, 5),
    "column-too-many": (2 * HIGH, SPAN + 1, 5),
    "column-missing": (HIGH, SPAN - 1, 17),
    "half-a-panel": (2, SPAN // 2, 3),
    "whole-depth": (5, 6, DEPTH),
    "term-too-many": (5, 6, DEPTH + 1),
    "many-terms": (LOW + 1, SPAN + 3, 3 * DEPTH + 2),
    "many-columns": (HIGH + LOW + 1, 2 * CHUNK + SPAN + 5, 19),
    "many-rows": (9 * HIGH + 1, 5, 6),
    "one-row": (1, CHUNK + 1, 33),
    "one-column": (3 * HIGH - 1, 1, 40),
    "no-rows": (0, 4, 3),
    "no-terms": (4, 5, 0),
}


def laid(array, turned):
    """Return the matrix as it is, or with its numbers lying column by column."""
    return np.asfortranarray(array) if turned else array


def product(rows, columns, terms, a_turned, b_turned, c_turned, with_bias):
    """Return (c, exact product, sum of absolute terms); c's surroundings are checked."""
    a, b, bias = normal(1, rows, terms), normal(2, terms, columns), normal(3, rows)
    size = rows * columns
    room = np.full(size + 2 * SPAN, np.nan, np.float32)
    c = room[SPAN : SPAN + size].reshape((columns, rows) if c_turned else (rows, columns))
    c = c.T if c_turned else c
    _gemm.multiply(laid(a, a_turned), laid(b, b_turned), bias if with_bias else _gemm.NOTHING, c)
    assert np.isnan(room[:SPAN]).all(), "written before c"
    assert np.isnan(room[SPAN + size :]).all(), "written behind c"
    a, b, bias = (array.astype(np.float64) for array in (a, b, bias * with_bias))
    return c, a @ b + bias[:, None], np.abs(a) @ np.abs(b) + np.abs(bias)[:, None]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_product_is_that_of_float64(size):
    for how in itertools.product((False, True), repeat=4):
        c, expected, sizes = product(*size, *how)
        assert_near(c, expected, (size[2] + 2) * np.finfo(np.float32).eps * sizes, str(how))


@pytest.mark.parametrize("grid", [(1, 3), (2, 1), (3, 2), (5, 7)], ids=str)
def test_how_the_result_is_cut_among_threads_changes_no_bit(grid, monkeypatch):
    for size in ("many-terms", "many-columns", "many-rows", "row-too-many"):
        for how in itertools.product((False, True), repeat=3):
            monkeypatch.setattr(_gemm, "_grid", lambda *_: (1, 1))
            whole, *_ = product(*SIZES[size], *how, True)
            monkeypatch.setattr(_gemm, "_grid", lambda *_: grid)
            cut, *_ = product(*SIZES[size], *how, True)
            np.testing.assert_array_equal(cut, whole)


def test_the_grid_has_a_rectangle_for_each_thread_and_cuts_the_longer_side():
    assert _gemm._grid(4096, 64, 2) == (2, 1)
    assert _gemm._grid(64, 9216, 2) == (1, 2)
    assert _gemm._grid(2048, 2048, 16) == (4, 4)
    assert _gemm._grid(1, 1, 1) == (1, 1)


def test_a_nan_or_an_infinity_reaches_its_row_and_no_other():
    a, b = normal(1, HIGH + 3, 20), normal(2, 20, SPAN + 3)
    a[HIGH + 1, 7], a[2, 3] = np.nan, np.inf
    c = np.zeros((HIGH + 3, SPAN + 3), np.float32)
    _gemm.multiply(a, b, _gemm.NOTHING, c)
    clean = np.isfinite(c).all(axis=1)
    assert np.flatnonzero(~clean).tolist() == [2, HIGH + 1]
    assert np.isnan(c[HIGH + 1]).all()
    assert np.isinf(c[2]).all()


@pytest.mark.parametrize(
    ("rows", "takes", "gives"),
    [(1, 1, 1), (3, 5, 4), (17, 3, 2), (4, 97, 16), (19, 50, 21), (2, 300, 31), (5, 600, 7)],
    ids=str,
)
def test_linear_by_packed_products(rows, takes, gives):
    x, weight, bias = normal(1, rows, takes), normal(2, gives, takes), normal(3, gives)
    dy = normal(4, rows, gives)
    forward = (x, weight, bias, Out(dy.shape))
    assert_sum(linear_packed, "linear_forward", forward, np.float32, takes + 1)
    backward = (dy, weight, Out(x.shape))
    assert_sum(linear_packed, "linear_backward_input", backward, np.float32, gives)
    backward = (dy, x, Out(weight.shape))
    assert_sum(linear_packed, "linear_backward_weight", backward, np.float32, rows)
