"""Operations with the ReLU behind them, against the reference and against the two one by one.

Bounds: |max(a, 0) - max(b, 0)| <= |a - b|, so a fused forward function is held to the bound of the
operation alone; a gradient to that of the operation alone for dz, which is dy where the unit was
on (``checks_kernels.py``, ``checks_norms.py``, ``numcnn/error_bounds.py``). Where both use one
algorithm, as they do on the CPU, not a bit may differ from the two one behind the other.
"""

import functools

import numpy as np
import pytest
from checks_kernels import (
    LastOut,
    Out,
    assert_near,
    both_dtypes,
    both_orders,
    channels_last,
    lay,
    normal,
    run,
)
from checks_norms import BATCH, Double, bound, call, magnitudes
from numba.core import config
from test_kernels_cpu import GEOMETRIES, Geometry
from test_kernels_norms import (
    EPS,
    batch,
    batch_moments,
    batches,
    kinds,
    statistics,
)

from numcnn.error_bounds import OPERATIONS, conv2d_bound, conv2d_exact
from numcnn.kernels import cpu, reference
from numcnn.kernels.cpu import (
    conv2d,
    conv2d_direct,
    conv2d_grouped,
    conv2d_loops,
    conv2d_winograd,
)

compiled = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="vector registers exist in compiled code only"
)

# ---- convolution ------------------------------------------------------------------------------

# Enough channels and tiles for Winograd's algorithm, whose last vectors and tiles aren't whole.
WINOGRAD = {
    "winograd": Geometry(13, 66, 67, (5, 6), (3, 3), (1, 1), (1, 1, 1, 1)),
    "winograd-unpadded": Geometry(25, 64, 72, (5, 7), (3, 3)),
    "winograd-five-taps": Geometry(6, 65, 66, (6, 7), (5, 5), (1, 1), (2, 2, 2, 1)),
    "winograd-uneven-padding": Geometry(25, 56, 60, (6, 4), (3, 3), (1, 1), (2, 0, 1, 1)),
}
EVEN = {"even-kernel": Geometry(2, 3, 5, (6, 7), (4, 2), (1, 1), (1, 0, 2, 1))}
DIRECT = GEOMETRIES | EVEN
ORDERS = ("planes", "last", "mixed")
in_every_order = pytest.mark.parametrize("order", ORDERS)
each_operation = pytest.mark.parametrize("operation", [*OPERATIONS, "backward_bias"])


def is_on(shape):
    """Return an output of a ReLU: about half of it 0."""
    return np.maximum(normal(5, *shape), 0)


def arrays_of(geometry, operation):
    """Return the arrays that the kernel takes, y left out, and the shape of what it writes."""
    x, weight, bias, dy = geometry.arrays()
    return {
        "forward": ((x, weight, bias), dy.shape),
        "backward_input": ((dy, weight), x.shape),
        "backward_weight": ((dy, x), weight.shape),
        "backward_bias": ((dy,), bias.shape),
    }[operation]


def fused_call(geometry, operation, order="planes"):
    """Return name and arguments of a fused function; weights never lie channels last."""
    arrays, shape = arrays_of(geometry, operation)
    numbers = () if operation == "backward_bias" else geometry.numbers
    pictures = [operation != "forward" or i == 0 for i in range(len(arrays))]
    if operation == "backward_input":
        pictures[1] = False
    if operation != "forward":
        arrays = (arrays[0], is_on(arrays[0].shape), *arrays[1:])
        pictures.insert(1, True)
    last = {"planes": (), "last": (0, 1, 2), "mixed": (1, 2)}[order]
    arrays = tuple(
        channels_last(array) if pictures[i] and i in last else array
        for i, array in enumerate(arrays)
    )
    out = Out(shape)
    if order == "last" and operation in ("forward", "backward_input"):
        out = LastOut(shape)
    return f"conv_relu2d_{operation}", (*arrays, *numbers, out)


def chosen(geometry, dtype):
    """Return the module that computes the convolution, all its passes."""
    _, weight, _, dy = geometry.arrays()
    steps = (*geometry.stride, *geometry.dilation, geometry.groups)
    return conv2d.choose(weight.astype(dtype), dy.shape, *steps)


