"""The compiled normalisations against the reference; bounds: checks_norms.py, checks_kernels.py."""

import functools

import numpy as np
import pytest
from checks_kernels import (
    InOut,
    Out,
    assert_near,
    assert_sum,
    both_dtypes,
    both_orders,
    lay,
    normal,
    run,
)
from checks_norms import BATCH, DOUBLE, GROUPS, ROWS, Double, bound, call, magnitudes

from numcnn.kernels import cpu, reference

EPS = 1e-5


def statistics(shape):
    return Out(shape, np.float64), Out(shape, np.float64)


def compare(name, arguments, dtype, count, sizes):
    """Assert that the compiled kernel is near the reference in float64, output by output."""
    expected = call(reference, name, arguments, np.float64)
    actual = call(cpu, name, arguments, dtype)
    for got, want, size in zip(actual, expected, sizes, strict=True):
        assert got.dtype in (dtype, np.float64)
        assert np.isfinite(want).all(), "the case itself must be finite"
        assert_near(got, want, bound(count, dtype, size), name)


def compare_statistics(name, arguments, dtype, x, plan, y_size):
    """As `compare` for a forward function, whose mean and variance have bounds of their own."""
    count = np.prod([x.shape[axis] for axis in plan.together])
    expected = call(reference, name, arguments, np.float64)
    actual = call(cpu, name, arguments, dtype)
    away = np.abs(x.astype(np.float64)).mean(plan.together).reshape(actual[0].shape)
    off = (count + 1) * DOUBLE * away
    assert [a.dtype for a in actual] == [np.float64, np.float64, dtype]
    assert_near(actual[0], expected[0], off, f"{name}, mean")
    assert_near(actual[1], expected[1], (count + 4) * DOUBLE * expected[1] + off**2, "var")
    assert_near(actual[2], expected[2], bound(count, dtype, y_size.reshape(x.shape)), name)


def numbers(kind, seed, *shape):
    """Return float32 numbers: about 0, or a million deviations away from it."""
    x = normal(seed, *shape)
    return np.float32(1e4) + np.float32(1e-2) * x if kind == "far" else x


kinds = pytest.mark.parametrize("kind", ["near", "far"])

# (N, C, S): every size different, none a multiple of a vector, one number per row, one row;
# the last is summed up in several slices where channels lie last
BATCHES = [(4, 3, 7), (5, 6, 1), (7, 1, 3), (1, 2, 9), (17, 3, 2), (2, 35, 29), (3, 2, 201)]
batches = pytest.mark.parametrize("shape", BATCHES, ids=str)


def batch(kind, shape):
    """Return x, dy, weight, bias; the latter two as (C,)."""
    return numbers(kind, 1, *shape), normal(2, *shape), normal(3, shape[1]), normal(4, shape[1])


@functools.cache
def batch_moments(kind, shape):
    x, _, weight, bias = batch(kind, shape)
    outputs = (*statistics((shape[1],)), Out(shape))
    return call(reference, "batch_norm_forward", (x, weight, bias, EPS, *outputs), np.float64)[:2]


def batch_sizes(kind, shape, dtype, given=None):
    x, dy, weight, bias = batch(kind, shape)
    wide = (weight[:, None], bias[:, None])
    return magnitudes(x, dy, *wide, BATCH, EPS, dtype, given)


@both_dtypes
@both_orders
@kinds
@batches
def test_batch_norm_forward(shape, kind, order, dtype):
    x, _, weight, bias = batch(kind, shape)
    outputs = (*statistics((shape[1],)), Out(shape))
    sizes = batch_sizes(kind, shape, dtype)
    arguments = lay((x, weight, bias, EPS, *outputs), order)
    compare_statistics("batch_norm_forward", arguments, dtype, x, BATCH, sizes["y"])


@both_dtypes
@both_orders
@kinds
@batches
def test_batch_norm_backward(shape, kind, order, dtype):
    x, dy, weight, _ = batch(kind, shape)
    sizes = batch_sizes(kind, shape, dtype)
    count = shape[0] * shape[2]
    of_batch = (*map(Double, batch_moments(kind, shape)), EPS)
    sums = Out(weight.shape), Out(weight.shape)
    compare(
        "batch_norm_backward_input",
        lay((dy, x, weight, *of_batch, *sums, Out(shape)), order),
        dtype,
        count,
        [sizes["dweight"], sizes["dbias"], sizes["dx"]],
    )
    arguments = lay((dy, x, *of_batch, sums[0]), order)
    compare("batch_norm_backward_weight", arguments, dtype, count, [sizes["dweight"]])
    arguments = lay((dy, sums[0]), order)
    assert_sum(cpu, "batch_norm_backward_bias", arguments, dtype, count)


