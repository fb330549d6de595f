"""normalize(), random_shift(), compose() and one_hot(): the arithmetic and the refusals."""

import numpy as np
import pytest

from numcnn.data import compose, normalize, one_hot, random_shift


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 6)])
def test_each_channel_has_its_own_mean_and_std(shape, dtype):
    xb = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    before = xb.copy()
    mean, std = [0.5, -1.0, 2.0], [2.0, 0.25, 3.0]
    result = normalize(mean, std)(xb, np.random.default_rng(0))
    assert result.dtype == xb.dtype and result.shape == shape
    for channel in range(3):
        expected = (xb[:, channel] - xb.dtype.type(mean[channel])) / xb.dtype.type(std[channel])
        np.testing.assert_array_equal(result[:, channel], expected)
    np.testing.assert_array_equal(xb, before)
    assert not np.shares_memory(result, xb)


def test_its_own_statistics_give_mean_0_and_std_1():
    xb = np.random.default_rng(0).gamma(2, 3, (50, 3, 8, 8))
    result = normalize(xb.mean((0, 2, 3)), xb.std((0, 2, 3)))(xb)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, rtol=1e-12)


def test_one_number_for_all_channels_and_any_shape():
    xb = np.arange(6, dtype=np.float32)
    np.testing.assert_array_equal(normalize(1, 2)(xb), (xb - 1) / 2)
    np.testing.assert_array_equal(
        normalize([1, 2], 2)(np.ones((3, 2, 1))), np.broadcast_to([[[0.0], [-0.5]]], (3, 2, 1))
    )


def test_bytes_become_float32():
    xb = np.array([[[[0, 255]]]], np.uint8)
    result = normalize(127.5, 127.5)(xb)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[[[-1, 1]]]])


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        (0, 0, "std must be positive"),
        (0, [1, -1], "std must be positive"),
        (0, np.inf, "std must be finite"),
        ([0, np.nan], 1, "mean must be finite"),
        ([0, 0], [1, 1, 1], "got 2 and 3"),
        ([], 1, r"mean must .*\(0,\)"),
        (0, [[1]], r"std must .*\(1, 1\)"),
    ],
)
def test_refusals(mean, std, sentence):
    with pytest.raises(ValueError, match=sentence):
        normalize(mean, std)


@pytest.mark.parametrize("shape", [(4, 2, 5), (3,), (4, 1, 5, 5)])
def test_another_number_of_channels(shape):
    with pytest.raises(ValueError, match="normalize has 3 channels; got a batch of shape"):
        normalize([0, 0, 0], 1)(np.zeros(shape))


def test_random_shift_moves_each_picture_as_a_whole():
    rng = np.random.default_rng(0)
    xb = rng.integers(1, 9, (40, 2, 5, 6)).astype(np.float32)
    moved = random_shift(2)(xb, np.random.default_rng(1))
    assert moved.shape == xb.shape
    assert moved.dtype == xb.dtype
    distances = set()
    for before, after in zip(xb, moved, strict=True):
        found = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                expected = np.zeros_like(before)
                expected[:, max(down, 0) : 5 + down, max(right, 0) : 6 + right] = before[
                    :, max(-down, 0) : 5 - down, max(-right, 0) : 6 - right
                ]
                if np.array_equal(after, expected):
                    found.append((down, right))
        assert len(found) == 1
        distances.add(found[0])
    assert len(distances) > 15  # of the 25 that are equally likely


def test_random_shift_follows_its_generator_and_leaves_the_batch_alone():
    xb = np.random.default_rng(0).random((8, 1, 4, 4))
    before = xb.copy()
    first, second, other = (random_shift(1)(xb, np.random.default_rng(k)) for k in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(xb, before)
    np.testing.assert_array_equal(random_shift(0)(xb, np.random.default_rng(0)), xb)


def test_random_shift_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 0"):
        random_shift(-1)
    with pytest.raises(ValueError, match=r"got shape \(3, 4\)"):
        random_shift(1)(np.zeros((3, 4)), np.random.default_rng(0))


def test_compose_goes_from_first_to_last():
    xb = np.random.default_rng(0).random((4, 1, 3, 3))
    both = compose(random_shift(1), normalize(0.5, 2))(xb, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(both, normalize(0.5, 2)(random_shift(1)(xb, rng), rng))
    assert not np.array_equal(both, random_shift(1)(normalize(0.5, 2)(xb), rng))
    drawn = []

    def draw(xb, rng):
        drawn.append(rng.random())
        return xb

    compose(draw, compose(draw))(xb, np.random.default_rng(1))
    assert drawn == np.random.default_rng(1).random(2).tolist()


def test_compose_of_nothing_and_of_no_function():
    xb = np.ones(3)
    np.testing.assert_array_equal(compose()(xb), xb)
    with pytest.raises(TypeError, match=r"transform 1 must be a function .* got 3"):
        compose(normalize(0, 1), 3)


def test_one_hot_has_a_row_for_each_label():
    labels = np.array([[2, 0], [1, 2]], np.uint8)
    rows = one_hot(labels, 4)
    assert rows.shape == (2, 2, 4)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.eye(4)[labels])
    assert one_hot([1], 2, np.float64).dtype == np.float64
    assert one_hot(np.zeros(0, int), 3).shape == (0, 3)


def test_one_hot_refuses():
    with pytest.raises(TypeError, match=r"class numbers \(integers\), got float64"):
        one_hot([0.0, 1.0], 2)
    with pytest.raises(ValueError, match=r"label 3 at labels\[1, 0\] is none of the 3 classes"):
        one_hot([[0], [3]], 3)
    with pytest.raises(ValueError, match="label -1 at"):
        one_hot([-1], 3)
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        one_hot([0], 0)