@functools.cache
def exact(geometry, operation):
    """Return what the reference writes in float64."""
    function, arguments = fused_call(geometry, operation)
    (expected,) = run(reference, function, arguments, np.float64)
    assert np.isfinite(expected).all()
    return expected


@functools.cache
def limit_of(geometry, operation, dtype):
    """Return how far from the exact result the convolution of dz may be."""
    arrays, shape = arrays_of(geometry, operation)
    if operation != "forward":
        arrays = (np.where(is_on(arrays[0].shape) > 0, arrays[0], 0), *arrays[1:])
    if operation == "backward_bias":
        places = arrays[0].size // shape[0]
        return (places + 1) * np.finfo(dtype).eps * np.abs(arrays[0]).sum((0, 2, 3), np.float64)
    algorithm = chosen(geometry, dtype).__name__.rpartition("_")[2]
    in_float32 = conv2d_bound(algorithm, operation, arrays, geometry.numbers, shape)
    return in_float32 * (np.finfo(dtype).eps / np.finfo(np.float32).eps)


def one_by_one(geometry, operation, order, dtype):
    """Return what convolution and ReLU of the CPU's floor write, one behind the other."""
    name, arguments = fused_call(geometry, operation, order)
    own = name.replace("conv_relu2d", "conv2d")
    if operation == "forward":
        (z,) = run(cpu, own, arguments, dtype)
        (y,) = run(cpu, "relu_forward", (z.reshape(-1), Out((z.size,))), dtype)
        return y.reshape(z.shape)
    dy, y, *others = arguments
    flat = np.ascontiguousarray(dy).reshape(-1), np.ascontiguousarray(y).reshape(-1)
    (dz,) = run(cpu, "relu_backward_input", (*flat, Out((dy.size,))), dtype)
    dz = dz.reshape(dy.shape)
    return run(cpu, own, (channels_last(dz) if order == "last" else dz, *others), dtype)[0]


def same_bits(one, other):
    """Assert that two arrays hold the same numbers to the bit, the signs of zeros included."""
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    np.testing.assert_array_equal(one, other)
    assert one.tobytes() == other.tobytes()


def test_the_grid_holds_what_it_promises():
    assert all(g.kernel[0] % 2 == g.kernel[1] % 2 == 0 for g in EVEN.values())
    if not config.DISABLE_JIT:
        assert {chosen(g, np.float32) for g in DIRECT.values()} == {conv2d_direct, conv2d_grouped}
        assert {chosen(g, np.float32) for g in WINOGRAD.values()} == {conv2d_winograd}
    assert {chosen(g, np.float64) for g in (DIRECT | WINOGRAD).values()} == {conv2d_loops}


@both_dtypes
@in_every_order
@each_operation
@pytest.mark.parametrize("name", DIRECT)
def test_convolution_and_relu_are_those_of_the_reference(name, operation, order, dtype):
    function, arguments = fused_call(DIRECT[name], operation, order)
    (actual,) = run(cpu, function, arguments, dtype)
    assert actual.dtype == dtype
    assert_near(
        actual, exact(DIRECT[name], operation), limit_of(DIRECT[name], operation, dtype), function
    )
    same_bits(actual, one_by_one(DIRECT[name], operation, order, dtype))


@compiled
@both_dtypes
@in_every_order
@each_operation
@pytest.mark.parametrize("name", WINOGRAD)
def test_winograd_and_relu_are_those_of_the_loops(name, operation, order, dtype):
    geometry = WINOGRAD[name]
    arrays, shape = arrays_of(geometry, operation)
    if operation == "forward":
        expected = np.maximum(conv2d_exact(operation, arrays, geometry.numbers, shape), 0)
    else:
        dz = np.where(is_on(arrays[0].shape) > 0, arrays[0], 0)
        if operation == "backward_bias":
            expected = dz.sum((0, 2, 3), np.float64)
        else:
            expected = conv2d_exact(operation, (dz, *arrays[1:]), geometry.numbers, shape)
    function, arguments = fused_call(geometry, operation, order)
    (actual,) = run(cpu, function, arguments, dtype)
    assert_near(actual, expected, limit_of(geometry, operation, dtype), function)
    same_bits(actual, one_by_one(geometry, operation, order, dtype))