@both_dtypes
@both_orders
@kinds
@batches
def test_batch_norm_eval(shape, kind, order, dtype):
    """The running statistics are of the layer's dtype, and not those of the batch."""
    x, dy, weight, bias = batch(kind, shape)
    mean = numbers(kind, 5, shape[1])
    var = np.abs(normal(6, shape[1])) * np.float32(1e-4 if kind == "far" else 1)
    given = mean[:, None].astype(np.float64), var[:, None].astype(np.float64)
    sizes = batch_sizes(kind, shape, dtype, given)
    arguments = lay((x, weight, bias, mean, var, EPS, Out(shape)), order)
    compare("batch_norm_eval_forward", arguments, dtype, 1, [sizes["y"]])
    arguments = lay((dy, weight, var, EPS, Out(shape)), order)
    compare("batch_norm_eval_backward_input", arguments, dtype, 1, [sizes["dx"]])
    arguments = lay((dy, x, mean, var, EPS, Out(weight.shape)), order)
    count = shape[0] * shape[2]
    compare("batch_norm_backward_weight", arguments, dtype, count, [sizes["dweight"]])


@both_dtypes
def test_no_examples(dtype):
    x = np.empty((0, 3, 5), np.float32)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    for module in (reference, cpu):
        call(
            module,
            "batch_norm_eval_forward",
            (x, ones, zeros, zeros, ones, EPS, Out(x.shape)),
            dtype,
        )
        call(module, "batch_norm_eval_backward_input", (x, ones, ones, EPS, Out(x.shape)), dtype)
        arguments = (x, x, zeros, ones, EPS, Out((3,)))
        assert (call(module, "batch_norm_backward_weight", arguments, dtype)[0] == 0).all()
        assert (call(module, "batch_norm_backward_bias", (x, Out((3,))), dtype)[0] == 0).all()


@both_dtypes
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_batch_norm_update(momentum, dtype):
    """Products, a sum and the rounding at the end: at most 4 units of the absolute values."""
    mean, var = normal(1, 19), np.abs(normal(2, 19))
    for values in ((mean, var), (1e4 + mean, 1e-4 * var)):
        running = normal(3, 19), np.abs(normal(4, 19))
        arguments = (*values, 7, momentum, *map(InOut, running))
        expected = run(reference, "batch_norm_update", arguments, np.float64)
        actual = run(cpu, "batch_norm_update", arguments, dtype)
        for got, want, new, old in zip(actual, expected, values, running, strict=True):
            size = np.abs((1 - momentum) * old) + momentum * 7 / 6 * np.abs(new)
            assert_near(got, want, 4 * np.finfo(dtype).eps * size, "batch_norm_update")
        if momentum == 0:
            np.testing.assert_array_equal(actual, np.array(running, dtype))
        if momentum == 1:
            np.testing.assert_array_equal(actual[0], values[0].astype(dtype))
            np.testing.assert_allclose(expected[1], values[1].astype(float) * 7 / 6, rtol=1e-15)


@both_dtypes
@both_orders
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_equal_numbers_become_the_bias(module, order, dtype):
    """The mean of equal float32 numbers is exact, and so is every difference from it."""
    x = np.full((3, 2, 5), np.float32(0.1))
    weight, bias = normal(3, 2), normal(4, 2)
    arguments = lay((x, weight, bias, EPS, *statistics((2,)), Out(x.shape)), order)
    mean, var, y = call(module, "batch_norm_forward", arguments, dtype)
    assert (mean == np.float32(0.1)).all()
    assert (var == 0).all()
    np.testing.assert_array_equal(y, np.broadcast_to(bias.astype(dtype)[:, None], y.shape))


