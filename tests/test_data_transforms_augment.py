"""Pictures changed at random: what each transform does, that draws differ, and the refusals."""

import numpy as np
import pytest
from scipy import ndimage

from numcnn import DataLoader
from numcnn.data import (
    color_jitter,
    compose,
    cutout,
    normalize,
    random_affine,
    random_crop,
    random_horizontal_flip,
    random_shift,
)

MAKERS = {
    "shift": lambda: random_shift(2),
    "crop": lambda: random_crop(2),
    "crop-reflect": lambda: random_crop(2, "reflect"),
    "flip": random_horizontal_flip,
    "affine": lambda: random_affine(20, 0.1, (0.8, 1.2)),
    "cutout": lambda: cutout(3),
    "jitter": lambda: color_jitter(0.4, 0.4),
    "compose": lambda: compose(random_crop(1), random_horizontal_flip(), cutout(2)),
}
every_transform = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def rng(seed=0):
    return np.random.default_rng(seed)


def pictures(dtype="f4", shape=(40, 2, 5, 6)):
    """Return pictures in which no two numbers are alike, from 1/n to 1, or from 1 to 255."""
    count = int(np.prod(shape))
    values = rng(1).permutation(np.arange(1, count + 1)).reshape(shape)
    if np.dtype(dtype).kind == "f":
        return (values / count).astype(dtype)
    return (values % 255 + 1).astype(dtype)


# ---- what holds for all -------------------------------------------------------------------------


@every_transform
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_shape_dtype_layout_and_the_batch_itself(make, dtype):
    xb = pictures(dtype)
    before = xb.copy()
    after = make()(xb, rng())
    assert after.shape == xb.shape
    assert after.dtype == xb.dtype
    assert after.flags.c_contiguous
    assert not np.shares_memory(after, xb)
    assert not np.array_equal(after, before), "or the test shows nothing"
    np.testing.assert_array_equal(xb, before)


@every_transform
def test_the_generator_decides_everything(make):
    xb, transform = pictures(), make()
    first, second, other = (transform(xb, rng(k)) for k in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@every_transform
def test_each_picture_has_its_own_draw(make):
    xb = np.repeat(pictures(shape=(1, 2, 9, 9)), 32, axis=0)
    after = make()(xb, rng())
    kinds = {picture.tobytes() for picture in after}
    assert len(kinds) >= (2 if make is random_horizontal_flip else 12)


@every_transform
def test_one_picture_and_none(make):
    assert make()(pictures(shape=(1, 3, 4, 7)), rng()).shape == (1, 3, 4, 7)
    assert make()(np.empty((0, 3, 4, 7), np.float32), rng()).shape == (0, 3, 4, 7)


@every_transform
def test_what_is_no_batch_of_pictures_is_refused(make):
    with pytest.raises(ValueError, match=r"takes pictures \(N, C, H, W\); got shape \(3, 4, 4\)"):
        make()(np.zeros((3, 4, 4)), rng())


@every_transform
def test_in_a_loader_the_seed_and_the_epoch_decide(make):
    def epochs():
        loader = DataLoader(pictures(), batch_size=16, seed=3, transform=make())
        return [np.concatenate(list(loader)) for _ in range(2)]

    one, again = epochs(), epochs()
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one[0], one[1])


# ---- crop and flip ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_random_crop_cuts_each_place_of_the_frame(mode):
    xb = pictures(shape=(300, 2, 5, 4))
    framed = np.pad(xb, ((0, 0), (0, 0), (2, 2), (2, 2)), mode)
    places = np.zeros((5, 5), int)
    for frame, after in zip(framed, random_crop(2, mode)(xb, rng()), strict=True):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(frame[:, top : top + 5, left : left + 4], after)
        ]
        assert len(found) == 1
        places[found[0]] += 1
    # 12 expected in each of 25 places: for a fair draw, 0 has probability 25 (24/25)^300 < 2e-4
    assert places.min() > 0


def test_random_crop_with_zeros_is_random_shift():
    xb = pictures()
    np.testing.assert_array_equal(random_crop(3)(xb, rng(7)), random_shift(3)(xb, rng(7)))
    np.testing.assert_array_equal(random_crop(0)(xb, rng()), xb)


def test_random_crop_refuses():
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        random_crop(-1)
    with pytest.raises(TypeError, match="padding must be a whole number"):
        random_crop(1.5)
    with pytest.raises(ValueError, match="mode must be 'constant' or 'reflect', got 'edge'"):
        random_crop(1, "edge")
    with pytest.raises(ValueError, match="can't mirror 4 pixels of pictures of 6×4, which have 3"):
        random_crop(4, "reflect")(np.zeros((1, 1, 6, 4)), rng())
    assert random_crop(3, "reflect")(np.zeros((1, 1, 6, 4)), rng()).shape == (1, 1, 6, 4)


