"""The CUDA kernels of adaptive pooling, unpooling, resizing and shuffling against the reference.

On a GPU or in Numba's simulator (shapes are tiny: every thread is a Python thread). Bounds:
checks_cuda.py. What copies, or adds in the reference's order, must agree bit for bit.
"""

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, integers, random, run_cuda, run_reference

from numcnn import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    MaxPool2d,
    MaxUnpool2d,
    PixelUnshuffle,
    Sequential,
    Upsample,
)

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

ADAPTIVE = {
    # name: (N, C, H, W), (OH, OW)
    "dividing": ((2, 1, 4, 6), (2, 3)),
    "rest": ((1, 2, 7, 5), (3, 2)),
    "overlapping": ((1, 1, 5, 7), (4, 5)),
    "more than pixels": ((1, 2, 3, 2), (5, 7)),
    "whole picture": ((2, 2, 3, 4), (1, 1)),
    "no pictures": ((0, 2, 4, 5), (3, 2)),
}
adaptive = pytest.mark.parametrize("case", ADAPTIVE)


@both_dtypes
@adaptive
def test_adaptive_avg_pool2d(case, dtype):
    shape, out = ADAPTIVE[case]
    dy = random(dtype, *shape[:2], *out, seed=1)
    check("adaptive_avg_pool2d_forward", random(dtype, *shape), Out(dy.shape, dtype), exact=True)
    check("adaptive_avg_pool2d_backward_input", dy, Out(shape, dtype), exact=True)


def test_every_pixel_finds_the_windows_that_see_it():
    """All pairs of sizes: the gather's windows are the scatter's."""
    for size in range(1, 9):
        for count in range(1, 11):
            dy = random(np.float64, 1, 1, count, 1)
            check("adaptive_avg_pool2d_backward_input", dy, Out((1, 1, size, 1), np.float64))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(random, np.float32), (random, np.float64), (integers, np.float32)],
    ids=["f32", "f64", "ties"],
)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@adaptive
def test_adaptive_max_pool2d(case, index, values, dtype):
    shape, out = ADAPTIVE[case]
    x = values(dtype, *shape)
    y = Out((*shape[:2], *out), dtype)
    argmax = Out(y.host.shape, index)
    check("adaptive_max_pool2d_forward", x, y, argmax, exact=True)
    winners = run_reference("adaptive_max_pool2d_forward", (x, y, argmax))[2]
    dy = random(dtype, *winners.shape, seed=1)
    check("adaptive_max_pool2d_backward_input", dy, winners, Out(shape, dtype), exact=True)


def test_adaptive_max_pool2d_nan_wins_and_the_first_of_two():
    x = random(np.float32, 1, 2, 5, 4)
    x[0, 0, 2, 3] = x[0, 0, 3, 1] = np.nan
    x[0, 1] = -np.inf
    shape = (1, 2, 3, 2)
    check("adaptive_max_pool2d_forward", x, Out(shape, np.float32), Out(shape, np.int32))


@both_dtypes
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["apart", "together", "nowhere"])
@pytest.mark.parametrize("pictures", [2, 0])
def test_max_unpool2d(pictures, kind, index, dtype):
    shape, large = (pictures, 3, 2, 3), (pictures, 3, 5, 4)
    rng = np.random.default_rng(1)
    if kind == "apart":
        found = [rng.permutation(20)[:6] for _ in range(pictures * 3)]
    else:
        found = rng.integers(-1 if kind == "nowhere" else 0, 4, (pictures * 3, 6))
    indices = np.array(found, index).reshape(shape)
    arguments = (random(dtype, *shape), indices, Out(large, dtype), Out(large, np.int32))
    check("max_unpool2d_forward", *arguments, exact=True)
    winner = run_reference("max_unpool2d_forward", arguments)[3]
    dy = random(dtype, *large, seed=1)
    check("max_unpool2d_backward_input", dy, indices, winner, Out(shape, dtype), exact=True)


RESIZINGS = {
    # name: (N, C, H, W), (OH, OW), (scale_h, scale_w)
    "twice": ((2, 1, 3, 4), (6, 8), (0.5, 0.5)),
    "half": ((1, 2, 6, 4), (3, 2), (2.0, 2.0)),
    "odd ratio": ((1, 2, 5, 7), (8, 3), (5 / 8, 7 / 3)),
    "factors": ((1, 2, 6, 3), (10, 7), (1 / 1.7, 1 / 2.4)),
    "as it is": ((1, 2, 3, 5), (3, 5), (1.0, 1.0)),
    "one pixel": ((1, 2, 1, 1), (3, 4), (1 / 3, 0.25)),
    "to one pixel": ((1, 2, 5, 4), (1, 1), (5.0, 4.0)),
    "no pictures": ((0, 2, 3, 4), (6, 8), (0.5, 0.5)),
}
resizings = pytest.mark.parametrize("case", RESIZINGS)


@both_dtypes
@resizings
def test_upsample_nearest2d(case, dtype):
    shape, out, scales = RESIZINGS[case]
    dy = random(dtype, *shape[:2], *out, seed=1)
    check(
        "upsample_nearest2d_forward",
        random(dtype, *shape),
        *scales,
        Out(dy.shape, dtype),
        exact=True,
    )
    check("upsample_nearest2d_backward_input", dy, *scales, Out(shape, dtype), exact=True)