@both_dtypes
@pytest.mark.parametrize("order", ["planes", "last"])
@pytest.mark.parametrize("name", ["plain", "many-filters", "rows-left-over"])
def test_a_nan_passes_the_unit_of_a_convolution_in_both_directions(name, order, dtype):
    """NaN in x, in dy where the unit was on, and in y; but not in dy where it was off."""
    geometry = GEOMETRIES[name]
    x, weight, bias, dy = geometry.arrays()
    x[0, 1, 1, 1] = np.nan
    y = is_on(dy.shape)
    (first, second, third), off = np.argwhere(y > 0)[[0, 7, -1]], np.argwhere(y == 0)[2]
    dy[tuple(first)] = np.nan
    dy[tuple(off)] = np.nan
    y[tuple(second)] = np.nan
    dy[tuple(third)] = y[tuple(third)] = np.nan
    lain = channels_last if order == "last" else np.ascontiguousarray
    given = lain(dy), lain(y)
    calls = {
        "forward": (lain(x), weight, bias, *geometry.numbers, Out(dy.shape)),
        "backward_input": (*given, weight, *geometry.numbers, Out(x.shape)),
        "backward_weight": (*given, geometry.arrays()[0], *geometry.numbers, Out(weight.shape)),
        "backward_bias": (*given, Out(bias.shape)),
    }
    for operation, arguments in calls.items():
        function = f"conv_relu2d_{operation}"
        if order == "last":
            planes = [
                np.ascontiguousarray(a) if isinstance(a, np.ndarray) else a for a in arguments
            ]
        else:
            planes = arguments
        (expected,) = run(reference, function, planes, dtype)
        (actual,) = run(cpu, function, arguments, dtype)
        assert 0 < np.isnan(expected).sum() < expected.size or operation == "backward_weight"
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected), function)


@compiled
def test_a_nan_where_the_unit_was_off_reaches_nothing():
    """Winograd's tiles would spread it; masked, it must be gone before a tile is turned."""
    geometry = WINOGRAD["winograd"]
    x, weight, bias, dy = geometry.arrays()
    y = is_on(dy.shape)
    dy[y == 0] = np.nan
    calls = {
        "input": (dy, y, weight, *geometry.numbers, Out(x.shape)),
        "weight": (dy, y, x, *geometry.numbers, Out(weight.shape)),
        "bias": (dy, y, Out(bias.shape)),
    }
    for written, arguments in calls.items():
        (actual,) = run(cpu, f"conv_relu2d_backward_{written}", arguments, np.float32)
        assert np.isfinite(actual).all()
    x[1, 2, 3, 4] = np.nan
    arguments = (x, weight, bias, *geometry.numbers, Out(dy.shape))
    (actual,) = run(cpu, "conv_relu2d_forward", arguments, np.float32)
    assert np.isnan(actual[1, :, 2:5, 3:6]).all()
    assert np.isfinite(actual[[0, *range(2, 13)]]).all()


# ---- batch normalisation ------------------------------------------------------------------------


def backward_arguments(kind, shape):
    """Return the arguments of the gradient, and dz."""
    x, dy, weight, _ = batch(kind, shape)
    y = is_on(shape)
    of_batch = (*map(Double, batch_moments(kind, shape)), EPS)
    sums = Out(weight.shape), Out(weight.shape)
    return (dy, y, x, weight, *of_batch, *sums, Out(shape)), np.where(y > 0, dy, 0)


@both_dtypes
@both_orders
@kinds
@batches
def test_batch_norm_and_relu_forward(shape, kind, order, dtype):
    x, dy, weight, bias = batch(kind, shape)
    sizes = magnitudes(x, dy, weight[:, None], bias[:, None], BATCH, EPS, dtype)
    arguments = (x, weight, bias, EPS, *statistics((shape[1],)), Out(shape))
    *_, expected = call(reference, "batch_norm_relu_forward", arguments, np.float64)
    arguments = lay(arguments, order)
    mean, var, y = call(cpu, "batch_norm_relu_forward", arguments, dtype)
    assert_near(y, expected, bound(shape[0] * shape[2], dtype, sizes["y"]))
    *alone, z = call(cpu, "batch_norm_forward", arguments, dtype)
    same_bits(mean, alone[0])
    same_bits(var, alone[1])
    (expected,) = run(cpu, "relu_forward", (z.reshape(-1), Out((z.size,))), dtype)
    same_bits(y, expected.reshape(shape))


