"""The compiled kernels against the reference, for every operation; bounds: checks_kernels.py."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
import pytest
from checks_kernels import (
    InOut,
    Out,
    absolute,
    assert_equal,
    assert_near,
    assert_sum,
    both_dtypes,
    both_orders,
    lay,
    normal,
    repeatable,
    run,
)
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from numcnn.kernels import cpu, reference
from numcnn.kernels.cpu import (
    conv2d,
    conv2d_direct,
    conv2d_grouped,
    conv2d_im2col,
    conv2d_loops,
    linear,
    linear_loops,
    linear_packed,
)

# ---- convolution ----------------------------------------------------------------------------


class Geometry(NamedTuple):
    """A convolution; pads are (top, left, bottom, right)."""

    batch: int
    channels: int
    filters: int
    size: tuple
    kernel: tuple
    stride: tuple = (1, 1)
    pads: tuple = (0, 0, 0, 0)
    dilation: tuple = (1, 1)
    groups: int = 1

    @property
    def room(self):
        """How far the window can move, in pixels."""
        return tuple(
            self.size[a]
            + self.pads[a]
            + self.pads[a + 2]
            - self.dilation[a] * (self.kernel[a] - 1)
            - 1
            for a in (0, 1)
        )

    @property
    def out(self):
        return tuple(
            room // stride + 1 for room, stride in zip(self.room, self.stride, strict=True)
        )

    @property
    def numbers(self):
        """The plain integers that the kernels take."""
        return (*self.stride, *self.pads[:2], *self.dilation, self.groups)

    def arrays(self):
        x = normal(1, self.batch, self.channels, *self.size)
        weight = normal(2, self.filters, self.channels // self.groups, *self.kernel)
        dy = normal(4, self.batch, self.filters, *self.out)
        return x, weight, normal(3, self.filters), dy

    def calls(self):
        """Return {function: (arguments, number of terms of a sum)}."""
        x, weight, bias, dy = self.arrays()
        taps = self.kernel[0] * self.kernel[1]
        places = self.batch * self.out[0] * self.out[1]
        per_group = self.filters // self.groups
        return {
            "conv2d_forward": (
                (x, weight, bias, *self.numbers, Out(dy.shape)),
                weight.shape[1] * taps + 1,
            ),
            "conv2d_backward_input": ((dy, weight, *self.numbers, Out(x.shape)), per_group * taps),
            "conv2d_backward_weight": ((dy, x, *self.numbers, Out(weight.shape)), places),
        }


GEOMETRIES = {
    "plain": Geometry(2, 3, 4, (6, 5), (3, 2)),
    "one-by-one": Geometry(2, 5, 3, (4, 3), (1, 1)),
    "all-different": Geometry(3, 4, 6, (9, 7), (3, 2), (2, 1), (1, 0, 3, 2), (1, 2), 2),
    "rows-left-over": Geometry(2, 2, 3, (8, 10), (3, 4), (2, 5)),
    "stride-above-kernel": Geometry(2, 2, 3, (10, 11), (2, 1), (3, 4)),
    "stride-and-dilation": Geometry(1, 2, 3, (11, 12), (3, 3), (2, 3), (1, 2, 0, 1), (3, 2)),
    "stride-equals-dilation": Geometry(1, 2, 2, (9, 11), (3, 3), (2, 3), (0, 0, 0, 0), (2, 3)),
    "depthwise": Geometry(2, 5, 10, (5, 6), (3, 2), (1, 2), (1, 1, 1, 1), (1, 1), 5),
    "depthwise-whole-vectors": Geometry(
        9, 32, 32, (5, 7), (3, 3), (2, 1), (1, 1, 0, 1), (1, 2), 32
    ),
    "groups-of-two-and-three": Geometry(
        3, 22, 33, (4, 5), (2, 3), (1, 2), (1, 0, 1, 2), (1, 1), 11
    ),
    "three-groups": Geometry(2, 6, 9, (5, 4), (2, 3), (1, 1), (0, 1, 1, 0), (1, 1), 3),
    "kernel-fills-picture": Geometry(2, 2, 3, (4, 3), (6, 5), (1, 1), (1, 1, 1, 1)),
    "padding-above-kernel": Geometry(2, 2, 3, (3, 2), (2, 2), (1, 1), (3, 4, 2, 3)),
    "padding-top-left-only": Geometry(1, 2, 3, (4, 5), (3, 3), (2, 2), (2, 2, 0, 0)),
    "one-pixel": Geometry(1, 1, 1, (1, 1), (1, 1)),
    "one-row": Geometry(1, 2, 3, (1, 9), (1, 3)),
    "one-column": Geometry(1, 2, 3, (9, 1), (3, 1)),
    "wide-rows": Geometry(1, 1, 2, (3, 120), (2, 3)),
    "many-filters": Geometry(1, 2, 19, (4, 5), (2, 2)),
    "many-channels": Geometry(1, 17, 3, (4, 5), (2, 2), (2, 1)),
    "many-filters-in-groups": Geometry(1, 4, 22, (4, 4), (2, 2), (1, 1), (1, 0, 0, 1), (1, 1), 2),
    "many-taps": Geometry(1, 5, 2, (6, 6), (5, 5)),
    "batch-17": Geometry(17, 2, 3, (4, 3), (2, 2)),
    "batch-33": Geometry(33, 1, 2, (3, 3), (2, 2), (1, 1), (1, 0, 0, 1)),
    "batch-0": Geometry(0, 2, 3, (4, 5), (3, 2)),
}


def test_the_grid_holds_what_it_promises():
    # A grid that lost one of these would still pass, and show less.
    every = GEOMETRIES.values()
    assert any(r % s for g in every for r, s in zip(g.room, g.stride, strict=True))
    assert any(s > k for g in every for s, k in zip(g.stride, g.kernel, strict=True))
    assert any(len(set(g.pads)) == 4 for g in every)
    assert any(g.pads[0] >= g.kernel[0] for g in every)
    assert any(g.room == (0, 0) and g.kernel > g.size for g in every)
    assert any(g.groups == g.channels > 1 for g in every)
    assert any(g.filters // g.groups > 16 for g in every)
    odd = GEOMETRIES["all-different"]
    assert len({odd.batch, odd.channels, odd.filters, *odd.size}) == 5
    assert odd.kernel[0] != odd.kernel[1]
    assert odd.stride[0] != odd.stride[1]
    assert odd.dilation[0] != odd.dilation[1]


ALGORITHMS = [
    pytest.param(conv2d_loops, np.float64, id="loops-f64"),
    pytest.param(conv2d_loops, np.float32, id="loops-f32"),
    pytest.param(conv2d_im2col, np.float32, id="im2col-f32"),
    pytest.param(conv2d_direct, np.float32, id="direct-f32"),
    pytest.param(conv2d, np.float32, id="chosen-f32"),
]
CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


@functools.cache
def truth(geometry, function):
    """Return arguments, result of the reference, the sum of absolute terms, number of terms."""
    arguments, terms = geometry.calls()[function]
    (expected,) = run(reference, function, arguments, np.float64)
    (size,) = run(reference, function, absolute(arguments), np.float64)
    return arguments, expected, size, terms


def check_convolution(module, geometry, function, dtype):
    arguments, expected, size, terms = truth(geometry, function)
    assert np.isfinite(expected).all()
    (actual,) = run(module, function, arguments, dtype)
    assert actual.dtype == dtype
    assert_near(actual, expected, (terms + 1) * np.finfo(dtype).eps * size, function)


@pytest.mark.parametrize("function", CONVOLUTIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize(("module", "dtype"), ALGORITHMS)
def test_convolution_is_that_of_the_reference(module, dtype, geometry, function):
    check_convolution(module, geometry, function, dtype)


def test_the_chosen_algorithms_are_the_ones_compared_above():
    for geometry in GEOMETRIES.values():
        _, weight, _, dy = geometry.arrays()
        steps = (*geometry.stride, *geometry.dilation, geometry.groups)
        few = max(geometry.channels, geometry.filters) // geometry.groups < conv2d_grouped.MOST
        expected = conv2d_grouped if geometry.groups > 1 and few else conv2d_direct
        expected = conv2d_loops if config.DISABLE_JIT else expected
        assert conv2d.choose(weight, dy.shape, *steps) is expected
        assert conv2d.choose(weight.astype(np.float64), dy.shape, *steps) is conv2d_loops


@both_dtypes
@pytest.mark.parametrize("geometry", ["plain", "batch-17", "one-pixel", "batch-0"])
def test_convolution_bias_gradient(dtype, geometry):
    *_, dy = GEOMETRIES[geometry].arrays()
    terms = dy.shape[0] * dy.shape[2] * dy.shape[3]
    assert_sum(cpu, "conv2d_backward_bias", (dy, Out(dy.shape[1:2])), dtype, terms)


def test_a_nan_in_the_picture_reaches_its_outputs_and_no_other():
    x, weight, bias, dy = GEOMETRIES["plain"].arrays()
    x[1, 2, 3, 1] = np.nan
    arguments = (x, weight, bias, *GEOMETRIES["plain"].numbers, Out(dy.shape))
    for dtype in (np.float32, np.float64):
        (expected,) = run(reference, "conv2d_forward", arguments, dtype)
        (actual,) = run(cpu, "conv2d_forward", arguments, dtype)
        assert 0 < np.isnan(expected).sum() < expected.size
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))


@st.composite
def geometries(draw):
    def number(least, most):
        return draw(st.integers(least, most))

    groups = number(1, 3)
    kernel, stride, dilation = ((number(1, 3), number(1, 3)) for _ in range(3))
    pads = tuple(number(0, 3) for _ in range(4))
    size = tuple(
        max(1, dilation[a] * (kernel[a] - 1) + 1 - pads[a] - pads[a + 2]) + number(0, 4)
        for a in (0, 1)
    )
    channels, filters = (groups * number(1, 3) for _ in range(2))
    return Geometry(number(0, 2), channels, filters, size, kernel, stride, pads, dilation, groups)


@repeatable
@given(geometries())
def test_convolution_on_random_geometry(geometry):
    checked = ((conv2d_loops, np.float64), (conv2d_im2col, np.float32), (conv2d, np.float32))
    for module, dtype in checked:
        for function in CONVOLUTIONS:
            check_convolution(module, geometry, function, dtype)


# ---- pooling --------------------------------------------------------------------------------


class Pool(NamedTuple):
    """A pooling; `over` says how many further windows hang over the bottom and right."""

    shape: tuple
    kernel: tuple
    stride: tuple
    pads: tuple = (0, 0)
    dilation: tuple = (1, 1)
    over: tuple = (0, 0)

    @property
    def out(self):
        return tuple(
            (self.shape[2 + a] + 2 * self.pads[a] - self.dilation[a] * (self.kernel[a] - 1) - 1)
            // self.stride[a]
            + 1
            + self.over[a]
            for a in (0, 1)
        )


POOLS = {
    "two-by-two": Pool((2, 3, 4, 6), (2, 2), (2, 2)),
    "overlapping": Pool((2, 2, 6, 5), (3, 2), (1, 1)),
    "padded": Pool((2, 1, 5, 6), (3, 2), (2, 1), (1, 1)),
    "rows-left-over": Pool((1, 2, 8, 7), (2, 3), (3, 2)),
    "hanging-over": Pool((1, 2, 6, 7), (3, 3), (2, 3), over=(1, 1)),
    "hanging-over-padding": Pool((1, 2, 4, 5), (3, 2), (2, 2), (1, 1), over=(1, 0)),
    "whole-picture": Pool((2, 2, 4, 3), (4, 3), (1, 1)),
    "batch-17": Pool((17, 1, 4, 4), (2, 2), (2, 2)),
    "batch-0": Pool((0, 2, 4, 4), (2, 2), (2, 2)),
    "a-vector-of-channels": Pool((1, 16, 4, 5), (2, 2), (2, 2)),
    "vectors-and-a-rest": Pool((2, 37, 5, 4), (3, 2), (2, 1), (1, 1)),
    "pixels-between-windows": Pool((2, 3, 8, 9), (2, 1), (3, 4), (1, 0)),
}
DILATED = {
    "dilated": Pool((2, 2, 7, 8), (2, 3), (1, 2), (0, 0), (3, 2)),
    "dilated-and-padded": Pool((1, 2, 8, 6), (3, 2), (2, 1), (1, 1), (2, 3)),
    "window-without-a-pixel": Pool((1, 2, 2, 3), (2, 2), (1, 1), (1, 1), (3, 2), over=(0, 1)),
}


def check_max_pool(pool, x, dtype, order="planes"):
    shape = (*pool.shape[:2], *pool.out)
    numbers = (*pool.kernel, *pool.stride, *pool.pads, *pool.dilation)
    arguments = lay((x, *numbers, Out(shape), Out(shape, np.int32)), order)
    assert_equal("max_pool2d_forward", arguments, dtype)
    _, argmax = run(reference, "max_pool2d_forward", arguments, dtype)
    dy = np.random.default_rng(5).integers(-8, 9, shape).astype(np.float32)
    arguments = lay((dy, argmax, *numbers, Out(x.shape)), order)
    assert_equal("max_pool2d_backward_input", arguments, dtype)


@both_dtypes
@pytest.mark.parametrize("data", ["distinct", "ties"])
@both_orders
@pytest.mark.parametrize("pool", (POOLS | DILATED).values(), ids=POOLS | DILATED)
def test_max_pool(pool, order, data, dtype):
    x = normal(7, *pool.shape)
    if data == "ties":  # three values only, so that most windows have several largest pixels
        x = np.clip(np.rint(x), -1, 1)
    check_max_pool(pool, x, dtype, order)


@both_dtypes
def test_max_pool_takes_the_first_of_equal_pixels(dtype):
    x = np.zeros((1, 1, 4, 4), dtype)
    x[0, 0, 1, 0] = x[0, 0, 0, 1] = 5  # the first in row-major order is (0, 1)
    numbers = (2, 2, 2, 2, 0, 0, 1, 1)
    for module in (reference, cpu):
        y, argmax = run(
            module,
            "max_pool2d_forward",
            (x, *numbers, Out((1, 1, 2, 2)), Out((1, 1, 2, 2), np.int32)),
            dtype,
        )
        assert y.ravel().tolist() == [5, 0, 0, 0]
        assert argmax.ravel().tolist() == [1, 2, 8, 10]


@both_dtypes
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 3), (5, 4)], ids=str)
def test_max_pool_lets_nan_win(place, dtype):
    pool = POOLS["overlapping"]
    x = normal(8, *pool.shape)
    x[1, 1][place] = np.nan
    check_max_pool(pool, x, dtype)
    shape = (*pool.shape[:2], *pool.out)
    arguments = (x, *pool.kernel, *pool.stride, 0, 0, 1, 1, Out(shape), Out(shape, np.int32))
    y, argmax = run(cpu, "max_pool2d_forward", arguments, dtype)
    position = place[0] * pool.shape[3] + place[1]
    assert (argmax[1, 1][np.isnan(y[1, 1])] == position).all()
    rows, columns = (
        min(place[a], pool.out[a] - 1) - max(0, place[a] - pool.kernel[a] + 1) + 1 for a in (0, 1)
    )
    assert np.isnan(y).sum() == rows * columns  # all windows that see it, and no others


@both_dtypes
def test_max_pool_of_two_nans_takes_the_first_and_of_minus_infinities_too(dtype):
    pool = POOLS["two-by-two"]
    x = normal(9, *pool.shape)
    x[0, 0, 0, 1] = x[0, 0, 1, 0] = np.nan
    x[0, 1, :2, :2] = -np.inf
    x[1, 2] = -np.inf
    check_max_pool(pool, x, dtype)
    shape = (*pool.shape[:2], *pool.out)
    arguments = (x, *pool.kernel, *pool.stride, 0, 0, 1, 1, Out(shape), Out(shape, np.int32))
    y, argmax = run(cpu, "max_pool2d_forward", arguments, dtype)
    assert np.isnan(y[0, 0, 0, 0])
    assert argmax[0, 0, 0, 0] == 1
    assert y[0, 1, 0, 0] == -np.inf
    assert argmax[0, 1, 0, 0] == 0
    assert (y[1, 2] == -np.inf).all()


@both_dtypes
def test_max_pool_of_a_window_without_a_pixel_has_no_gradient(dtype):
    pool = DILATED["window-without-a-pixel"]
    shape = (*pool.shape[:2], *pool.out)
    numbers = (*pool.kernel, *pool.stride, *pool.pads, *pool.dilation)
    x = normal(1, *pool.shape) - 10
    for module in (reference, cpu):
        outputs = (Out(shape), Out(shape, np.int32))
        y, argmax = run(module, "max_pool2d_forward", (x, *numbers, *outputs), dtype)
        assert (argmax == -1).all(), "taps 3 apart must jump over both rows"
        assert (y == -np.inf).all()
        arguments = (np.ones(shape, dtype), argmax, *numbers, Out(x.shape))
        (dx,) = run(module, "max_pool2d_backward_input", arguments, dtype)
        assert (dx == 0).all()


@st.composite
def pools(draw):
    def pair(least, most):
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    kernel, stride, dilation = pair(1, 3), pair(1, 3), pair(1, 3)
    pads = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(
        max(1, dilation[a] * (kernel[a] - 1) + 1 - 2 * pads[a]) + draw(st.integers(0, 4))
        for a in (0, 1)
    )
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *size)
    return Pool(shape, kernel, stride, pads, dilation, pair(0, 1))


@repeatable
@given(pools(), st.integers(0, 2**32))
def test_max_pool_on_random_geometry(pool, seed):
    x = np.random.default_rng(seed).integers(-2, 3, pool.shape).astype(np.float32)
    check_max_pool(pool, x, np.float32)


@both_dtypes
@pytest.mark.parametrize(
    ("count_include_pad", "divisor"), [(1, 0), (0, 0), (1, 7), (0, 7)], ids=str
)
@both_orders
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_avg_pool(pool, order, count_include_pad, divisor, dtype):
    x, dy = normal(10, *pool.shape), normal(11, *pool.shape[:2], *pool.out)
    numbers = (*pool.kernel, *pool.stride, *pool.pads, count_include_pad, divisor)
    # terms: the pixels of a window, and one rounding for the division
    terms = pool.kernel[0] * pool.kernel[1] + 1
    arguments = lay((x, *numbers, Out(dy.shape)), order)
    assert_sum(cpu, "avg_pool2d_forward", arguments, dtype, terms)
    arguments = lay((dy, *numbers, Out(x.shape)), order)
    assert_sum(cpu, "avg_pool2d_backward_input", arguments, dtype, terms)


def test_avg_pool_options_differ_where_they_should():
    # The grid above would not notice options that are ignored on both floors.
    pool = POOLS["padded"]
    x = np.ones(pool.shape, np.float32)
    found = []
    for count_include_pad, divisor in ((1, 0), (0, 0), (1, 7)):
        numbers = (*pool.kernel, *pool.stride, *pool.pads, count_include_pad, divisor)
        (y,) = run(cpu, "avg_pool2d_forward", (x, *numbers, Out((2, 1, *pool.out))), np.float64)
        found.append(y[0, 0, 0, 0])
    # the corner window of 3×2 with padding 1 holds 2×1 pixels of the picture
    assert found == [2 / 6, 1, 2 / 7]


# ---- linear ---------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("rows", "takes", "gives"),
    [
        (0, 4, 3),
        (1, 1, 1),
        (3, 5, 4),
        (2, 255, 3),
        (2, 256, 3),
        (3, 257, 2),
        (2, 600, 5),
        (17, 3, 2),
        (0, 60, 9),
        (1, 48, 8),
        (2, 47, 9),
        (5, 61, 9),
        (4, 97, 16),
        (19, 50, 21),
        (2, 300, 31),
    ],
    ids=str,
)
def test_linear(rows, takes, gives, dtype):
    x, weight, bias = normal(1, rows, takes), normal(2, gives, takes), normal(3, gives)
    dy = normal(4, rows, gives)
    assert_sum(cpu, "linear_forward", (x, weight, bias, Out(dy.shape)), dtype, takes + 1)
    assert_sum(cpu, "linear_backward_input", (dy, weight, Out(x.shape)), dtype, gives)
    assert_sum(cpu, "linear_backward_weight", (dy, x, Out(weight.shape)), dtype, rows)
    assert_sum(cpu, "linear_backward_bias", (dy, Out(bias.shape)), dtype, rows)


def test_both_algorithms_for_linear_are_among_those_compared():
    # linear_packed is compared in test_kernels_gemm.py
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert linear.choose(double, 64, 300, 31, 4) is linear_loops
    assert linear.choose(single, 19, 50, 21, 4) is linear_loops
    assert linear.choose(single, 3, 3000, 310, 4) is linear_loops
    if not config.DISABLE_JIT:
        assert linear.choose(single, 64, 300, 31, 4) is linear_packed


# ---- element by element ---------------------------------------------------------------------

# Specials at the front, then enough numbers for several vectors and a rest.
SPECIALS = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e4, -1e4, 1e-30, -1e-30, 89.0, -89.0, 0.5, -0.5]
ELEMENTS = np.array([*SPECIALS, *(3 * normal(1, 40))], np.float32)


@both_dtypes
def test_relu(dtype):
    assert_equal("relu_forward", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
    (y,) = run(cpu, "relu_forward", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
    np.testing.assert_array_equal(y, np.maximum(ELEMENTS, 0))  # NaN included
    dy = normal(2, ELEMENTS.size)
    assert_equal("relu_backward_input", (dy, y, Out(y.shape)), dtype)
    dy[-3:] = np.nan, np.inf, -np.inf
    assert_equal("relu_backward_input", (dy, y, Out(y.shape)), dtype)


OF_INPUT = {
    "leaky_relu": (0.2,),
    "elu": (0.7, 1.3),
    "gelu": (0,),
    "silu": (),
    "softplus": (2.0, 5.0),
    "softsign": (),
}


@both_dtypes
@pytest.mark.parametrize(("op", "numbers"), [*OF_INPUT.items(), ("gelu", (1,))], ids=str)
def test_activations_of_their_input(op, numbers, dtype):
    """Their values are sums and products of at most six numbers no larger than |x| + 1."""
    x, dy = ELEMENTS, normal(2, ELEMENTS.size)
    dy[0] = 3
    for name, arrays in ((f"{op}_forward", (x,)), (f"{op}_backward_input", (dy, x))):
        arguments = (*arrays, *numbers, Out(x.shape))
        (expected,) = run(reference, name, arguments, np.float64)
        (actual,) = run(cpu, name, arguments, dtype)
        size = np.abs(np.where(np.isfinite(x), x, 0).astype(np.float64)) + 2
        size *= np.abs(arrays[0]) if len(arrays) > 1 else 1
        bound = 10 * np.finfo(dtype).eps * size
        assert_near(actual, expected, bound, name)
        if name == f"{op}_forward":
            assert np.isnan(actual[np.isnan(x)]).all()


@both_dtypes
def test_sigmoid(dtype):
    eps = np.finfo(dtype).eps
    (expected,) = run(reference, "sigmoid_forward", (ELEMENTS, Out(ELEMENTS.shape)), np.float64)
    (y,) = run(cpu, "sigmoid_forward", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
    # exp: 4 units; one addition and one division: a unit each. Below the smallest normal number
    # exp(-89) loses digits.
    assert_near(y, expected, 6 * eps * np.abs(expected) + np.finfo(dtype).tiny, "sigmoid_forward")
    assert y[3:7].tolist() == [1, 0, 1, 0]
    assert np.isnan(y[2])
    dy = normal(2, ELEMENTS.size)
    (expected,) = run(reference, "sigmoid_backward_input", (dy, y, Out(y.shape)), np.float64)
    (dx,) = run(cpu, "sigmoid_backward_input", (dy, y, Out(y.shape)), dtype)
    # three roundings, all relative to dy y (1 - y), or to dy y where 1 - y cancels
    assert_near(dx, expected, 3 * eps * np.abs(dy * y) + np.finfo(dtype).tiny, "sigmoid_backward")


@both_dtypes
def test_tanh(dtype):
    eps = np.finfo(dtype).eps
    (expected,) = run(reference, "tanh_forward", (ELEMENTS, Out(ELEMENTS.shape)), np.float64)
    (y,) = run(cpu, "tanh_forward", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
    assert_near(y, expected, 4 * eps * np.abs(expected), "tanh_forward")
    assert y[3:7].tolist() == [1, -1, 1, -1]
    dy = normal(2, ELEMENTS.size)
    (expected,) = run(reference, "tanh_backward_input", (dy, y, Out(y.shape)), np.float64)
    (dx,) = run(cpu, "tanh_backward_input", (dy, y, Out(y.shape)), dtype)
    # 1 - y² rounds twice relative to 1, and the product once more
    assert_near(dx, expected, 3 * eps * np.abs(dy), "tanh_backward_input")


@both_dtypes
def test_add_also_into_one_of_its_inputs(dtype):
    a, b = ELEMENTS, ELEMENTS[::-1].copy()
    assert_equal("add_forward", (a, b, Out(a.shape)), dtype)
    (expected,) = run(reference, "add_forward", (a, b, Out(a.shape)), dtype)
    for module in (reference, cpu):
        with np.errstate(all="ignore"):
            left, right = a.astype(dtype), b.astype(dtype)
            module.add_forward(left, right, left)
            np.testing.assert_array_equal(left, expected)
            left = a.astype(dtype)
            module.add_forward(left, right, right)
            np.testing.assert_array_equal(right, expected)


@both_dtypes
def test_mse(dtype):
    pred, target, dlosses = (normal(seed, 53) for seed in (1, 2, 3))
    pred[:3] = target[:3]  # exactly 0
    pred[3:5] = 1e4, -1e4
    eps = np.finfo(dtype).eps
    # The subtraction rounds relative to its result, the products relative to theirs: 3 units.
    for name, arguments in (
        ("mse_forward", (pred, target, Out(pred.shape))),
        ("mse_backward_input", (pred, target, dlosses, Out(pred.shape))),
    ):
        (expected,) = run(reference, name, arguments, np.float64)
        (actual,) = run(cpu, name, arguments, dtype)
        assert np.count_nonzero(expected) == 50
        assert_near(actual, expected, 3 * eps * np.abs(expected), name)


@both_dtypes
@pytest.mark.parametrize("shape", [(53, 1), (7, 6), (0, 3)], ids=str)
def test_dropout(shape, dtype):
    x = normal(1, *shape)
    mask = np.where(normal(2, shape[0]) > 0, 4 / 3, 0).astype(np.float32)
    if shape[0]:
        assert 0 < np.count_nonzero(mask) < mask.size
        x[np.flatnonzero(mask == 0)[0]] = np.nan  # a dropped row is exactly 0 even then
    assert_equal("dropout_forward", (x, mask, Out(shape)), dtype)
    assert_equal("dropout_backward_input", (x, mask, Out(shape)), dtype)
    (y,) = run(cpu, "dropout_forward", (x, mask, Out(shape)), dtype)
    assert (y[mask == 0] == 0).all()


# ---- softmax and its losses -------------------------------------------------------------------

SCORES = {
    "scores": normal(1, 5, 7, 1),
    "maps": normal(2, 3, 4, 6),
    "one-class": normal(3, 4, 1, 2),
    "huge": np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 9999]], np.float32)[..., None],
    "far-apart": np.array([[0, -50, -90, -100], [300, 250, 200, 290]], np.float32)[..., None],
}
scores = pytest.mark.parametrize("x", SCORES.values(), ids=SCORES)


def spread(x):
    """Return largest score minus score: what exp() is taken of, but for its sign."""
    return x.max(axis=1, keepdims=True).astype(np.float64) - x


@both_dtypes
@scores
def test_softmax(x, dtype):
    # exp(-d) has a relative error of d u from the rounding of d and 4 units of its own; then a
    # sum of C terms, each with that error, and a division.
    info = np.finfo(dtype)
    relative = (2 * spread(x).clip(0, 800) + 10 + x.shape[1]) * info.eps
    (expected,) = run(reference, "softmax_forward", (x, Out(x.shape)), np.float64)
    (y,) = run(cpu, "softmax_forward", (x, Out(x.shape)), dtype)
    assert np.isfinite(y).all()
    assert_near(y, expected, relative * expected + info.tiny, "softmax_forward")
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=x.shape[1] * info.eps)
    dy = normal(4, *x.shape)
    (expected,) = run(reference, "softmax_backward_input", (dy, y, Out(x.shape)), np.float64)
    (dx,) = run(cpu, "softmax_backward_input", (dy, y, Out(x.shape)), dtype)
    size = y * (np.abs(dy) + (np.abs(dy) * y).sum(axis=1, keepdims=True))
    bound = (x.shape[1] + 3) * info.eps * size + info.tiny
    assert_near(dx, expected, bound, "softmax_backward_input")


@both_dtypes
@scores
def test_log_softmax(x, dtype):
    # y = -d - log(sum): two numbers that are each rounded relative to themselves
    eps, count = np.finfo(dtype).eps, x.shape[1]
    (expected,) = run(reference, "log_softmax_forward", (x, Out(x.shape)), np.float64)
    (y,) = run(cpu, "log_softmax_forward", (x, Out(x.shape)), dtype)
    assert np.isfinite(y).all()
    bound = (count + 12) * eps * (1 + np.log(count)) + 2 * eps * spread(x)
    assert_near(y, expected, bound, "log_softmax_forward")
    dy = normal(5, *x.shape)
    (expected,) = run(reference, "log_softmax_backward_input", (dy, y, Out(x.shape)), np.float64)
    (dx,) = run(cpu, "log_softmax_backward_input", (dy, y, Out(x.shape)), dtype)
    size = np.abs(dy) + np.exp(y) * np.abs(dy).sum(axis=1, keepdims=True)
    assert_near(dx, expected, (count + 8) * eps * size, "log_softmax_backward_input")


@both_dtypes
@pytest.mark.parametrize("shift", [1024, -4096, 65536])
def test_softmax_and_cross_entropy_dont_notice_a_constant(shift, dtype):
    # Eighths, so that score + shift is exact in float32: what is subtracted comes out the same.
    x = np.rint(normal(6, 5, 7, 1) * 8) / 8
    target = np.arange(5).reshape(5, 1)
    outputs = (Out((5, 1)), Out(x.shape))
    for module in (reference, cpu):
        for name, rest in (
            ("softmax_forward", (Out(x.shape),)),
            ("log_softmax_forward", (Out(x.shape),)),
            ("softmax_cross_entropy_forward", (target, np.ones(7), -100, 0.0, *outputs)),
        ):
            plain = run(module, name, (x, *rest), dtype)
            moved = run(module, name, (x + np.float32(shift), *rest), dtype)
            for one, other in zip(plain, moved, strict=True):
                assert np.ptp(one) > 0.1
                np.testing.assert_array_equal(one, other)


@both_dtypes
@scores
def test_cross_entropy(x, dtype):
    info, count = np.finfo(dtype), x.shape[1]
    target = np.random.default_rng(7).integers(0, count, (x.shape[0], x.shape[2]))
    plain = (np.ones(count), -100, 0.0)
    arguments = (x, target, *plain, Out(target.shape), Out(x.shape))
    expected, probabilities = run(reference, "softmax_cross_entropy_forward", arguments, np.float64)
    losses, p = run(cpu, "softmax_cross_entropy_forward", arguments, dtype)
    assert np.isfinite(losses).all()
    d = np.take_along_axis(spread(x), target[:, None], axis=1)[:, 0]
    bound = (count + 12) * info.eps * (1 + np.log(count)) + 2 * info.eps * d
    assert_near(losses, expected, bound, "losses")
    relative = (2 * spread(x).clip(0, 800) + 10 + count) * info.eps
    assert_near(p, probabilities, relative * probabilities + info.tiny, "probabilities")
    dlosses = normal(8, *target.shape)
    arguments = (p, target, *plain, dlosses, Out(x.shape))
    (expected,) = run(reference, "softmax_cross_entropy_backward_input", arguments, np.float64)
    (actual,) = run(cpu, "softmax_cross_entropy_backward_input", arguments, dtype)
    # p - 1 rounds relative to its result, and so does the product: 2 units
    assert_near(actual, expected, 2 * info.eps * np.abs(expected), "softmax_cross_entropy_backward")


@both_dtypes
@scores
def test_nll(x, dtype):
    target = np.random.default_rng(9).integers(0, x.shape[1], (x.shape[0], x.shape[2]))
    plain = (np.ones(x.shape[1]), -100)
    assert_equal("nll_forward", (x, target, *plain, Out(target.shape)), dtype)
    dlosses = normal(10, *target.shape)
    assert_equal("nll_backward_input", (target, *plain, dlosses, Out(x.shape)), dtype)


# ---- optimizers ---------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("momentum", "dampening", "weight_decay", "nesterov", "first_step"),
    [
        (m, d, w, n, f)
        for m, d, w, n, f in itertools.product((0.0, 0.9), (0.0, 0.3), (0.0, 0.1), (0, 1), (0, 1))
        if m or not (d or n)
    ],
    ids=str,
)
def test_sgd(momentum, dampening, weight_decay, nesterov, first_step, dtype):
    grad, param, velocity = (normal(seed, 53) for seed in (1, 2, 3))
    numbers = (0.05, momentum, dampening, weight_decay, nesterov, first_step)
    if first_step and momentum:
        velocity[:] = np.nan  # must not be looked at
    arguments = (grad, *numbers, InOut(param), InOut(velocity))
    expected = run(reference, "sgd_update", arguments, np.float64)
    actual = run(cpu, "sgd_update", arguments, dtype)
    old = np.zeros(53) if first_step else np.abs(velocity)
    size = np.abs(grad) + weight_decay * np.abs(param) + momentum * old
    # lr, momentum and the like are rounded once, then at most 3 products and 3 sums
    bound = 8 * np.finfo(dtype).eps * size
    if momentum:
        assert np.isfinite(actual[1]).all()
        assert_near(actual[1], expected[1], bound, "velocity")
    else:
        np.testing.assert_array_equal(actual[1], velocity)
    bound = 8 * np.finfo(dtype).eps * (np.abs(param) + 0.05 * 2 * size)
    assert_near(actual[0], expected[0], bound, "param")
    assert (actual[0] != param).all()


@both_dtypes
@pytest.mark.parametrize("amsgrad", [0, 1])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, 0), (0.1, 0), (0.1, 1)])
def test_adam_over_several_steps(weight_decay, decoupled, amsgrad, dtype):
    lr, beta1, beta2, eps = 0.05, 0.9, 0.99, 1e-8
    state = [normal(1, 53), *(np.zeros(53, np.float32) for _ in range(3))]
    state[3][::2] = 2  # for amsgrad: larger than what comes, and smaller
    for step in range(1, 6):
        grad = normal(10 + step, 53)
        if step == 1:
            grad[:4] = 0, 1e-6, 1e4, -1e4
        numbers = (lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, step)
        arguments = (grad, *numbers, *map(InOut, state))
        expected = run(reference, "adam_update", arguments, np.float64)
        actual = run(cpu, "adam_update", arguments, dtype)
        unit = np.finfo(dtype).eps
        g = np.abs(grad) + (0 if decoupled else weight_decay) * np.abs(state[0])
        size = beta1 * np.abs(state[1]) + (1 - beta1) * g
        assert_near(actual[1], expected[1], 4 * unit * size, "mean")
        square = beta2 * state[2] + (1 - beta2) * g.astype(np.float64) ** 2
        assert_near(actual[2], expected[2], 6 * unit * square, "square")
        if amsgrad:
            assert_near(actual[3], np.maximum(state[3], expected[2]), 6 * unit * square, "largest")
        else:
            np.testing.assert_array_equal(actual[3], state[3])
        assert np.array_equal(expected[3], np.maximum(state[3], expected[2])) == amsgrad
        # the errors of mean and square go into the step, whose size is lr mean / sqrt(square);
        # with square as small as (1 - beta2) g², that of the largest mean counts
        root = np.sqrt(np.maximum(expected[2], 1e-30)) / np.sqrt(1 - beta2**step) + eps
        moved = lr / (1 - beta1**step) * size / root
        relative = 16 + 6 * square / np.maximum(expected[2], 1e-30)
        bound = unit * ((1 + 2 * decoupled) * np.abs(state[0]) + relative * moved)
        assert_near(actual[0], expected[0], bound, "param")
        assert np.isfinite(actual[0]).all()
        # go on from float32 numbers, which both dtypes hold
        state = [array.astype(np.float32) for array in expected]


def check_adaptive(name, grad, numbers, state, dtype, cancelled=1):
    """Compare one step: all is sums of numbers above 0, but for grad + weight_decay * param.

    A step goes through at most 20 operations. What a variance has lost by a difference counts
    `cancelled` times.
    """
    arguments = (grad, *numbers, *map(InOut, state))
    expected = run(reference, f"{name}_update", arguments, np.float64)
    actual = run(cpu, f"{name}_update", arguments, dtype)
    unit = np.finfo(dtype).eps
    moved = np.abs(expected[0] - state[0])
    assert (moved[4:] > 1e-4).all(), "nothing to compare"
    bound = unit * (2 * np.abs(state[0]) + 20 * cancelled * moved)
    assert_near(actual[0], expected[0], bound, "param")
    for got, want in zip(actual[1:], expected[1:], strict=True):
        assert_near(got, want, 20 * cancelled * unit * np.abs(want), name)


def gradient_and_state(count):
    """Return a gradient with the sign of the parameter, and arrays above 0."""
    param = normal(1, 53)
    grad = np.copysign(normal(2, 53), param)
    grad[:4] = 0, 1e-6, 1e4, -1e4
    param[2:4] = 1, -1
    return grad, [param, *(np.abs(normal(seed, 53)) + 0.1 for seed in range(3, 3 + count))]


@both_dtypes
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [0, 1])
def test_rmsprop(centered, momentum, weight_decay, dtype):
    grad, (param, square, mean, velocity) = gradient_and_state(3)
    velocity = np.copysign(velocity, grad)
    mean = np.copysign(0.3 * np.sqrt(square), grad)  # its square is a tenth of square's
    grad[2:4] /= 1e4
    numbers = (0.05, 0.9, 1e-8, weight_decay, momentum, centered)
    state = [param, square, mean.astype(np.float32), velocity]
    check_adaptive("rmsprop", grad, numbers, state, dtype, cancelled=10 if centered else 1)


@pytest.mark.parametrize("floor", [reference, cpu])
def test_rmsprop_without_variance(floor):
    """Where all gradients are alike, rounding may leave the mean's square above that of squares."""
    param, grad, mean = (np.full(1, value, np.float32) for value in (1, 0.1, 0.1))
    square = mean * mean * np.float32(1 - 1e-6)
    floor.rmsprop_update(grad, 0.01, 0.99, 1e-3, 0.0, 0.0, 1, param, square, mean, square)
    assert param == pytest.approx(1 - 0.01 * 0.1 / 1e-3)  # the variance counts as 0