@pytest.mark.parametrize("p", [0, 0.25, 1])
def test_random_horizontal_flip_mirrors_its_share(p):
    xb = pictures(shape=(1000, 1, 2, 3))
    after = random_horizontal_flip(p)(xb, rng())
    kept = (after == xb).all((1, 2, 3))
    mirrored = (after == xb[..., ::-1]).all((1, 2, 3))
    assert (kept ^ mirrored).all()
    # 4 standard deviations of a binomial share
    assert abs(mirrored.mean() - p) <= 4 * np.sqrt(p * (1 - p) / 1000)


@pytest.mark.parametrize("p", [-0.1, 1.5, np.nan])
def test_random_horizontal_flip_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="p is a probability"):
        random_horizontal_flip(p)


# ---- affine -------------------------------------------------------------------------------------


def affine_by_scipy(xb, angles, factors, right, down):
    """Return what `random_affine` must give, one picture and channel at a time."""
    result = np.empty(xb.shape)
    for n in range(len(xb)):
        cos, sin = np.cos(angles[n]), np.sin(angles[n])
        # rows and columns, y down: the inverse of a turn to the right
        matrix = np.array([[cos, -sin], [sin, cos]]) / factors[n]
        middle = (np.array(xb.shape[2:]) - 1) / 2
        offset = middle - matrix @ (middle + np.array([down[n], right[n]]))
        for c in range(xb.shape[1]):
            result[n, c] = ndimage.affine_transform(
                xb[n, c].astype(float), matrix, offset, order=1, mode="grid-constant"
            )
    return result


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("degrees", "translate", "scale"),
    [
        (40, 0.0, (1, 1)),
        ((-170, 170), (0.3, 0.1), (0.6, 1.7)),
        (0, 1.0, (1, 1)),
        (0, 0, (0.2, 5)),
    ],
)
def test_random_affine_is_what_scipy_computes_picture_by_picture(degrees, translate, scale, dtype):
    xb = pictures(dtype, (12, 2, 7, 10))
    draw = rng(4)
    low, high = degrees if isinstance(degrees, tuple) else (-degrees, degrees)
    angles = np.deg2rad(draw.uniform(low, high, 12))
    factors = draw.uniform(*scale, 12)
    share_x, share_y = np.broadcast_to(translate, 2)
    right, down = draw.uniform(-share_x, share_x, 12) * 10, draw.uniform(-share_y, share_y, 12) * 7
    expected = affine_by_scipy(xb, angles, factors, right, down)
    actual = random_affine(degrees, translate, scale)(xb, rng(4))
    # Numbers are in [0, 1], so a place that is wrong by d changes the value by 2 d at most.
    # Places have magnitude up to (7 + 10) / 0.2, and about 10 roundings on either side; the
    # weights and the 3 mixings round 8 times in the dtype.
    places = 2 * 2 * 10 * (7 + 10) / 0.2 * np.finfo(np.float64).eps
    assert np.abs(actual - expected).max() <= places + 8 * np.finfo(dtype).eps
    assert np.abs(actual - xb).max() > 0.1


def test_random_affine_turns_clockwise():
    xb = pictures("f8", (3, 2, 6, 6))
    after = random_affine((90, 90))(xb, rng())
    np.testing.assert_allclose(after, np.rot90(xb, -1, (2, 3)), atol=1e-13)


def test_random_affine_that_changes_nothing_is_exact():
    for dtype in ("f4", "f8", "u1"):
        xb = pictures(dtype)
        np.testing.assert_array_equal(random_affine(0)(xb, rng()), xb)


def test_random_affine_draws_from_its_whole_range():
    # A bright pixel in the middle of a large picture tells where it went.
    xb = np.zeros((400, 1, 21, 41))
    xb[:, :, 10, 20] = 1
    after = random_affine(0, (0.25, 0.2))(xb, rng())
    y, x = np.indices((21, 41))
    assert np.allclose(after.sum((1, 2, 3)), 1)
    went_right = (after * x).sum((1, 2, 3)) - 20
    went_down = (after * y).sum((1, 2, 3)) - 10
    for moved, most in ((went_right, 41 / 4), (went_down, 21 / 5)):
        assert np.abs(moved).max() <= most + 1e-9
        # of 400 even draws one is in the outer 5% on each side but for 0.95^400 ≈ 1e-9
        assert moved.min() < -0.9 * most and moved.max() > 0.9 * most


