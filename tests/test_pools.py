"""Indices and unpooling, adaptive pooling, resizing and shuffling: what users see of them."""

import copy

import numpy as np
import pytest

from numcnn import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    PixelShuffle,
    PixelUnshuffle,
    ReLU,
    Sequential,
    ShapeError,
    Upsample,
    no_grad,
)

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def linked(*arguments, **options):
    """Return a pooling and the unpooling that undoes it."""
    pool = MaxPool2d(*arguments, **options)
    return pool, MaxUnpool2d(*arguments, pool=pool)


# ---- indices ----------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (MaxPool2d(2, 2, 0, 1, True), (2, 3, 5, 6)),
        (MaxPool2d((3, 2), 1, 1, return_indices=True), (2, 3, 5, 6)),
        (MaxPool2d(3, 2, 1, 2, True, True), (1, 2, 8, 9)),
        (AdaptiveMaxPool2d((3, 4), True), (2, 3, 5, 6)),
    ],
    ids=repr,
)
def test_indices_say_where_in_its_plane_each_winner_stands(layer, shape, device):
    layer = copy.deepcopy(layer).to(device)
    x = pictures(*shape)
    y, indices = layer(x)
    assert indices.dtype == np.int64
    assert indices.shape == y.shape == layer.output_shape(shape)
    planes = x.reshape(*shape[:2], -1)
    flat = indices.reshape(*shape[:2], -1)
    np.testing.assert_array_equal(np.take_along_axis(planes, flat, 2).reshape(y.shape), y)
    dx = layer.backward(np.ones_like(y))
    assert dx.sum() == y.size
    assert set(np.flatnonzero(dx[0, 0])) == set(indices[0, 0].ravel())


def test_indices_are_returned_only_where_somebody_asks():
    plain = MaxPool2d(2)
    assert isinstance(plain(pictures(1, 1, 4, 4)), np.ndarray)
    assert plain.indices is None
    assert repr(MaxPool2d(2, return_indices=True)).endswith("stride=(2, 2), return_indices=True)")
    assert repr(AdaptiveMaxPool2d(2, True)).endswith("(output_size=(2, 2), return_indices=True)")


def test_the_fifth_argument_is_return_indices_as_in_pytorch():
    layer = MaxPool2d(2, 2, 0, 1, False, True)
    assert layer.ceil_mode
    assert not layer.return_indices


@pytest.mark.parametrize("make", [MaxPool2d, AdaptiveMaxPool2d])
def test_a_row_of_layers_refuses_one_that_returns_two_arrays(make):
    with pytest.raises(ValueError, match=r"layer 1, .* returns two arrays.*MaxUnpool2d\(..., pool"):
        Sequential(ReLU(), make(2, return_indices=True))


# ---- unpooling --------------------------------------------------------------------------------