@pytest.mark.parametrize("factor", [0.3, 0.7, 1.08, 2.3, 3.7])
def test_nearest_finds_every_copy_where_rounding_decides(factor):
    size = 50
    x = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
    large = (1, 1, 1, int(size * factor))
    numbers = (1.0, 1 / factor)
    check("upsample_nearest2d_forward", x, *numbers, Out(large, np.float32), exact=True)
    dy = integers(np.float32, *large)
    check("upsample_nearest2d_backward_input", dy, *numbers, Out(x.shape, np.float32), exact=True)


@both_dtypes
@pytest.mark.parametrize("align_corners", [0, 1])
@resizings
def test_upsample_bilinear2d(case, align_corners, dtype):
    """Each weight is a product of two numbers that round at the size of a position, 7 at most."""
    shape, out, scales = RESIZINGS[case]
    if align_corners:
        pairs = zip(shape[2:], out, strict=True)
        scales = [(size - 1) / (count - 1) if count > 1 else 0.0 for size, count in pairs]
    numbers = (align_corners, *scales)
    dy = random(dtype, *shape[:2], *out, seed=1)
    x = random(dtype, *shape)
    check("upsample_bilinear2d_forward", x, *numbers, Out(dy.shape, dtype), terms=64)
    check("upsample_bilinear2d_backward_input", dy, *numbers, Out(shape, dtype), terms=64)


@pytest.mark.parametrize("align_corners", [0, 1])
def test_bilinear_finds_every_output_that_saw_a_pixel(align_corners):
    """Whatever the sizes, the weights of an output add up to 1: so does what it gives back."""
    for size in range(1, 8):
        for count in range(1, 10):
            scale = size / count
            if align_corners:
                scale = (size - 1) / (count - 1) if count > 1 else 0.0
            dy = random(np.float64, 1, 1, count, 1)
            dx = Out((1, 1, size, 1), np.float64)
            arguments = (dy, align_corners, scale, 1.0, dx)
            check("upsample_bilinear2d_backward_input", *arguments)
            (found,) = run_cuda("upsample_bilinear2d_backward_input", arguments).values()
            assert abs(found.sum() - dy.sum()) < 1e-13


def test_a_pixel_without_weight_takes_no_part():
    x = np.array([[[[1, np.inf, 3, np.nan]]]])
    check("upsample_bilinear2d_forward", x, 0, 1.0, 1.0, Out(x.shape, np.float64), exact=True)
    check("upsample_bilinear2d_forward", x, 1, 0.0, 0.5, Out((1, 1, 1, 7), np.float64), exact=True)
    check(
        "upsample_bilinear2d_backward_input", x, 0, 1.0, 1.0, Out(x.shape, np.float64), exact=True
    )


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "factor"),
    [((2, 8, 2, 3), 2), ((1, 18, 2, 1), 3), ((1, 5, 3, 2), 1), ((0, 4, 2, 3), 2)],
)
def test_pixel_shuffle(shape, factor, dtype):
    n, c, h, w = shape
    large = (n, c // factor**2, h * factor, w * factor)
    check("pixel_shuffle_forward", random(dtype, *shape), factor, Out(large, dtype), exact=True)
    dy = random(dtype, *large)
    check("pixel_shuffle_backward_input", dy, factor, Out(shape, dtype), exact=True)


# ------------------------------------------------------------------------------- whole layers


def there_and_back():
    pool = MaxPool2d(2)
    return Sequential(pool, MaxUnpool2d(2, pool=pool))


@pytest.mark.parametrize(
    "make",
    [
        there_and_back,
        lambda: Sequential(AdaptiveMaxPool2d((2, 3)), PixelUnshuffle(1)),
        lambda: Sequential(Upsample(scale_factor=1.5), AdaptiveAvgPool2d((None, 2))),
        lambda: Sequential(Upsample((3, 7), mode="bilinear")),
    ],
)
def test_networks_compute_what_the_reference_computes(make):
    """What is added up has 9 terms at most, all below 4: 1e-13 is a hundred roundings."""
    x = random(np.float64, 1, 2, 5, 4)
    slow, model = make().to("reference", "float64"), make().to("cuda", "float64")
    device = model.device
    y = slow(x)
    found = device.to_host(model(device.to_device(x)))
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-13)
    dy = random(np.float64, *y.shape, seed=1)
    found = device.to_host(model.backward(device.to_device(dy)))
    np.testing.assert_allclose(found, slow.backward(dy), rtol=0, atol=1e-13)


def test_indices_on_the_gpu_are_checked_too():
    pool, unpool = MaxPool2d(2, return_indices=True).to("cuda"), MaxUnpool2d(2).to("cuda")
    device = pool.device
    x = random(np.float32, 1, 2, 4, 5)
    y, indices = pool(device.to_device(x))
    back = device.to_host(unpool(y, indices, (4, 5)))
    kept = back != 0
    assert kept.sum() == 8
    np.testing.assert_array_equal(back[kept], x[kept])
    with pytest.raises(ValueError, match="lies outside the output of 4×4"):
        unpool(y, device.to_device(np.full((1, 2, 2, 2), 16)))
    with pytest.raises(TypeError, match="on the GPU and the indices are not"):
        unpool(y, device.to_host(indices))
    other = MaxPool2d(2)
    linked = MaxUnpool2d(2, pool=other).to("cuda")
    other(x)
    with pytest.raises(TypeError, match=r"is on the cuda and .* on the cpu"):
        linked(y)