@both_dtypes
@both_orders
@kinds
@batches
def test_batch_norm_and_relu_backward(shape, kind, order, dtype):
    name = "batch_norm_relu_backward_input"
    arguments, dz = backward_arguments(kind, shape)
    x, _, weight, bias = batch(kind, shape)
    sizes = magnitudes(x, dz, weight[:, None], bias[:, None], BATCH, EPS, dtype)
    expected = call(reference, name, arguments, np.float64)
    actual = call(cpu, name, lay(arguments, order), dtype)
    count = shape[0] * shape[2]
    for got, want, of in zip(actual, expected, ("dweight", "dbias", "dx"), strict=True):
        assert got.dtype == dtype
        assert np.isfinite(want).all()
        assert_near(got, want, bound(count, dtype, sizes[of]), of)
    if order == "planes":
        return  # there the compiler's loops differ in the last bit where arrays lie side by side
    alone = lay((dz.astype(np.float32), *arguments[2:]), order)
    for got, want in zip(actual, call(cpu, name.replace("_relu", ""), alone, dtype), strict=True):
        same_bits(got, want)


@both_dtypes
@both_orders
def test_a_nan_passes_the_unit_of_a_normalisation_in_both_directions(order, dtype):
    shape = (4, 5, 7)
    x, dy, weight, bias = batch("near", shape)
    x[2, 1, 3] = np.nan
    arguments = lay((x, weight, bias, EPS, *statistics((5,)), Out(shape)), order)
    mean, var, y = call(cpu, "batch_norm_relu_forward", arguments, dtype)
    for got in (mean, var):
        assert np.isnan(got).tolist() == [False, True, False, False, False]
    assert np.isnan(y).all(axis=(0, 2)).tolist() == [False, True, False, False, False]
    assert np.isnan(y).sum() == 28
    (dy, y, x, *others), _ = backward_arguments("near", shape)
    on, off = np.argwhere(y[:, 0] > 0)[3], np.argwhere((y[:, 2] == 0) & (y[:, 3] == 0))[3]
    dy[on[0], 0, on[1]] = np.nan  # comes through
    dy[off[0], 2, off[1]] = np.nan  # doesn't
    y[off[0], 3, off[1]] = np.nan  # lets dy through
    name = "batch_norm_relu_backward_input"
    expected = call(reference, name, (dy, y, x, *others), dtype)
    actual = call(cpu, name, lay((dy, y, x, *others), order), dtype)
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.isnan(actual[0]).tolist() == [True, False, False, False, False]
    without = call(reference, name, (dy, is_on(shape), x, *others), dtype)
    assert abs(expected[1][3] - without[1][3]) > 1e-3, "the NaN in y must have switched dy on"
    np.testing.assert_allclose(actual[1][3], expected[1][3], rtol=1e-5)


# ---- threads ------------------------------------------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    geometries = {name: GEOMETRIES[name] for name in ("all-different", "many-filters", "batch-17")}
    if not config.DISABLE_JIT:  # too much for loops that aren't compiled
        geometries |= WINOGRAD
    cases = {}
    for name, geometry in geometries.items():
        for order in ("planes", "last"):
            for operation in (*OPERATIONS, "backward_bias"):
                call = fused_call(geometry, operation, order)
                cases[f"{call[0]}, {name}, {order}"] = call
    for size, order in ((37, "planes"), (937, "last")):
        x, dy, y = normal(1, 5, 7, size), normal(2, 5, 7, size), is_on((5, 7, size))
        weight, bias, var, channel = normal(3, 7), normal(4, 7), np.abs(normal(5, 7)) + 1, Out((7,))
        given = {
            "forward": (x, weight, bias, EPS, channel, channel, Out(x.shape)),
            "backward_input": (
                *(dy, y, x, weight, bias, var, EPS, channel, channel),
                Out(x.shape),
            ),
        }
        for operation, arguments in given.items():
            function = f"batch_norm_relu_{operation}"
            cases[f"{function}, {order}"] = function, lay(arguments, order)
    return cases