@both_dtypes
@pytest.mark.parametrize(
    ("lr_decay", "weight_decay", "step"), [(0.0, 0.0, 1), (0.1, 0.0, 7), (0.1, 0.1, 7)]
)
def test_adagrad(lr_decay, weight_decay, step, dtype):
    grad, state = gradient_and_state(1)
    check_adaptive("adagrad", grad, (0.05, lr_decay, weight_decay, 1e-10, step), state, dtype)


@both_dtypes
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adadelta(weight_decay, dtype):
    grad, state = gradient_and_state(2)
    check_adaptive("adadelta", grad, (1.0, 0.9, 1e-6, weight_decay), state, dtype)


# ---- threads --------------------------------------------------------------------------------


def updates(a, b, c):
    """Return {function: arguments} of a step of every optimizer."""
    return {
        "sgd_update": (a, 0.1, 0.9, 0.1, 0.01, 0, 0, InOut(b), InOut(c)),
        "adam_update": (
            *(a, 0.1, 0.9, 0.99, 1e-8, 0.01, 0, 1, 3),
            *map(InOut, (b, c, c * c, abs(c))),
        ),
        "rmsprop_update": (a, 0.1, 0.9, 1e-8, 0.01, 0.5, 1, *map(InOut, (b, c * c + 1, c, b))),
        "adagrad_update": (a, 0.1, 0.1, 0.01, 1e-10, 3, InOut(b), InOut(c * c)),
        "adadelta_update": (a, 1.0, 0.9, 1e-6, 0.01, InOut(b), InOut(c * c), InOut(b * b)),
    }


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    cases = {}
    for name in ("all-different", "many-filters", "many-channels", "batch-17", "wide-rows"):
        for function, (arguments, _) in GEOMETRIES[name].calls().items():
            cases[f"{function}, {name}"] = function, arguments
    dy = normal(1, 3, 5, 7, 9)
    cases["conv2d_backward_bias"] = "conv2d_backward_bias", (dy, Out((5,)))
    pool = Pool((3, 5, 9, 8), (3, 2), (2, 1), (1, 1))
    x, dy = normal(2, *pool.shape), normal(3, 3, 5, *pool.out)
    numbers = (*pool.kernel, *pool.stride, *pool.pads)
    outputs = (Out(dy.shape), Out(dy.shape, np.int32))
    forward = (x, *numbers, 1, 1, *outputs)
    cases["max_pool2d_forward"] = "max_pool2d_forward", forward
    _, argmax = run(reference, "max_pool2d_forward", forward, np.float32)
    backward = (dy, argmax, *numbers, 1, 1, Out(x.shape))
    cases["max_pool2d_backward_input"] = "max_pool2d_backward_input", backward
    cases["avg_pool2d_forward"] = "avg_pool2d_forward", (x, *numbers, 1, 0, Out(dy.shape))
    cases["avg_pool2d_backward_input"] = (
        "avg_pool2d_backward_input",
        (dy, *numbers, 1, 0, Out(x.shape)),
    )
    cases |= {
        f"{name}, last": (op, lay(given, "last"))
        for name, (op, given) in cases.items()
        if "pool" in name
    }
    x, weight, bias, dy = normal(4, 5, 700), normal(5, 7, 700), normal(6, 7), normal(7, 5, 7)
    cases["linear_forward"] = "linear_forward", (x, weight, bias, Out(dy.shape))
    cases["linear_backward_input"] = "linear_backward_input", (dy, weight, Out(x.shape))
    cases["linear_backward_weight"] = "linear_backward_weight", (dy, x, Out(weight.shape))
    cases["linear_backward_bias"] = "linear_backward_bias", (dy, Out(bias.shape))
    x, weight, bias, dy = normal(4, 33, 700), normal(5, 21, 700), normal(6, 21), normal(7, 33, 21)
    cases["linear_forward, packed"] = "linear_forward", (x, weight, bias, Out(dy.shape))
    cases["linear_backward_input, packed"] = "linear_backward_input", (dy, weight, Out(x.shape))
    cases["linear_backward_weight, packed"] = "linear_backward_weight", (dy, x, Out(weight.shape))
    for count in (37, 1003):
        a, b, c = (normal(seed, count) for seed in (8, 9, 10))
        for op in ("relu", "sigmoid", "tanh"):
            cases[f"{op}_forward, {count}"] = f"{op}_forward", (a, Out(a.shape))
            cases[f"{op}_backward_input, {count}"] = f"{op}_backward_input", (a, b, Out(a.shape))
        for op, numbers in OF_INPUT.items():
            cases[f"{op}_forward, {count}"] = f"{op}_forward", (a, *numbers, Out(a.shape))
            backward = (a, b, *numbers, Out(a.shape))
            cases[f"{op}_backward_input, {count}"] = f"{op}_backward_input", backward
        cases[f"add_forward, {count}"] = "add_forward", (a, b, Out(a.shape))
        cases[f"mse_forward, {count}"] = "mse_forward", (a, b, Out(a.shape))
        cases[f"mse_backward_input, {count}"] = "mse_backward_input", (a, b, c, Out(a.shape))
        cases |= {f"{name}, {count}": (name, own) for name, own in updates(a, b, c).items()}
        mask = (a > 0) * np.float32(2)
        for op in ("dropout_forward", "dropout_backward_input"):
            cases[f"{op}, {count}"] = op, (b.reshape(-1, 1), mask, Out((count, 1)))
    x, dy = normal(11, 5, 9, 7), normal(12, 5, 9, 7)
    target = np.random.default_rng(13).integers(0, 9, (5, 7))
    losses = Out(target.shape)
    (p,) = run(reference, "softmax_forward", (x, Out(x.shape)), np.float32)
    for op in ("softmax", "log_softmax"):
        cases[f"{op}_forward"] = f"{op}_forward", (x, Out(x.shape))
        cases[f"{op}_backward_input"] = f"{op}_backward_input", (dy, p, Out(x.shape))
    op, plain = "softmax_cross_entropy", (np.ones(9), -100)
    cases[f"{op}_forward"] = f"{op}_forward", (x, target, *plain, 0.0, losses, Out(x.shape))
    backward = (p, target, *plain, 0.0, x[:, 0], Out(x.shape))
    cases[f"{op}_backward_input"] = f"{op}_backward_input", backward
    cases["nll_forward"] = "nll_forward", (x, target, *plain, losses)
    cases["nll_backward_input"] = "nll_backward_input", (target, *plain, x[:, 0], Out(x.shape))
    return cases
