"""Adaptive pooling, unpooling, resizing and shuffling, compiled, against the reference.

Bounds: checks_kernels.py. What copies or only adds small whole numbers must agree bit for bit.
"""

import numpy as np
import pytest
from checks_kernels import (
    Out,
    assert_equal,
    assert_near,
    assert_sum,
    both_dtypes,
    both_orders,
    lay,
    normal,
    run,
)

from numcnn.kernels import cpu, reference


def whole(seed, *shape):
    """Return small whole numbers, whose sums are exact."""
    return np.random.default_rng([seed, *shape]).integers(-8, 9, shape).astype(np.float32)


# ---- adaptive pooling -------------------------------------------------------------------------

ADAPTIVE = {
    # name: (N, C, H, W), (OH, OW)
    "dividing": ((2, 3, 4, 6), (2, 3)),
    "rest": ((2, 2, 7, 5), (3, 2)),
    "overlapping": ((1, 2, 9, 10), (4, 7)),
    "more-than-pixels": ((1, 2, 3, 2), (5, 7)),
    "whole-picture": ((2, 3, 5, 4), (1, 1)),
    "as-it-is": ((1, 2, 4, 3), (4, 3)),
    "one-pixel": ((1, 1, 1, 1), (2, 3)),
    "batch-17": ((17, 1, 4, 5), (3, 2)),
    "batch-0": ((0, 2, 4, 5), (3, 2)),
    "vectors-and-a-rest": ((2, 37, 5, 4), (2, 3)),
}
adaptive = pytest.mark.parametrize(("shape", "out"), ADAPTIVE.values(), ids=ADAPTIVE)


def window(o, outputs, size):
    """Return the ends of a window by fractions, not by the kernels' whole numbers."""
    return int(np.floor(o * size / outputs)), int(np.ceil((o + 1) * size / outputs))


def test_the_grid_of_adaptive_pooling_holds_what_it_promises():
    pairs = [pair for shape, out in ADAPTIVE.values() for pair in zip(shape[2:], out, strict=True)]
    assert any(size % count for size, count in pairs)
    assert any(count > size > 1 for size, count in pairs)
    shared = [
        window(o, count, size)[1] - window(o + 1, count, size)[0]
        for size, count in pairs
        for o in range(count - 1)
    ]
    assert {0, 1} <= set(shared), "windows side by side, and windows that share a row"