def test_random_affine_rounds_whole_numbers():
    xb = np.array([[[[10, 21]]]], np.uint8)
    after = random_affine(0, (0.25, 0))(np.repeat(xb, 50, axis=0), rng(2))
    exact = random_affine(0, (0.25, 0))(np.repeat(xb, 50, axis=0).astype(float), rng(2))
    np.testing.assert_array_equal(after, np.rint(exact))
    assert len(np.unique(after)) > 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((-5,), r"degrees must be a range \(lowest, highest\), got \[ 5 -5\]"),
        (((1, 2, 3),), "degrees must be a range"),
        ((np.inf,), "degrees must be a range"),
        ((10, 1.5), "translate is a share of the picture's size, between 0 and 1"),
        ((10, (0.1, -0.1)), "translate is a share"),
        ((10, (0.1, 0.1, 0.1)), "translate is a share"),
        ((10, 0, (2, 1)), "scale must be a range"),
        ((10, 0, (0, 1)), "scale must be above 0"),
        ((10, 0, 2.0), "scale must be a range"),
    ],
)
def test_random_affine_refuses(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        random_affine(*arguments)


# ---- cutout and colours -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_cutout_sets_one_square_to_zero(size):
    xb = pictures(shape=(400, 2, 7, 5))
    after = cutout(size)(xb, rng())
    middles = np.zeros((7, 5), int)
    for before, now in zip(xb, after, strict=True):
        gone = (now == 0).all(axis=0)
        np.testing.assert_array_equal(now, np.where(gone, 0, before))
        found = []
        for middle in np.ndindex(7, 5):
            hole = np.zeros((7, 5), bool)
            top, left = middle[0] - size // 2, middle[1] - size // 2
            hole[max(top, 0) : top + size, max(left, 0) : left + size] = True
            if np.array_equal(gone, hole):
                found.append(middle)
        assert found
        middles[found[0]] += 1
    if size == 1:  # 400 draws leave one of 35 places out with probability 35 (34/35)^400 < 4e-4
        assert middles.min() > 0


def test_cutout_removes_whatever_was_there():
    assert (cutout(50)(np.full((2, 1, 4, 4), np.nan), rng()) == 0).all()
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        cutout(0)
    with pytest.raises(TypeError, match="size must be a whole number"):
        cutout(2.0)


def test_brightness_multiplies_and_cuts_off():
    xb = pictures("f8", (200, 3, 4, 5))
    after = color_jitter(brightness=0.5)(xb, rng())
    at = xb.reshape(200, -1).argmin(axis=1)  # the smallest number, at most 0.6, is never cut off
    factor = (after / xb).reshape(200, -1)[np.arange(200), at][:, None, None, None]
    np.testing.assert_allclose(after, np.minimum(xb * factor, 1), rtol=4 * np.finfo(float).eps)
    assert (after == 1).any()
    assert 0.5 <= factor.min() < 0.52 and 1.45 < factor.max() <= 1.5


def test_contrast_keeps_the_mean_and_spreads_the_rest():
    xb = 0.4 + 0.2 * pictures("f8", (200, 3, 4, 5))  # far from both ends: nothing is cut off
    after = color_jitter(contrast=0.3)(xb, rng())
    mean = xb.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(after.mean((1, 2, 3), keepdims=True), mean, rtol=1e-13)
    factor = (after.std((1, 2, 3)) / xb.std((1, 2, 3)))[:, None, None, None]
    np.testing.assert_allclose(after - mean, factor * (xb - mean), atol=1e-13)
    assert 0.7 <= factor.min() < 0.72 and 1.28 < factor.max() <= 1.3


def test_jitter_of_bytes_rounds_and_stays_in_range():
    xb = pictures("u1", (50, 1, 6, 6))
    after = color_jitter(0.9, 0.9)(xb, rng())
    assert after.max() == 255
    exact = 255 * color_jitter(0.9, 0.9)(xb / 255, rng())
    assert np.abs(after - exact).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(color_jitter()(xb, rng()), xb)


def test_color_jitter_refuses():
    for name in ("brightness", "contrast"):
        for amount in (-0.1, np.nan, np.inf):
            with pytest.raises(ValueError, match=f"{name} must be 0 or more, and finite"):
                color_jitter(**{name: amount})
    after_normalize = compose(normalize(0.5, 0.2), color_jitter(0.1))
    with pytest.raises(ValueError, match=r"numbers from 0 to 1.*; put it before normalize"):
        after_normalize(pictures(), rng())
    with pytest.raises(ValueError, match="or unsigned integers"):
        color_jitter(0.1)(np.zeros((1, 1, 2, 2), np.int64), rng())
