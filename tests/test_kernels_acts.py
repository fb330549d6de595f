"""PReLU, steps, maxout, limits, sums of powers and the perceptron: cpu against the reference.

Bounds: checks_kernels.py. What only chooses, or multiplies once, must agree bit for bit.
"""

import math

import numpy as np
import pytest
from checks_kernels import (
    Out,
    assert_equal,
    assert_near,
    both_dtypes,
    normal,
    run,
)

from numcnn.kernels import cpu, reference

# Specials at the front, then enough numbers for several vectors and a rest.
SPECIALS = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e4, -1e4, 1e-30, -1e-30, 2.0, -2.0, 0.5, -0.5]
ELEMENTS = np.array([*SPECIALS, *(3 * normal(1, 40))], np.float32)
FINITE = np.where(np.isfinite(ELEMENTS), ELEMENTS, 7).astype(np.float32)
both_floors = pytest.mark.parametrize("floor", [reference, cpu], ids=["reference", "cpu"])

# ---- prelu ----------------------------------------------------------------------------------

# examples, channels, the rest: one slope for many rows, one number each, nothing at all
VIEWS = pytest.mark.parametrize(
    "shape", [(3, 4, 7), (5, 1, 53), (1, 3, 2), (6, 5, 1), (0, 3, 2), (2, 3, 0)], ids=str
)


def with_ties(seed, *shape):
    """Return numbers of which some are exactly 0."""
    x = normal(seed, *shape)
    x.reshape(-1)[::5] = 0
    return x


@both_dtypes
@VIEWS
def test_prelu(shape, dtype):
    x, dy, weight = with_ties(1, *shape), normal(2, *shape), normal(3, shape[1])
    assert_equal("prelu_forward", (x, weight, Out(shape)), dtype)
    assert_equal("prelu_backward_input", (dy, x, weight, Out(shape)), dtype)
    arguments = (dy, -np.abs(x), Out(weight.shape))  # absolute values alone would all be passed on
    (size,) = run(reference, "prelu_backward_weight", (np.abs(dy), *arguments[1:]), np.float64)
    for own in (arguments, (dy, x, Out(weight.shape))):
        (expected,) = run(reference, "prelu_backward_weight", own, np.float64)
        (actual,) = run(cpu, "prelu_backward_weight", own, dtype)
        terms = shape[0] * shape[2]
        assert_near(actual, expected, (terms + 1) * np.finfo(dtype).eps * np.abs(size))


@both_floors
def test_prelu_by_hand(floor):
    x = np.array([[[-2.0, 0.0, 3.0], [np.nan, -1.0, -0.5]]])
    weight, dy = np.array([0.5, 4.0]), np.array([[[1.0, 2.0, 4.0], [0.0, 3.0, 2.0]]])
    (y,) = run(floor, "prelu_forward", (x, weight, Out(x.shape)), np.float64)
    np.testing.assert_array_equal(y, [[[-1, 0, 3], [np.nan, -4, -2]]])
    (dx,) = run(floor, "prelu_backward_input", (dy, x, weight, Out(x.shape)), np.float64)
    np.testing.assert_array_equal(dx, [[[0.5, 1, 4], [0, 12, 8]]])
    (dweight,) = run(floor, "prelu_backward_weight", (dy, x, Out((2,))), np.float64)
    np.testing.assert_array_equal(dweight, [-2, np.nan])