@both_dtypes
@both_orders
@adaptive
def test_adaptive_avg_pool(shape, out, order, dtype):
    x, dy = normal(1, *shape), normal(2, *shape[:2], *out)
    pixels = [-(-size // count) + 1 for size, count in zip(shape[2:], out, strict=True)]
    seen_by = [-(-count // size) + 1 for size, count in zip(shape[2:], out, strict=True)]
    # terms: those of the sum, and one rounding for the division
    terms = pixels[0] * pixels[1] + 1
    arguments = lay((x, Out(dy.shape)), order)
    assert_sum(cpu, "adaptive_avg_pool2d_forward", arguments, dtype, terms)
    terms = seen_by[0] * seen_by[1] + 1
    arguments = lay((dy, Out(shape)), order)
    assert_sum(cpu, "adaptive_avg_pool2d_backward_input", arguments, dtype, terms)


def test_adaptive_windows_are_those_of_the_formula():
    """Against fractions, and NumPy's mean and max: a formula that is wrong on both floors shows."""
    for size in range(1, 9):
        for count in range(1, 11):
            x = normal(3, 1, 1, size, 2)
            ends = [window(o, count, size) for o in range(count)]
            means = [x[0, 0, first:end].mean() for first, end in ends]
            largest = [x[0, 0, first:end].max() for first, end in ends]
            out = (1, 1, count, 1)
            (y,) = run(cpu, "adaptive_avg_pool2d_forward", (x, Out(out)), np.float64)
            np.testing.assert_allclose(y.ravel(), means, rtol=0, atol=1e-6)
            y, _ = run(
                cpu, "adaptive_max_pool2d_forward", (x, Out(out), Out(out, np.int32)), np.float64
            )
            np.testing.assert_array_equal(y.ravel(), np.array(largest, np.float64))


def check_adaptive_max(x, out, dtype, index=np.int32, order="planes"):
    shape = (*x.shape[:2], *out)
    arguments = lay((x, Out(shape), Out(shape, index)), order)
    assert_equal("adaptive_max_pool2d_forward", arguments, dtype)
    _, argmax = run(reference, "adaptive_max_pool2d_forward", arguments, dtype)
    dy = whole(4, *shape)
    arguments = lay((dy, argmax, Out(x.shape)), order)
    assert_equal("adaptive_max_pool2d_backward_input", arguments, dtype)


@both_dtypes
@both_orders
@pytest.mark.parametrize("data", ["distinct", "ties"])
@adaptive
def test_adaptive_max_pool(shape, out, data, order, dtype):
    x = normal(5, *shape)
    x = np.clip(np.rint(x), -1, 1) if data == "ties" else x
    check_adaptive_max(x, out, dtype, order=order)


@both_dtypes
def test_adaptive_max_pool_of_nan_and_infinity(dtype):
    x = normal(6, 1, 2, 5, 6)
    x[0, 0, 2, 3] = x[0, 0, 4, 1] = np.nan
    x[0, 1] = -np.inf
    check_adaptive_max(x, (3, 4), dtype, np.int64)
    shape = (1, 2, 3, 4)
    arguments = (x, Out(shape), Out(shape, np.int64))
    y, argmax = run(cpu, "adaptive_max_pool2d_forward", arguments, dtype)
    assert np.isnan(y[0, 0]).any()
    assert set(argmax[0, 0][np.isnan(y[0, 0])].tolist()) == {2 * 6 + 3, 4 * 6 + 1}
    assert argmax[0, 1, 0, 0] == 0, "the first of equal ones, infinite or not"


# ---- unpooling --------------------------------------------------------------------------------


def places(kind, shape, out, index):
    """Return indices for numbers of `shape` in planes of `out`."""
    rng = np.random.default_rng(7)
    planes, numbers, pixels = shape[0] * shape[1], shape[2] * shape[3], out[0] * out[1]
    if kind == "apart":
        found = np.array([rng.permutation(pixels)[:numbers] for _ in range(planes)])
    else:
        found = rng.integers(-1 if kind == "nowhere" else 0, min(pixels, 5), (planes, numbers))
    return found.astype(index).reshape(shape)


UNPOOLINGS = {
    "two-by-two": ((2, 3, 2, 3), (4, 6)),
    "rest": ((2, 2, 3, 2), (7, 5)),
    "one-number": ((1, 2, 1, 1), (3, 4)),
    "batch-17": ((17, 1, 2, 3), (4, 7)),
    "batch-0": ((0, 2, 2, 3), (4, 6)),
}


@both_dtypes
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["apart", "together", "nowhere"])
@pytest.mark.parametrize(("shape", "out"), UNPOOLINGS.values(), ids=UNPOOLINGS)
def test_max_unpool(shape, out, kind, index, dtype):
    x, indices = normal(8, *shape), places(kind, shape, out, index)
    large = (*shape[:2], *out)
    arguments = (x, indices, Out(large), Out(large, np.int32))
    assert_equal("max_unpool2d_forward", arguments, dtype)
    _, winner = run(reference, "max_unpool2d_forward", arguments, dtype)
    dy = normal(9, *large)
    assert_equal("max_unpool2d_backward_input", (dy, indices, winner, Out(shape)), dtype)


@both_dtypes
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_the_last_number_with_a_place_stays_and_it_alone_has_a_gradient(module, dtype):
    x = np.array([[[[1, 2, 3], [4, 5, np.nan]]]])
    indices = np.array([[[[3, 0, 3], [-1, 0, 1]]]])
    outputs = Out((1, 1, 2, 2)), Out((1, 1, 2, 2), np.int32)
    y, winner = run(module, "max_unpool2d_forward", (x, indices, *outputs), dtype)
    np.testing.assert_array_equal(y.ravel(), [5, np.nan, 0, 3])
    assert winner.ravel().tolist() == [4, 5, -1, 2]
    dy = np.array([[[[10.0, 20], [30, 40]]]])
    arguments = (dy, indices, winner, Out(x.shape))
    (dx,) = run(module, "max_unpool2d_backward_input", arguments, dtype)
    assert dx.ravel().tolist() == [0, 0, 40, 0, 10, 20]


# ---- resizing ---------------------------------------------------------------------------------

RESIZINGS = {
    # name: (N, C, H, W), (OH, OW), (scale_h, scale_w)
    "twice": ((2, 3, 3, 4), (6, 8), (0.5, 0.5)),
    "half": ((2, 2, 6, 4), (3, 2), (2.0, 2.0)),
    "odd-ratio": ((1, 2, 5, 7), (8, 3), (5 / 8, 7 / 3)),
    "factors": ((1, 2, 6, 3), (10, 7), (1 / 1.7, 1 / 2.4)),
    "as-it-is": ((1, 2, 3, 5), (3, 5), (1.0, 1.0)),
    "one-pixel": ((1, 2, 1, 1), (3, 4), (1 / 3, 0.25)),
    "to-one-pixel": ((1, 2, 5, 4), (1, 1), (5.0, 4.0)),
    "batch-17": ((17, 1, 3, 2), (4, 5), (0.75, 0.4)),
    "batch-0": ((0, 2, 3, 4), (6, 8), (0.5, 0.5)),
}
resizings = pytest.mark.parametrize(("shape", "out", "scales"), RESIZINGS.values(), ids=RESIZINGS)


@both_dtypes
@resizings
def test_upsample_nearest(shape, out, scales, dtype):
    large = (*shape[:2], *out)
    x, dy = normal(10, *shape), whole(11, *large)
    assert_equal("upsample_nearest2d_forward", (x, *scales, Out(large)), dtype)
    assert_equal("upsample_nearest2d_backward_input", (dy, *scales, Out(shape)), dtype)


@both_dtypes
@pytest.mark.parametrize("factor", [1.08, 1.7, 2.3, 3.7, 3.96])
def test_nearest_takes_the_reference_s_pixel_where_rounding_decides(factor, dtype):
    size = 60
    x = np.arange(size, dtype=dtype).reshape(1, 1, 1, size)
    large = (1, 1, 1, int(size * factor))
    assert_equal("upsample_nearest2d_forward", (x, 1.0, 1 / factor, Out(large)), dtype)
    dy = whole(12, *large)
    assert_equal("upsample_nearest2d_backward_input", (dy, 1.0, 1 / factor, Out(x.shape)), dtype)


def check_bilinear(shape, out, align_corners, scales, dtype):
    """Compare bilinear resizing where positions may round.

    A position of up to H pixels goes through three roundings, so a weight is off by 3 eps H at
    most, and a mean by that times the difference of two pixels, 2 max|x|; there are two axes, and
    a few roundings more for the mean itself.
    """
    large = (*shape[:2], *out)
    x, dy = normal(13, *shape), normal(14, *large)
    numbers = (align_corners, *scales)
    unit = (8 + 6 * sum(shape[2:])) * np.finfo(dtype).eps
    for name, given, empty in (("forward", x, large), ("backward_input", dy, shape)):
        arguments = (given, *numbers, Out(empty))
        (expected,) = run(reference, f"upsample_bilinear2d_{name}", arguments, dtype)
        (actual,) = run(cpu, f"upsample_bilinear2d_{name}", arguments, dtype)
        assert actual.dtype == dtype
        # a pixel gets a share of at most every output of its plane
        most = (
            np.abs(x).max(initial=0) if name == "forward" else np.abs(dy).sum((2, 3)).max(initial=0)
        )
        assert_near(actual, expected, unit * most, name)


@both_dtypes
@resizings
def test_upsample_bilinear(shape, out, scales, dtype):
    check_bilinear(shape, out, 0, scales, dtype)
    corners = [
        (size - 1) / (count - 1) if count > 1 else 0.0
        for size, count in zip(shape[2:], out, strict=True)
    ]
    check_bilinear(shape, out, 1, corners, dtype)


@both_dtypes
@pytest.mark.parametrize(
    ("align_corners", "shape", "out", "scales"),
    [
        (0, (2, 3, 3, 5), (6, 20), (0.5, 0.25)),
        (0, (1, 2, 8, 4), (4, 1), (2.0, 4.0)),
        (1, (2, 2, 5, 3), (9, 5), (0.5, 0.5)),
        (1, (1, 2, 3, 9), (5, 3), (0.5, 4.0)),
    ],
)
def test_upsample_bilinear_exactly_where_nothing_rounds(align_corners, shape, out, scales, dtype):
    """Weights are eighths and numbers whole: not a bit may differ."""
    large = (*shape[:2], *out)
    x, dy = whole(15, *shape), whole(16, *large)
    numbers = (align_corners, *scales)
    assert_equal("upsample_bilinear2d_forward", (x, *numbers, Out(large)), dtype)
    assert_equal("upsample_bilinear2d_backward_input", (dy, *numbers, Out(shape)), dtype)


@both_dtypes
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_a_pixel_without_weight_takes_no_part(module, dtype):
    x = np.array([[[[1, np.inf, 3, np.nan]]]])
    same = (x, 0, 1.0, 1.0, Out(x.shape))
    (y,) = run(module, "upsample_bilinear2d_forward", same, dtype)
    np.testing.assert_array_equal(y, x)
    finer = (x, 1, 0.0, 0.5, Out((1, 1, 1, 7)))
    (y,) = run(module, "upsample_bilinear2d_forward", finer, dtype)
    np.testing.assert_array_equal(y.ravel(), [1, np.inf, np.inf, np.inf, 3, np.nan, np.nan])
    dy = np.array([[[[1, np.nan, 2, 3]]]])
    (dx,) = run(
        module, "upsample_bilinear2d_backward_input", (dy, 0, 1.0, 1.0, Out(x.shape)), dtype
    )
    np.testing.assert_array_equal(dx, dy)


# ---- shuffling --------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "factor"),
    [((2, 12, 3, 4), 2), ((1, 18, 2, 3), 3), ((2, 5, 3, 4), 1), ((0, 4, 2, 3), 2)],
)
def test_pixel_shuffle(shape, factor, dtype):
    n, c, h, w = shape
    large = (n, c // factor**2, h * factor, w * factor)
    x, dy = normal(17, *shape), normal(18, *large)
    assert_equal("pixel_shuffle_forward", (x, factor, Out(large)), dtype)
    assert_equal("pixel_shuffle_backward_input", (dy, factor, Out(shape)), dtype)
    # there and back again
    (y,) = run(cpu, "pixel_shuffle_forward", (x, factor, Out(large)), dtype)
    (back,) = run(cpu, "pixel_shuffle_backward_input", (y, factor, Out(shape)), dtype)
    np.testing.assert_array_equal(back, x)


# ---- threads ----------------------------------------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: every kernel of this file, with enough to share."""
    x, small = normal(20, 5, 7, 9, 8), normal(21, 5, 7, 4, 3)
    out, same = Out(small.shape), Out(x.shape)
    argmax = np.random.default_rng(22).integers(0, 72, small.shape).astype(np.int32)
    winner = run(
        reference, "max_unpool2d_forward", (small, argmax, same, Out(x.shape, np.int32)), np.float64
    )[1]
    scales = (9 / 4, 8 / 3)
    channels = normal(23, 5, 8, 3, 4)
    large = normal(24, 5, 2, 6, 8)
    return {
        "adaptive-avg": ("adaptive_avg_pool2d_forward", (x, out)),
        "adaptive-avg-back": ("adaptive_avg_pool2d_backward_input", (small, same)),
        "adaptive-max": (
            "adaptive_max_pool2d_forward",
            (x, out, Out(small.shape, np.int32)),
        ),
        "adaptive-max-back": ("adaptive_max_pool2d_backward_input", (small, argmax, same)),
        "max-unpool": ("max_unpool2d_forward", (small, argmax, same, Out(x.shape, np.int32))),
        "max-unpool-back": ("max_unpool2d_backward_input", (x, argmax, winner, out)),
        "nearest": ("upsample_nearest2d_forward", (x, *scales, out)),
        "nearest-back": ("upsample_nearest2d_backward_input", (small, *scales, same)),
        "bilinear": ("upsample_bilinear2d_forward", (x, 0, *scales, out)),
        "bilinear-back": ("upsample_bilinear2d_backward_input", (small, 0, *scales, same)),
        "pixel-shuffle": ("pixel_shuffle_forward", (channels, 2, Out(large.shape))),
        "pixel-shuffle-back": ("pixel_shuffle_backward_input", (large, 2, Out(channels.shape))),
    }