@both_devices
def test_unpooling_puts_numbers_back(device):
    x = np.array([[[[1.0, 2, 3, 4], [5, 8, 6, 7], [9, 9, 0, -1], [9, 2, -3, -2]]]])
    y, indices = MaxPool2d(2, return_indices=True).to(device)(x)
    unpool = MaxUnpool2d(2).to(device)
    back = unpool(10 * y, indices)
    expected = [[0, 0, 0, 0], [0, 80, 0, 70], [90, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(back[0, 0], expected)
    dy = np.arange(16.0).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(unpool.backward(dy)[0, 0], [[5, 7], [8, 10]])


@both_devices
def test_a_sequential_unpools_with_the_indices_of_its_own_pooling(device):
    pool, unpool = linked(2)
    model = Sequential(pool, unpool).to(device, "float64")
    for shape in ((2, 3, 4, 6), (1, 1, 5, 7), (3, 1, 4, 7)):  # 5 × 7 also becomes 2 × 3
        x = pictures(*shape, seed=shape[0])
        assert model.output_shape(shape) == shape
        y = model(x)
        assert y.shape == shape
        kept = y != 0
        np.testing.assert_array_equal(y[kept], x[kept])
        assert kept.sum() == shape[0] * shape[1] * (shape[2] // 2) * (shape[3] // 2)
        np.testing.assert_array_equal(model.backward(np.ones(shape)), kept)


def test_shapes_are_known_before_anything_runs():
    pool, unpool = linked(3, 2, 1)
    model = Sequential(pool, unpool, Flatten(), Linear(8 * 9, 2))
    assert model.output_shape((4, 1, 8, 9)) == (4, 2)
    assert MaxUnpool2d(3, 2, 1).output_shape((4, 1, 4, 5)) == (4, 1, 7, 9), "PyTorch's formula"
    # both 8 and 7 rows become 4: an answer about the one must not touch a pass with the other
    pool(pictures(1, 1, 8, 9))
    assert model.output_shape((1, 1, 8, 9)) == (1, 2)
    pool.output_shape((1, 1, 7, 9))
    assert unpool(pictures(1, 1, 4, 5)).shape == (1, 1, 8, 9)


def test_unpooling_is_no_owner_of_the_pooling():
    pool, unpool = linked(2)
    assert list(unpool.layers()) == [unpool]
    model = Sequential(Conv2d(1, 2, 3, padding=1), pool, unpool)
    assert len(list(model.layers())) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_a_copied_network_unpools_with_its_own_pooling():
    model = Sequential(*linked(2))
    x = pictures(1, 1, 4, 4)
    model(x)
    twin = copy.deepcopy(model)
    assert twin[1].pool is twin[0]
    other = pictures(1, 1, 4, 4, seed=2)
    np.testing.assert_array_equal(twin(other), copy.deepcopy(model)(other))
    np.testing.assert_array_equal(model[1](model[0].indices * 0.0 + 1) != 0, model(x) != 0)


def test_unpooling_needs_no_gradients():
    model = Sequential(*linked(2))
    x = pictures(2, 1, 4, 4)
    expected = model(x)
    with no_grad():
        np.testing.assert_array_equal(model(x), expected)
    np.testing.assert_array_equal(model.predict(x), expected.astype(np.float32))


@both_devices
def test_of_numbers_with_one_place_the_last_stays_and_has_the_gradient(device):
    unpool = MaxUnpool2d(2).to(device)
    x = np.array([[[[1.0, 2], [3, 4]]]])
    y = unpool(x, np.array([[[[5, 5], [0, 5]]]]))
    assert y.ravel()[[0, 5]].tolist() == [3, 4]
    assert np.count_nonzero(y) == 2
    dx = unpool.backward(np.full((1, 1, 4, 4), 7.0))
    assert dx.ravel().tolist() == [0, 0, 7, 7]


@both_devices
def test_a_window_that_saw_no_pixel_goes_nowhere(device):
    pool, unpool = linked(2, 1, 1, dilation=3)
    model = Sequential(pool, unpool).to(device)
    y = model(np.array([[[[-1.0, -2], [-3, -4]]]]))  # its taps jump over the picture: -inf
    assert pool.indices.tolist() == [[[[-1]]]]
    assert y.tolist() == [[[[0, 0], [0, 0]]]]
    assert model.backward(np.ones((1, 1, 2, 2))).tolist() == [[[[0, 0], [0, 0]]]]


NUMBERS = np.arange(4.0).reshape(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("indices", "error", "words"),
    [
        (
            [[[[0, 1], [2, 16]]]],
            ValueError,
            r"index 16 lies outside the output of 4×4 pixels.*0 to",
        ),
        (
            [[[[0, 1], [-2, 3]]]],
            ValueError,
            "index -2 lies outside.*give their size as output_size",
        ),
        (
            [[[[0, 1, 2], [3, 4, 5]]]],
            ShapeError,
            r"indices have shape \(1, 1, 2, 3\) and the input",
        ),
        ([[[[0, 1.0], [2, 3]]]], TypeError, "indices must be whole numbers, got dtype float64"),
        (None, TypeError, r"needs indices: layer\(x, indices\).*in a Sequential.*pool="),
    ],
)
def test_indices_that_cant_be_right_are_refused(indices, error, words):
    with pytest.raises(error, match=words):
        MaxUnpool2d(2)(NUMBERS, indices)


def test_indices_of_any_whole_type_will_do_and_are_left_alone():
    expected = MaxUnpool2d(2)(NUMBERS, [[[[0, 3], [9, 15]]]])
    for dtype in (np.int32, np.int64, np.uint8):
        indices = np.array([[[[0, 3], [9, 15]]]], dtype)
        given = indices.copy()
        np.testing.assert_array_equal(MaxUnpool2d(2)(NUMBERS, indices), expected)
        np.testing.assert_array_equal(indices, given)


@pytest.mark.parametrize(
    ("output_size", "words"),
    [
        ((6, 4), r"\(6, 4\) is too far from \(4, 4\); 6 must be more than 2 and less than 6"),
        ((4, 2), "2 must be more than 2"),
        ((4,), r"must be \(height, width\) or \(N, C, height, width\), got \(4,\)"),
        (5, "got 5"),
        ((1, 2, 5, 5), r"begins with other sizes than the input's shape \(1, 1, 2, 2\)"),
    ],
)
def test_output_sizes_that_dont_belong_are_refused(output_size, words):
    with pytest.raises(ShapeError, match=words):
        MaxUnpool2d(2)(NUMBERS, [[[[0, 1], [2, 3]]]], output_size)


def test_an_output_size_is_for_one_pass_only():
    layer = MaxUnpool2d(2)
    assert layer(NUMBERS, [[[[0, 1], [2, 24]]]], (5, 5)).shape == (1, 1, 5, 5)
    assert layer.output_shape((1, 1, 2, 2)) == (1, 1, 4, 4)
    assert layer(NUMBERS, [[[[0, 1], [2, 3]]]]).shape == (1, 1, 4, 4)
    with pytest.raises(ValueError, match="index 24"):
        layer(NUMBERS, [[[[0, 1], [2, 24]]]])


def test_a_pool_that_cant_be_undone_is_refused():
    with pytest.raises(TypeError, match="pool must be the MaxPool2d layer"):
        MaxUnpool2d(2, pool=ReLU())
    for arguments, words in (((3,), "kernel_size"), ((2, 1), "stride"), ((2, 2, 1), "padding")):
        with pytest.raises(ValueError, match=rf"can't undo .*: {words} is .* here, .* there"):
            MaxUnpool2d(*arguments, pool=MaxPool2d(2))


def test_a_pool_that_doesnt_fit_the_moment_is_explained():
    pool, unpool = linked(2)
    with pytest.raises(RuntimeError, match=r"takes the indices of MaxPool2d.* has kept none yet"):
        unpool(NUMBERS)
    pool(pictures(1, 1, 5, 4))
    with pytest.raises(
        ShapeError, match=r"input of shape \(2, 1, 2, 2\), .* \(1, 1, 2, 2\): the layers"
    ):
        unpool(np.ones((2, 1, 2, 2)))
    with pytest.raises(
        ShapeError, match=r"output_size is \(4, 4\), but pool saw pictures of \(5, 4\)"
    ):
        unpool(NUMBERS, output_size=(4, 4))
    assert unpool(NUMBERS, output_size=(5, 4)).shape == (1, 1, 5, 4)
    pool.to("reference")
    with pytest.raises(RuntimeError, match="once this layer is made and both are on their device"):
        unpool(NUMBERS)


def test_unpooling_checks_its_input_like_every_layer():
    with pytest.raises(ShapeError, match="4 axes, got 2 axes"):
        MaxUnpool2d(2)(np.ones((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(ShapeError, match="height: the picture is empty"):
        MaxUnpool2d(2).output_shape((1, 1, 0, 3))
    with pytest.raises(ShapeError, match=r"width: \(1 - 1\)\*2 - 2\*1 \+ 2 = 0 is less than 1"):
        MaxUnpool2d(2, padding=(0, 1)).output_shape((1, 1, 2, 1))
    layer = MaxUnpool2d(2)
    layer(NUMBERS, [[[[0, 1], [2, 3]]]])
    with pytest.raises(ShapeError, match=r"gradient has shape .*\(1, 1, 4, 4\)"):
        layer.backward(NUMBERS)
    with pytest.raises(TypeError, match="real numbers"):
        layer(NUMBERS + 1j, [[[[0, 1], [2, 3]]]])
    with pytest.raises(RuntimeError, match="before forward"):
        MaxUnpool2d(2).backward(np.ones((1, 1, 4, 4)))


# ---- adaptive pooling -------------------------------------------------------------------------


@both_devices
def test_global_pooling_takes_each_channel_as_a_whole(device):
    x = pictures(2, 3, 5, 4)
    mean = AdaptiveAvgPool2d(1).to(device)
    np.testing.assert_allclose(mean(x)[..., 0, 0], x.mean((2, 3)), rtol=0, atol=1e-15)
    np.testing.assert_allclose(mean.backward(np.ones((2, 3, 1, 1))), 1 / 20, rtol=1e-15)
    largest = AdaptiveMaxPool2d((1, 1)).to(device)
    np.testing.assert_array_equal(largest(x)[..., 0, 0], x.max((2, 3)))


@both_devices
@pytest.mark.parametrize("make", [AdaptiveAvgPool2d, AdaptiveMaxPool2d])
def test_none_keeps_a_side_as_it_is(make, device):
    x = pictures(1, 2, 5, 7)
    for size in (None, (None, None)):
        layer = make(size).to(device)
        np.testing.assert_array_equal(layer(x), x)
        np.testing.assert_array_equal(layer.backward(2 * x), 2 * x)
    assert make((None, 3)).output_shape((1, 2, 5, 7)) == (1, 2, 5, 3)
    assert repr(make((None, 3))) == f"{make.__name__}(output_size=(None, 3))"


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        (0, ValueError, "output_size must be at least 1, got 0"),
        ((2, -1), ValueError, r"output_size\[1\] must be at least 1"),
        (2.0, TypeError, "output_size must be a whole number"),
        ((1, 2, 3), ValueError, r"one number or a pair \(height, width\), got \(1, 2, 3\)"),
    ],
)
def test_adaptive_pooling_refuses_sizes_that_are_none(size, error, words):
    for make in (AdaptiveAvgPool2d, AdaptiveMaxPool2d):
        with pytest.raises(error, match=words):
            make(size)


def test_adaptive_pooling_refuses_what_is_no_picture():
    for make in (AdaptiveAvgPool2d, AdaptiveMaxPool2d):
        with pytest.raises(ShapeError, match=r"4 axes, got 3 axes.*x\[None\]"):
            make(2)(np.ones((3, 4, 5)))
        with pytest.raises(ShapeError, match="width: the picture is empty"):
            make(2)(np.ones((1, 3, 4, 0)))
        with pytest.raises(ShapeError, match="has no channels"):
            make(2)(np.ones((1, 0, 4, 5)))


def test_a_summary_says_how_far_adaptive_pooling_sees():
    model = Sequential(Conv2d(1, 2, 3), AdaptiveAvgPool2d((3, 4)), Conv2d(2, 2, 2))
    sees = [row.receptive_field for row in model.summary((1, 9, 13)).rows]
    # 7 × 11 into 3 × 4: windows of 3 rows, and of 3 or 4 columns; at most 3 from one to the next
    assert sees == [(3, 3), (5, 6), (8, 9)]
    whole = Sequential(Conv2d(1, 2, 3), AdaptiveAvgPool2d(1), Flatten(), Linear(2, 3))
    assert [r.receptive_field for r in whole.summary((1, 9, 9)).rows] == [(3, 3), None, None, None]
    assert "all" in str(whole.summary((1, 9, 9)))
    assert AdaptiveMaxPool2d(3).window() is None, "no input is known yet"


def test_a_network_for_pictures_of_any_size():
    model = Sequential(Conv2d(1, 4, 3), ReLU(), AdaptiveAvgPool2d((2, 1)), Flatten(), Linear(8, 3))
    for size in ((5, 7), (9, 4), (3, 3)):
        x = pictures(2, 1, *size)
        assert model(x).shape == (2, 3)
        assert model.backward(np.ones((2, 3))).shape == x.shape


# ---- resizing ---------------------------------------------------------------------------------


@both_devices
def test_nearest_copies_pixels(device):
    x = np.array([[[[1.0, 2], [3, 4]]]])
    layer = Upsample(scale_factor=(2, 1.5)).to(device)
    y = layer(x)
    np.testing.assert_array_equal(y[0, 0], [[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4]])
    dx = layer.backward(np.arange(12.0).reshape(1, 1, 4, 3))
    np.testing.assert_array_equal(dx[0, 0], [[0 + 1 + 3 + 4, 2 + 5], [6 + 7 + 9 + 10, 8 + 11]])


@both_devices
def test_bilinear_takes_means(device):
    x = np.array([[[[0.0, 4], [8, 12]]]])
    edges = Upsample(size=(2, 4), mode="bilinear").to(device)
    np.testing.assert_array_equal(edges(x)[0, 0], [[0, 1, 3, 4], [8, 9, 11, 12]])
    corners = Upsample(size=(3, 3), mode="bilinear", align_corners=True).to(device)
    np.testing.assert_array_equal(corners(x)[0, 0], [[0, 2, 4], [4, 6, 8], [8, 10, 12]])
    dx = corners.backward(np.ones((1, 1, 3, 3)))
    np.testing.assert_array_equal(dx[0, 0], np.full((2, 2), 2.25))


def test_the_factor_counts_and_not_the_ratio_of_sizes():
    x = np.arange(3.0).reshape(1, 1, 1, 3)
    # 3 * 2.4 = 7.2, rounded down 7; steps of 1 / 2.4, or of 3 / 7
    given = Upsample(scale_factor=(1, 2.4), mode="bilinear")(x)
    ratio = Upsample(scale_factor=(1, 2.4), mode="bilinear", recompute_scale_factor=True)(x)
    sized = Upsample(size=(1, 7), mode="bilinear")(x)
    expected = np.clip((np.arange(7) + 0.5) / 2.4 - 0.5, 0, 2)
    np.testing.assert_allclose(given.ravel(), expected, rtol=0, atol=1e-15)
    assert np.abs(given - ratio).max() > 0.02
    np.testing.assert_array_equal(ratio, sized)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_output_of_the_same_size_is_a_copy(mode):
    x = pictures(1, 2, 3, 4)
    x[0, 0, 1, 1], x[0, 1, 0, 2] = np.nan, np.inf
    for layer in (Upsample((3, 4), mode=mode), Upsample(scale_factor=1.2, mode=mode)):
        np.testing.assert_array_equal(layer(x), x)


def test_resizing_says_what_it_sees_and_what_it_leaves_out():
    half = Upsample(scale_factor=0.5)
    assert half.unused((1, 1, 5, 4)) == ([1, 3, 4], [1, 3])
    # the two outputs lie at 0.5 * 4 - 0.5 and 1.5 * 4 - 0.5: between rows 1 and 2, and 5 and 6
    assert Upsample((2, 4), mode="bilinear").unused((1, 1, 8, 4)) == ([0, 3, 4, 7], [])
    assert half.window() == ((1, 1), (2, 2))
    assert Upsample(scale_factor=2).window() is None, "no input is known yet"
    model = Sequential(Conv2d(1, 1, 3), Upsample(None, 0.5, "bilinear"), Conv2d(1, 1, 2))
    sees = [row.receptive_field for row in model.summary((1, 10, 10)).rows]
    assert sees == [(3, 3), (4, 4), (6, 6)]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "needs either size or scale_factor, got size=None and scale_factor=None"),
        ({"size": 3, "scale_factor": 2}, ValueError, "needs either size or scale_factor"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": 2.5}, TypeError, "size must be a whole number"),
        ({"scale_factor": 0}, ValueError, "must be a finite number above 0, got 0"),
        ({"scale_factor": (2, np.inf)}, ValueError, "must be a finite number above 0"),
        ({"scale_factor": (2, 2, 2)}, ValueError, r"a pair \(height, width\), got \(2, 2, 2\)"),
        ({"scale_factor": "two"}, TypeError, "scale_factor must be a number, got 'two'"),
        ({"scale_factor": 2, "mode": "cubic"}, ValueError, "one of 'nearest', 'bilinear', got 'cu"),
        ({"scale_factor": 2, "align_corners": False}, ValueError, "is for mode='bilinear'"),
        ({"size": 2, "recompute_scale_factor": True}, ValueError, "no meaning where size is given"),
    ],
    ids=str,
)
def test_resizing_refuses(arguments, error, words):
    with pytest.raises(error, match=words):
        Upsample(**arguments)


def test_resizing_refuses_what_is_no_picture_and_what_would_be_none():
    with pytest.raises(ShapeError, match=r"width: 4 \* 0.2 = 0.8 is less than 1 pixel"):
        Upsample(scale_factor=(1, 0.2))(np.ones((1, 1, 3, 4)))
    with pytest.raises(ShapeError, match="height: the picture is empty"):
        Upsample(size=3)(np.ones((1, 1, 0, 4)))
    with pytest.raises(ShapeError, match="has no channels"):
        Upsample(size=3)(np.ones((1, 0, 2, 4)))
    with pytest.raises(ShapeError, match=r"x\[None\]"):
        Upsample(size=3)(np.ones((1, 2, 4)))


def test_resizing_shows_how_it_was_made():
    assert repr(Upsample(scale_factor=2)) == "Upsample(scale_factor=(2.0, 2.0), mode='nearest')"
    text = "Upsample(size=(3, 4), mode='bilinear', align_corners=True)"
    assert repr(Upsample((3, 4), mode="bilinear", align_corners=True)) == text


# ---- shuffling --------------------------------------------------------------------------------


@both_devices
def test_shuffling_lays_channels_out_in_squares(device):
    x = pictures(2, 12, 2, 5)
    y = PixelShuffle(2).to(device)(x)
    expected = x.reshape(2, 3, 2, 2, 2, 5).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 4, 10)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(PixelUnshuffle(2).to(device)(y), x)


@both_devices
def test_the_two_shuffles_are_each_others_backward(device):
    x, dy = pictures(1, 9, 2, 3), pictures(1, 1, 6, 9, seed=2)
    there, back = PixelShuffle(3).to(device), PixelUnshuffle(3).to(device)
    y = there(x)
    np.testing.assert_array_equal(there.backward(dy), back(dy))
    np.testing.assert_array_equal(back.backward(x), y)
    assert there(np.empty((0, 9, 2, 3))).shape == (0, 1, 6, 9)
    assert there.backward(np.empty((0, 1, 6, 9))).shape == (0, 9, 2, 3)


def test_shuffling_refuses_what_doesnt_divide():
    with pytest.raises(ShapeError, match=r"3\*3 = 9, which doesn't divide the 8 channels"):
        PixelShuffle(3)(np.ones((1, 8, 2, 2)))
    with pytest.raises(ShapeError, match=r"squares of 2×2; the width 5 of .* is no multiple of 2"):
        PixelUnshuffle(2)(np.ones((1, 1, 4, 5)))
    with pytest.raises(ValueError, match="upscale_factor must be at least 1"):
        PixelShuffle(0)
    with pytest.raises(TypeError, match="downscale_factor must be a whole number"):
        PixelUnshuffle(2.0)
    assert PixelUnshuffle(3).window() == ((3, 3), (3, 3))
    assert repr(PixelShuffle(2)) == "PixelShuffle(upscale_factor=2)"
    assert repr(PixelUnshuffle(2)) == "PixelUnshuffle(downscale_factor=2)"