@both_dtypes
@pytest.mark.parametrize("channels", [1, 2])  # of one channel, the values lie together
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_huge_and_tiny_numbers(module, channels, dtype):
    """Squares of 1e25 overflow float32, cubes of 1 / 1e25 underflow it; 1e-20 is below eps."""
    x, dy = (np.repeat(normal(seed, 4, 1, 5), channels, axis=1) for seed in (1, 2))
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    found = []
    for scale in (1, 1e25):
        big = x * np.float32(scale)
        arguments = (big, one, zero, 0.0, *statistics((channels,)), Out(x.shape))
        arguments = lay(arguments, "last")
        mean, var, y = call(module, "batch_norm_forward", arguments, dtype)
        sums = Out((channels,)), Out((channels,))
        arguments = (dy, big, one, Double(mean), Double(var), 0.0, *sums, Out(x.shape))
        *_, dx = call(module, "batch_norm_backward_input", lay(arguments, "last"), dtype)
        found.append((y, dx.astype(np.float64) * scale))
    limit = 64 * np.finfo(np.float32).eps  # 20 numbers of size 3, and the rounding of x * 1e25
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=0, atol=limit)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=0, atol=limit)
    small = x * np.float32(1e-20)
    arguments = (small, one, zero, EPS, *statistics((channels,)), Out(x.shape))
    *_, y = call(module, "batch_norm_forward", arguments, dtype)
    assert (np.abs(y) < 1e-16).all()


@both_dtypes
@both_orders
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_a_nan_stays_among_those_normalised_with_it(module, order, dtype):
    x, dy, weight, bias = batch("near", (4, 3, 7))
    x[2, 1, 3] = np.nan
    arguments = (x, weight, bias, EPS, *statistics((3,)), Out(x.shape))
    mean, var, y = call(module, "batch_norm_forward", lay(arguments, order), dtype)
    assert np.isnan(y).any(axis=(0, 2)).tolist() == [False, True, False]
    assert np.isnan(y[:, 1]).all()
    of_batch = (Double(mean), Double(var), EPS)
    outputs = Out((3,)), Out((3,)), Out(x.shape)
    arguments = lay((dy, x, weight, *of_batch, *outputs), order)
    dweight, dbias, dx = call(module, "batch_norm_backward_input", arguments, dtype)
    assert np.isnan(dweight).tolist() == [False, True, False]
    assert not np.isnan(dbias).any()
    assert np.isnan(dx).all(axis=(0, 2)).tolist() == [False, True, False]
    assert np.isnan(dx).sum() == 28
    arguments = (x, weight, bias, EPS, *statistics((4, 1)), Out(x.shape))
    *_, y = call(module, "group_norm_forward", arguments, dtype)
    assert np.isnan(y).all(axis=(1, 2)).tolist() == [False, False, True, False]
    assert np.isnan(y).sum() == 21
    rows = x.reshape(12, 7)
    arguments = (rows, normal(3, 7), normal(4, 7), EPS, *statistics((12,)), Out(rows.shape))
    *_, y = call(module, "layer_norm_forward", arguments, dtype)
    assert np.isnan(y).all(axis=1).tolist() == [row == 7 for row in range(12)]
    assert np.isnan(y).sum() == 7
    outputs = Out(x.shape), Out(x.shape)
    _, y = call(module, "local_response_norm_forward", (x, 2, 0.1, 0.75, 1.0, *outputs), dtype)
    assert np.argwhere(np.isnan(y)).tolist() == [[2, 1, 3], [2, 2, 3]]


# ---- rows and groups ------------------------------------------------------------------------

ROW_SHAPES = [(3, 7), (1, 5), (6, 1), (9, 64), (5, 131), (2, 200), (0, 4)]


@both_dtypes
@kinds
@pytest.mark.parametrize("shape", ROW_SHAPES, ids=str)
def test_layer_norm(shape, kind, dtype):
    x, dy = numbers(kind, 1, *shape), normal(2, *shape)
    weight, bias = normal(3, shape[1]), normal(4, shape[1])
    sizes = magnitudes(x, dy, weight, bias, ROWS, EPS, dtype)
    arguments = (x, weight, bias, EPS, *statistics(shape[:1]), Out(shape))
    compare_statistics("layer_norm_forward", arguments, dtype, x, ROWS, sizes["y"])
    moments = map(Double, call(reference, "layer_norm_forward", arguments, np.float64)[:2])
    of_row = (*moments, EPS)
    arguments = (dy, x, weight, *of_row, Out(shape))
    compare("layer_norm_backward_input", arguments, dtype, shape[1], [sizes["dx"]])
    arguments = (dy, x, *of_row, Out(weight.shape))
    compare("layer_norm_backward_weight", arguments, dtype, shape[0], [sizes["dweight"]])
    assert_sum(cpu, "layer_norm_backward_bias", (dy, Out(bias.shape)), dtype, shape[0])


GROUP_SHAPES = [((2, 6, 5), 3), ((3, 4, 7), 1), ((1, 5, 3), 5), ((4, 6, 1), 2), ((2, 4, 83), 2)]