# ---- step -----------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_step(low, dtype):
    assert_equal("step_forward", (ELEMENTS, low, Out(ELEMENTS.shape)), dtype)
    assert_equal("step_backward_input", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
    for floor in (reference, cpu):
        (y,) = run(floor, "step_forward", (ELEMENTS[:9], low, Out((9,))), dtype)
        np.testing.assert_array_equal(y, [low, low, np.nan, 1, low, 1, low, 1, low])
        (dx,) = run(floor, "step_backward_input", (ELEMENTS, Out(ELEMENTS.shape)), dtype)
        np.testing.assert_array_equal(dx, 0)


# ---- maxout ---------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 2, 1), (1, 7, 2), (0, 2, 3)], ids=str)
@pytest.mark.parametrize("data", ["distinct", "ties"])
def test_maxout(data, shape, dtype):
    x = normal(1, *shape)
    if data == "ties":
        x = np.round(x)
        x.reshape(-1)[::7] = np.nan
    outputs = Out(shape[:2]), Out(shape[:2], np.int32)
    assert_equal("maxout_forward", (x, *outputs), dtype)
    y, argmax = run(cpu, "maxout_forward", (x, *outputs), dtype)
    np.testing.assert_array_equal(y, np.max(x, axis=2, initial=-np.inf))
    np.testing.assert_array_equal(argmax, np.argmax(x, axis=2))  # the first, and a NaN first of all
    assert_equal("maxout_backward_input", (normal(2, *shape[:2]), argmax, Out(shape)), dtype)


@both_floors
def test_maxout_by_hand(floor):
    x = np.array([[[1.0, 3.0, 3.0], [-5.0, -2.0, -9.0], [np.nan, 9.0, np.nan]]])
    y, argmax = run(floor, "maxout_forward", (x, Out((1, 3)), Out((1, 3), np.int32)), np.float64)
    np.testing.assert_array_equal(y, [[3, -2, np.nan]])
    assert argmax.tolist() == [[1, 1, 0]]
    dy = np.array([[5.0, 6.0, 7.0]])
    (dx,) = run(floor, "maxout_backward_input", (dy, argmax, Out(x.shape)), np.float64)
    assert dx.tolist() == [[[0, 5, 0], [0, 6, 0], [7, 0, 0]]]


# ---- limits, factors ------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("limits", [(-2.0, 0.5), (0.0, 6.0)], ids=str)
def test_hardtanh(limits, dtype):
    dy = normal(2, ELEMENTS.size)
    assert_equal("hardtanh_forward", (ELEMENTS, *limits, Out(dy.shape)), dtype)
    assert_equal("hardtanh_backward_input", (dy, ELEMENTS, *limits, Out(dy.shape)), dtype)
    for floor in (reference, cpu):
        (y,) = run(floor, "hardtanh_forward", (ELEMENTS, *limits, Out(dy.shape)), dtype)
        np.testing.assert_array_equal(y, np.clip(ELEMENTS, *limits))
        (dx,) = run(floor, "hardtanh_backward_input", (dy, ELEMENTS, *limits, Out(dy.shape)), dtype)
        inside = np.isnan(ELEMENTS) | ((limits[0] < ELEMENTS) & (limits[1] > ELEMENTS))
        np.testing.assert_array_equal(dx, np.where(inside, dy, 0))


@both_dtypes
def test_scale_also_in_place(dtype):
    assert_equal("scale_forward", (ELEMENTS, 0.3, Out(ELEMENTS.shape)), dtype)
    for floor in (reference, cpu):
        x = FINITE.astype(dtype)
        floor.scale_forward(x, 0.3, x)
        np.testing.assert_array_equal(x, FINITE.astype(dtype) * dtype(0.3))


# ---- sums of powers -------------------------------------------------------------------------

POWERS = pytest.mark.parametrize("power", [1, 2, 3, 1.5, 0.5, math.inf])
COUNTS = pytest.mark.parametrize("count", [0, 1, 53, 4096, 4097])
TOTAL = Out((1,), np.float64)


@both_dtypes
@COUNTS
@POWERS
def test_power_sum(power, count, dtype):
    """All in float64, whatever the type; a power takes four units in the last place."""
    x = normal(1, count)
    ((expected,),) = run(reference, "power_sum_forward", (x, power, TOTAL), dtype)
    ((actual,),) = run(cpu, "power_sum_forward", (x, power, TOTAL), dtype)
    assert abs(actual - expected) <= (count + 5) * np.finfo(float).eps * expected
    assert (actual > 0) == (count > 0)
    if power == math.inf:
        assert actual == np.abs(x).max(initial=0)


@both_floors
@pytest.mark.parametrize("place", [0, 52])
@POWERS
def test_power_sum_of_awkward_numbers(power, place, floor):
    x = normal(1, 53)
    x[place] = -np.inf
    assert run(floor, "power_sum_forward", (x, power, TOTAL), np.float32)[0] == np.inf
    x[place] = np.nan
    assert np.isnan(run(floor, "power_sum_forward", (x, power, TOTAL), np.float32)[0])


@both_floors
def test_squares_of_float32_numbers_dont_overflow(floor):
    x = np.full(3, 1e30, np.float32)
    ((total,),) = run(floor, "power_sum_forward", (x, 2, TOTAL), np.float32)
    assert total == pytest.approx(3e60, rel=1e-6)  # 1e30 is a float32 number only to 1e-7


@both_dtypes
@pytest.mark.parametrize("power", [1, 2, 3, 1.5])
def test_power_sum_gradient(power, dtype):
    """A power takes four units in the last place, the two products one each, the factor one.

    The square of 1e-30 is 0 in float32: below the smallest normal number digits are lost.
    """
    x, info = FINITE, np.finfo(dtype)
    arguments = (x, power, 0.7, Out(x.shape))
    (expected,) = run(reference, "power_sum_backward_input", arguments, np.float64)
    for floor in (reference, cpu):
        (actual,) = run(floor, "power_sum_backward_input", arguments, dtype)
        assert_near(actual, expected, 7 * info.eps * np.abs(expected) + info.tiny)
    np.testing.assert_allclose(
        expected, 0.7 * power * np.abs(x.astype(float)) ** (power - 1) * np.sign(x), rtol=1e-14
    )


@both_floors
@pytest.mark.parametrize("power", [1, 2, 1.5])
def test_the_gradient_of_a_nan_is_nan_and_that_of_zero_is_zero(power, floor):
    x = np.array([np.nan, 0.0, -0.0])
    (dx,) = run(floor, "power_sum_backward_input", (x, power, 1.0, Out((3,))), np.float64)
    np.testing.assert_array_equal(dx, [np.nan, 0, 0])


# ---- perceptron -----------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_perceptron(low, dtype):
    target = np.where(normal(2, ELEMENTS.size) > 0, 1, low).astype(np.float32)
    dlosses = normal(3, ELEMENTS.size)
    assert_equal("perceptron_forward", (ELEMENTS, target, low, Out(target.shape)), dtype)
    backward = (ELEMENTS, target, low, dlosses, Out(target.shape))
    assert_equal("perceptron_backward_input", backward, dtype)


@both_floors
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_perceptron_by_hand(low, floor):
    a = np.array([2.0, 2.0, -3.0, -3.0, 0.0, 0.0, np.nan, np.inf, -np.inf, np.inf])
    t = np.array([1.0, low, 1.0, low, 1.0, low, 1.0, 1.0, low, low])
    (losses,) = run(floor, "perceptron_forward", (a, t, low, Out(a.shape)), np.float64)
    gap = 1 - low
    np.testing.assert_array_equal(losses, [0, 2 * gap, 3 * gap, 0, 0, 0, np.nan, 0, 0, np.inf])
    ones = np.full(a.shape, 0.5)
    (da,) = run(floor, "perceptron_backward_input", (a, t, low, ones, Out(a.shape)), np.float64)
    half = gap / 2
    np.testing.assert_array_equal(da, [0, half, -half, 0, -half, 0, np.nan, 0, 0, half])


# ---- threads (tests/test_kernels_threads.py) ------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    cases = {}
    x, dy, weight = with_ties(1, 5, 7, 9), normal(2, 5, 7, 9), normal(3, 7)
    cases["prelu_forward"] = "prelu_forward", (x, weight, Out(x.shape))
    cases["prelu_backward_input"] = "prelu_backward_input", (dy, x, weight, Out(x.shape))
    cases["prelu_backward_weight"] = "prelu_backward_weight", (dy, x, Out(weight.shape))
    flat = (dy.reshape(35, 1, 9), x.reshape(35, 1, 9), Out((1,)))
    cases["prelu_backward_weight, shared"] = "prelu_backward_weight", flat
    outputs = Out(x.shape[:2]), Out(x.shape[:2], np.int32)
    cases["maxout_forward"] = "maxout_forward", (x, *outputs)
    _, argmax = run(reference, "maxout_forward", (x, *outputs), np.float32)
    cases["maxout_backward_input"] = "maxout_backward_input", (dy[..., 0], argmax, Out(x.shape))
    for count in (37, 9001):
        a, b = normal(8, count), normal(9, count)
        target = np.sign(b)
        out = Out(a.shape)
        own = {
            "step_forward": (a, -1.0, out),
            "step_backward_input": (a, out),
            "hardtanh_forward": (a, -0.5, 0.7, out),
            "hardtanh_backward_input": (b, a, -0.5, 0.7, out),
            "scale_forward": (a, 0.3, out),
            "perceptron_forward": (a, target, -1.0, out),
            "perceptron_backward_input": (a, target, -1.0, b, out),
        }
        cases |= {f"{name}, {count}": (name, arguments) for name, arguments in own.items()}
        for power in (1, 2, 1.5, math.inf):
            cases[f"power_sum_forward, {power}, {count}"] = "power_sum_forward", (a, power, TOTAL)
        for power in (1, 2, 1.5):
            name = "power_sum_backward_input"
            cases[f"{name}, {power}, {count}"] = name, (a, power, 0.3, out)
    return cases