@both_dtypes
@kinds
@pytest.mark.parametrize(("shape", "groups"), [*GROUP_SHAPES, ((0, 4, 3), 2)], ids=str)
def test_group_norm(shape, groups, kind, dtype):
    x, dy, weight, bias = batch(kind, shape)
    per = shape[1] // groups
    grouped = (shape[0], groups, per, shape[2])
    wide = (weight.reshape(groups, per, 1), bias.reshape(groups, per, 1))
    views = x.reshape(grouped), dy.reshape(grouped)
    sizes = magnitudes(*views, *wide, GROUPS, EPS, dtype)
    arguments = (x, weight, bias, EPS, *statistics((shape[0], groups)), Out(shape))
    expected = call(reference, "group_norm_forward", arguments, np.float64)
    actual = call(cpu, "group_norm_forward", arguments, dtype)
    count = per * shape[2]
    off = (count + 1) * DOUBLE * np.abs(views[0].astype(np.float64)).mean((2, 3))
    assert_near(actual[0], expected[0], off, "mean")
    assert_near(actual[1], expected[1], (count + 4) * DOUBLE * expected[1] + off**2, "var")
    assert_near(actual[2], expected[2], bound(count, dtype, sizes["y"].reshape(shape)), "y")
    of_group = (*map(Double, expected[:2]), EPS)
    arguments = (dy, x, weight, *of_group, Out(shape))
    compare("group_norm_backward_input", arguments, dtype, count, [sizes["dx"].reshape(shape)])
    size = sizes["dweight"].reshape(weight.shape)
    arguments = (dy, x, *of_group, Out(weight.shape))
    compare("group_norm_backward_weight", arguments, dtype, shape[0] * shape[2], [size])
    terms = shape[0] * shape[2]
    assert_sum(cpu, "group_norm_backward_bias", (dy, Out(bias.shape)), dtype, terms)


# ---- neighbours in other channels -----------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("beta", [0.75, 1.3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 1, 3), (3, 4, 1), (0, 2, 3)], ids=str)
def test_local_response_norm(shape, size, beta, dtype):
    """Each of the sums has `size` positive terms; a power has 4 units, and its base's."""
    eps = np.finfo(dtype).eps
    x, dy = normal(1, *shape), normal(2, *shape)
    forward = (x, size, 0.7, beta, 1.5, Out(shape), Out(shape))
    base, y = call(reference, "local_response_norm_forward", forward, np.float64)
    got = call(cpu, "local_response_norm_forward", forward, dtype)
    assert_near(got[0], base, (size + 4) * eps * base, "base")
    assert_near(got[1], y, ((size + 4) * beta + 6) * eps * np.abs(y), "y")
    base, y = base.astype(np.float32), y.astype(np.float32)  # the same numbers for all
    numbers = (base, size, 0.7, beta, Out(shape))
    name = "local_response_norm_backward_input"
    (expected,) = call(reference, name, (dy, x, y, *numbers), np.float64)
    # a plus for the minus: the second part of dx turns its sign with x's
    (whole,) = call(reference, name, (np.abs(dy), -np.abs(x), np.abs(y), *numbers), np.float64)
    (actual,) = call(cpu, name, (dy, x, y, *numbers), dtype)
    assert_near(actual, expected, (size + 12) * eps * whole, name)


# ---- weights as length and direction --------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("shape", [(1, 3, 7), (4, 5, 6), (3, 1, 1), (1, 1, 83), (2, 9, 1)], ids=str)
def test_weight_norm(shape, dtype):
    """Four roundings at most of w and dv, one of dg, and the sums' in float64."""
    eps = np.finfo(dtype).eps
    v, dw, g = normal(1, *shape), normal(2, *shape), normal(3, shape[1])
    count = shape[0] * shape[2]
    factor = 4 * eps + (count + 6) * DOUBLE
    wide = v.astype(np.float64)
    norm = np.sqrt((wide**2).sum((0, 2)))
    along = np.abs(dw.astype(np.float64) * wide).sum((0, 2))
    sizes = {
        "weight_norm_forward": np.abs(g[:, None] * wide) / norm[:, None],
        "weight_norm_backward_weight": along / norm,
        "weight_norm_backward_input": np.abs(g / norm)[:, None]
        * (np.abs(dw) + np.abs(wide) * (along / norm**2)[:, None]),
    }
    arguments = {
        "weight_norm_forward": (v, g, Out(shape)),
        "weight_norm_backward_weight": (dw, v, Out(g.shape)),
        "weight_norm_backward_input": (dw, v, g, Out(shape)),
    }
    for name, size in sizes.items():
        (expected,) = call(reference, name, arguments[name], np.float64)
        (actual,) = call(cpu, name, arguments[name], dtype)
        assert actual.dtype == dtype
        assert_near(actual, expected, factor * size, name)


@both_dtypes
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_lengths_that_overflow_and_directions_that_are_none(module, dtype):
    v = normal(1, 1, 3, 5) * np.float32(1e25)
    v[0, 1] = 0
    g = np.array([2, 3, 0], np.float32)
    (w,) = call(module, "weight_norm_forward", (v, g, Out(v.shape)), dtype)
    assert np.linalg.norm(w[0, 0].astype(float)) == pytest.approx(2, rel=1e-6)
    assert np.isnan(w[0, 1]).all()
    assert (w[0, 2] == 0).all()


# ---- threads --------------------------------------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    x, dy = normal(1, 5, 7, 37), normal(2, 5, 7, 37)
    weight, bias = normal(3, 7), normal(4, 7)
    var = np.abs(normal(5, 7)) + 1
    channel = Out((7,))
    kept = (bias, var, EPS)
    cases = {
        "batch_norm_forward": (x, weight, bias, EPS, channel, channel, Out(x.shape)),
        "batch_norm_update": (bias, var, 9, 0.1, InOut(weight), InOut(var)),
        "batch_norm_backward_input": (dy, x, weight, *kept, channel, channel, Out(x.shape)),
        "batch_norm_backward_weight": (dy, x, *kept, channel),
        "batch_norm_backward_bias": (dy, channel),
        "batch_norm_eval_forward": (x, weight, bias, *kept, Out(x.shape)),
        "batch_norm_eval_backward_input": (dy, weight, var, EPS, Out(x.shape)),
        "local_response_norm_forward": (x, 4, 0.1, 0.75, 1.0, Out(x.shape), Out(x.shape)),
        "local_response_norm_backward_input": (
            *(dy, x, x, np.abs(x) + 1, 4, 0.1, 0.75),
            Out(x.shape),
        ),
        "weight_norm_forward": (x, weight, Out(x.shape)),
        "weight_norm_backward_input": (dy, x, weight, Out(x.shape)),
        "weight_norm_backward_weight": (dy, x, channel),
    }
    x, dy, weight, bias = normal(1, 5, 6, 37), normal(2, 5, 6, 37), normal(3, 6), normal(4, 6)
    mean, var, group = normal(6, 5, 3), np.abs(normal(7, 5, 3)) + 1, Out((5, 3))
    cases |= {
        "group_norm_forward": (x, weight, bias, EPS, group, group, Out(x.shape)),
        "group_norm_backward_input": (dy, x, weight, mean, var, EPS, Out(x.shape)),
        "group_norm_backward_weight": (dy, x, mean, var, EPS, Out((6,))),
        "group_norm_backward_bias": (dy, Out((6,))),
    }
    x, dy, weight, bias = normal(1, 9, 150), normal(2, 9, 150), normal(3, 150), normal(4, 150)
    mean, var, row = normal(6, 9), np.abs(normal(7, 9)) + 1, Out((9,))
    cases |= {
        "layer_norm_forward": (x, weight, bias, EPS, row, row, Out(x.shape)),
        "layer_norm_backward_input": (dy, x, weight, mean, var, EPS, Out(x.shape)),
        "layer_norm_backward_weight": (dy, x, mean, var, EPS, Out((150,))),
        "layer_norm_backward_bias": (dy, Out((150,))),
    }
    found = {name: (name, arguments) for name, arguments in cases.items()}
    x, dy = normal(1, 5, 7, 937), normal(2, 5, 7, 937)
    weight, bias = normal(3, 7), normal(4, 7)
    var = np.abs(normal(5, 7)) + 1
    of_batch = (bias, var, EPS)
    for name, arguments in {
        "batch_norm_forward": (x, weight, bias, EPS, channel, channel, Out(x.shape)),
        "batch_norm_backward_input": (dy, x, weight, *of_batch, channel, channel, Out(x.shape)),
        "batch_norm_backward_weight": (dy, x, *of_batch, channel),
        "batch_norm_backward_bias": (dy, channel),
        "batch_norm_eval_forward": (x, weight, bias, *of_batch, Out(x.shape)),
        "batch_norm_eval_backward_input": (dy, weight, var, EPS, Out(x.shape)),
    }.items():
        found[f"{name}, last"] = name, lay(arguments, "last")
    return found
