"""Padding, transposed convolution and local connections: facts, laws, words, initial values."""

import math
import re

import numpy as np
import pytest

from numcnn import (
    CircularPad2d,
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    LocallyConnected2d,
    MaxPool2d,
    ReflectionPad2d,
    ReLU,
    ReplicationPad2d,
    Sequential,
    ShapeError,
    ZeroPad2d,
    init,
)

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])
MODES = {
    "zeros": ZeroPad2d,
    "reflect": ReflectionPad2d,
    "replicate": ReplicationPad2d,
    "circular": CircularPad2d,
}
PADS = [*MODES.values(), lambda padding: ConstantPad2d(padding, 0.5)]


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def pairs(rng, least, most):
    return tuple(int(n) for n in rng.integers(least, most + 1, 2))


def says(error, *words):
    text = str(error.value)
    for word in words:
        assert word in text, f"{word!r} is missing in: {text}"
    assert "\n" not in text


# ---- padding ------------------------------------------------------------------------------------


@both_devices
def test_padding_of_a_small_picture(device):
    x = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    expected = {
        ZeroPad2d((1, 2, 0, 1)): [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 0, 0], [0] * 6],
        ConstantPad2d((1, 0, 1, 0), 7): [[7] * 4, [7, 1, 2, 3], [7, 4, 5, 6]],
        ReflectionPad2d((2, 1, 1, 0)): [
            [6, 5, 4, 5, 6, 5],
            [3, 2, 1, 2, 3, 2],
            [6, 5, 4, 5, 6, 5],
        ],
        ReplicationPad2d((0, 2, 0, 2)): [[1, 2, 3, 3, 3], *[[4, 5, 6, 6, 6]] * 3],
        CircularPad2d((2, 0, 0, 1)): [[2, 3, 1, 2, 3], [5, 6, 4, 5, 6], [2, 3, 1, 2, 3]],
    }
    for layer, y in expected.items():
        np.testing.assert_array_equal(layer.to(device)(x)[0, 0], y, repr(layer))
        counts = layer.backward(np.ones((1, 1, *np.shape(y))))  # of copies of each pixel
        np.testing.assert_array_equal(
            counts.ravel(), [np.sum(np.equal(y, number)) for number in range(1, 7)], repr(layer)
        )


@both_devices
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [(2, 1), "same"], ids=str)
def test_a_padded_convolution_is_padding_and_convolution(padding, mode, device):
    options = {"dilation": (1, 3), "groups": 2, "dtype": "float64"}
    layer = Conv2d(4, 6, (4, 2), padding=padding, padding_mode=mode, **options).to(device)
    layer.reseed(1)
    (top, bottom), (left, right) = layer.pads
    plain = Conv2d(4, 6, (4, 2), **options)
    plain.load_state_dict(layer.state_dict())
    both = Sequential(
        MODES[mode]((left, right, top, bottom)), plain, device=device, dtype="float64"
    )
    x = normal(1, 2, 4, 5, 6)
    y = layer(x)
    dy = normal(2, *y.shape)
    # sums of at most 17 products of size 10; a pixel has at most 9 copies
    np.testing.assert_allclose(y, both(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), both.backward(dy), rtol=0, atol=1e-12)
    for ours, theirs in zip(layer.parameters(), both.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=0, atol=1e-12)


# ---- transposed convolution -------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("number", range(20))
def test_a_transposed_convolution_is_the_adjoint_of_the_convolution(number, device):
    """<conv x, y> = <x, conv_transpose y> for any geometry, with one weight for both.

    Each side adds up the same n products x weight y; of their absolute sum M, any order keeps
    n eps at most, here below 1e4 · 2.3e-16.
    """
    rng = np.random.default_rng(number)
    groups = int(rng.integers(1, 4))
    channels, filters = (groups * int(rng.integers(1, 4)) for _ in "io")
    kernel, stride, dilation = pairs(rng, 1, 4), pairs(rng, 1, 3), pairs(rng, 1, 3)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(min(p, r - 1) for p, r in zip(pairs(rng, 0, 3), reach, strict=True))
    sides = [
        max(1, r - 2 * p) + int(rng.integers(0, 5)) for r, p in zip(reach, padding, strict=True)
    ]
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    conv = Conv2d(channels, filters, kernel, **geometry, bias=False, dtype="float64")
    # what a stride leaves over at the bottom and right is what output_padding gives back
    rest = [(n + 2 * p - r) % s for n, p, r, s in zip(sides, padding, reach, stride, strict=True)]
    geometry["output_padding"] = tuple(rest)
    back = ConvTranspose2d(filters, channels, kernel, **geometry, bias=False, dtype="float64")
    conv.to(device).reseed(number)
    back.to(device).weight.data = conv.weight.data
    x = rng.standard_normal((2, channels, *sides))
    y = rng.standard_normal(conv.output_shape(x.shape))
    assert back.output_shape(y.shape) == x.shape
    forth, home = np.sum(conv(x) * y), np.sum(x * back(y))
    conv.weight.data = np.abs(conv.weight.data)
    size = np.sum(conv(np.abs(x)) * np.abs(y))
    assert size > 0
    assert abs(forth - home) <= 1e-12 * size
    # and so the backward pass of each is the forward pass of the other
    conv.weight.data = back.weight.data
    conv(x)
    np.testing.assert_array_equal(conv.backward(y), back(y))
    np.testing.assert_array_equal(back.backward(x), conv(x))


@both_devices
def test_each_pixel_draws_its_filter(device):
    layer = ConvTranspose2d(1, 1, (2, 3), stride=(2, 3), dtype="float64").to(device)
    layer.weight.data = kernel = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    layer.bias.data = [10.0]
    x = np.array([[1.0, -2], [0, 3]])
    np.testing.assert_array_equal(layer(x[None, None])[0, 0], 10 + np.kron(x, kernel[0, 0]))


def test_output_padding_tells_sizes_apart_that_a_stride_makes_one():
    for size in (7, 8):
        small = Conv2d(1, 1, 3, stride=2, padding=1).output_shape((1, 1, size, size))
        assert small == (1, 1, 4, 4)
        back = ConvTranspose2d(1, 1, 3, 2, 1, output_padding=size - 7)
        assert back.output_shape(small) == (1, 1, size, size)


@pytest.mark.parametrize(
    ("shape", "options", "rows", "columns"),
    [
        ((1, 1, 4, 5), {"kernel_size": 1, "padding": (1, 2)}, [0, 3], [0, 1, 3, 4]),
        ((1, 1, 4, 5), {"kernel_size": (3, 2), "stride": 2, "padding": (2, 2)}, [], [0, 4]),
        ((1, 1, 3, 3), {"kernel_size": 2}, [], []),
    ],
    ids=str,
)
def test_pixels_whose_filter_is_cut_off_have_no_gradient(shape, options, rows, columns):
    layer = ConvTranspose2d(1, 1, **options, dtype="float64")
    assert layer.unused(shape) == (rows, columns)
    init.ones_(layer.weight)
    y = layer(np.zeros(shape))
    dx = layer.backward(np.ones(y.shape))[0, 0]
    assert np.flatnonzero((dx == 0).all(axis=1)).tolist() == rows
    assert np.flatnonzero((dx == 0).all(axis=0)).tolist() == columns


# ---- locally connected ------------------------------------------------------------------------


def test_what_sharing_saves():
    shared = Conv2d(3, 5, 5)
    local = LocallyConnected2d(3, 5, 32, 5)
    assert sum(p.size for p in shared.parameters()) == 380
    assert sum(p.size for p in local.parameters()) == (75 + 1) * 5 * 28 * 28 == 297_920
    assert local.macs((1, 3, 32, 32)) == shared.macs((1, 3, 32, 32))
    (row,) = Sequential(LocallyConnected2d(3, 5, 32, 5, stride=3)).summary((3, 32, 32)).rows
    assert row.note == ""
    assert row.receptive_field == (5, 5)
    (row,) = Sequential(LocallyConnected2d(3, 5, 32, 4, stride=3)).summary((3, 32, 32)).rows
    assert row.note == "unused input: row 31, column 31"


@both_devices
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": (2, 1), "padding": (1, 2)}, {"stride": (2, 3), "bias": False}],
    ids=str,
)
def test_tied_filters_are_a_convolution(options, device):
    """Sums of at most 60 products of size 10: 1e-12 is above their rounding, 1e-13."""
    local = LocallyConnected2d(2, 3, (6, 7), (3, 2), **options, dtype="float64").to(device)
    shared = Conv2d(2, 3, (3, 2), **options, dtype="float64").to(device)
    shared.reseed(1)
    places = local.weight.shape[4:]
    weight = shared.weight.data[..., None, None]
    local.weight.data = np.broadcast_to(weight, local.weight.shape)
    if local.bias is not None:
        local.bias.data = np.broadcast_to(shared.bias.data[:, None, None], local.bias.shape)
    x = normal(1, 4, 2, 6, 7)
    y = local(x)
    assert y.shape[2:] == places
    dy = normal(2, *y.shape)
    np.testing.assert_allclose(y, shared(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(local.backward(dy), shared.backward(dy), rtol=0, atol=1e-12)
    # a filter that is shared has the sum of the gradients of its copies
    for ours, theirs in zip(local.parameters(), shared.parameters(), strict=True):
        total = ours.grad.sum(axis=(-2, -1))
        np.testing.assert_allclose(total, theirs.grad, rtol=0, atol=1e-12)


@both_devices
def test_every_place_has_its_own_filter(device):
    layer = LocallyConnected2d(1, 1, (2, 3), 1, dtype="float64").to(device)
    layer.weight.data = np.arange(6.0).reshape(1, 1, 1, 1, 2, 3)
    layer.bias.data = 10 * np.arange(6.0).reshape(1, 2, 3)
    y = layer(np.full((1, 1, 2, 3), 3.0))
    np.testing.assert_array_equal(y.ravel(), 13 * np.arange(6.0))


# ---- initial values: those of the transposed layer are compared in test_oracle_init.py ----------


def test_fans_of_filters_that_are_not_shared():
    assert init.fans((5, 3, 4, 2, 28, 27)) == (3 * 8, 5 * 8) == init.fans((5, 3, 4, 2))
    assert init.fans((5, 3, 4, 2, 6)) == (3 * 48, 5 * 48)  # three axes of taps, as PyTorch
    assert init.fans(ConvTranspose2d(12, 8, (3, 2), groups=4).weight.shape) == (2 * 6, 12 * 6)


def test_initial_values_of_local_filters_are_those_of_a_convolution():
    """Drawn evenly from ±1/√fan_in: all inside, and the mean square within six deviations."""
    bound = 1 / math.sqrt(3 * 4 * 2)
    layer = LocallyConnected2d(3, 6, (20, 21), (4, 2), dtype="float64")
    layer.reseed(1)
    for parameter in layer.parameters():
        values = parameter.data
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.99 * bound
        six = 6 * bound**2 * math.sqrt(4 / 45 / values.size)
        assert abs(np.mean(values**2) - bound**2 / 3) < six
    init.kaiming_uniform_(layer.weight, nonlinearity="relu", rng=np.random.default_rng(1))
    largest = np.abs(layer.weight.data).max()
    assert 0.99 * math.sqrt(6 / 24) < largest <= math.sqrt(6 / 24)


# ---- in a network -----------------------------------------------------------------------------


CHAINS = {
    "transposed": [ConvTranspose2d(1, 1, (4, 3), stride=2, padding=1)],
    "dilated": [ConvTranspose2d(1, 1, 3, stride=(2, 4), dilation=(3, 1))],
    "gaps between filters": [ConvTranspose2d(1, 1, 2, stride=3), Conv2d(1, 1, (2, 3))],
    "then convolved": [ConvTranspose2d(1, 1, 3, stride=2), Conv2d(1, 1, (3, 4), stride=2)],
    "down and up": [Conv2d(1, 1, 3, stride=2), ConvTranspose2d(1, 1, 4, stride=2)],
    "down, up and on": [
        Conv2d(1, 1, 3, stride=2),
        ConvTranspose2d(1, 1, 4, stride=2),
        Conv2d(1, 1, 3),
    ],
    "up twice": [ConvTranspose2d(1, 1, (4, 5), stride=2), ConvTranspose2d(1, 1, 3, stride=2)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_receptive_field_is_the_most_that_an_output_sees(name):
    model = Sequential(*CHAINS[name], dtype="float64", seed=1)
    x = normal(1, 1, 1, 7, 8)
    y = model(x)
    most = [0, 0]
    for oh, ow in np.ndindex(*y.shape[2:]):
        dy = np.zeros(y.shape)
        dy[0, 0, oh, ow] = 1
        seen = np.argwhere(model.backward(dy)[0, 0] != 0)
        if len(seen):
            extent = np.ptp(seen, axis=0) + 1
            most = [max(a, int(b)) for a, b in zip(most, extent, strict=True)]
    assert model.summary((1, 7, 8)).rows[-1].receptive_field == tuple(most)


def test_macs_count_every_product():
    assert ConvTranspose2d(6, 4, (3, 2), 2, groups=2).macs((5, 6, 3, 4)) == 5 * 12 * 6 * 2 * 6
    assert LocallyConnected2d(2, 3, (5, 6), (3, 2)).macs((4, 2, 5, 6)) == 4 * 3 * 15 * 12
    assert ZeroPad2d(1).macs((1, 2, 3, 4)) == 0


def test_an_autoencoder_learns():
    model = Sequential(
        ReflectionPad2d(1),
        Conv2d(1, 6, 3, stride=2),
        ReLU(),
        LocallyConnected2d(6, 6, 4, 3, padding=1),
        ReLU(),
        ConvTranspose2d(6, 1, 4, stride=2, padding=1),
        dtype="float64",
        seed=1,
    )
    x = normal(1, 8, 1, 8, 8)
    before = np.mean((model(x) - x) ** 2)
    for _ in range(60):
        model.zero_grad()
        model.backward(2 * (model(x) - x) / x.shape[0])
        for parameter in model.parameters():
            parameter.data = parameter.data - 0.01 * parameter.grad
    assert np.mean((model(x) - x) ** 2) < 0.7 * before


@pytest.mark.parametrize(
    "first", [Conv2d(1, 6, 3), ConvTranspose2d(1, 6, 3), LocallyConnected2d(1, 6, 8, 3)], ids=repr
)
@pytest.mark.parametrize(
    "second", [Conv2d(3, 8, 5), ConvTranspose2d(3, 8, 5), LocallyConnected2d(3, 8, 8, 3)], ids=repr
)
@pytest.mark.parametrize("between", [(), tuple(kind(1) for kind in PADS)], ids=["next", "padded"])
def test_neighbours_that_cannot_fit_are_found_at_construction(first, second, between):
    with pytest.raises(ShapeError) as error:
        Sequential(first, *between, second)
    position = 1 + len(between)
    says(error, f"layer 0, {first!r}, gives 6 channels", f"layer {position}, {second!r}, takes 3")


def test_neighbours_that_may_fit_are_left_alone():
    Sequential(Conv2d(1, 6, 5), Flatten(), Linear(3, 2))
    Sequential(Conv2d(1, 6, 5), Linear(3, 2), Conv2d(4, 2, 1))
    Sequential(ConvTranspose2d(1, 6, 5), MaxPool2d(2), LocallyConnected2d(6, 2, 4, 2))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (ZeroPad2d(2), "ZeroPad2d((2, 2, 2, 2))"),
        (ConstantPad2d((1, 2, 3, 4), 5), "ConstantPad2d(padding=(1, 2, 3, 4), value=5.0)"),
        (CircularPad2d([1, 2, 3, 4]), "CircularPad2d((1, 2, 3, 4))"),
        (
            Conv2d(1, 2, 3, padding=1, bias=False, padding_mode="reflect"),
            "Conv2d(1, 2, kernel_size=(3, 3), padding=(1, 1), bias=False, padding_mode='reflect')",
        ),
        (ConvTranspose2d(3, 2, 4), "ConvTranspose2d(3, 2, kernel_size=(4, 4))"),
        (
            ConvTranspose2d(4, 2, 3, (2, 1), 1, (1, 0), 2, False, (1, 2)),
            "ConvTranspose2d(4, 2, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1), "
            "output_padding=(1, 0), dilation=(1, 2), groups=2, bias=False)",
        ),
        (
            LocallyConnected2d(3, 2, 8, (3, 4), bias=False),
            "LocallyConnected2d(3, 2, input_size=(8, 8), kernel_size=(3, 4), bias=False)",
        ),
        (
            LocallyConnected2d(3, 2, (8, 9), 3, 2, 1),
            "LocallyConnected2d(3, 2, input_size=(8, 9), kernel_size=(3, 3), stride=(2, 2), "
            "padding=(1, 1))",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_repr_shows_how_the_layer_was_made(layer, text):
    assert repr(layer) == text


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [ZeroPad2d(1), CircularPad2d(1), ConvTranspose2d(3, 4, 3), LocallyConnected2d(3, 4, 8, 3)],
    ids=repr,
)
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 8, 8), ["4 axes", "got 3 axes: (3, 8, 8)", "needs a batch axis: x[None]"]),
        ((8, 3), ["(N, C, H, W)", "got 2 axes: (8, 3)"]),
    ],
    ids=str,
)
def test_pictures_of_another_rank(layer, shape, words):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros(shape))
    says(error, repr(layer), *words)


@pytest.mark.parametrize(
    "layer", [ConvTranspose2d(3, 4, 3), LocallyConnected2d(3, 4, 8, 3)], ids=repr
)
def test_channels_that_dont_fit(layer):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros((2, 1, 8, 8)))
    says(error, repr(layer), "expects 3 input channels (axis 1), got 1", "(2, 1, 8, 8)")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            ReflectionPad2d((1, 1, 5, 0)),
            ["ReflectionPad2d((1, 1, 5, 0)), height: reflect padding of 5", "of 5", "5 - 1 = 4"],
        ),
        (
            ReflectionPad2d((0, 7, 0, 0)),
            ["width", "7 pixels doesn't fit a picture of 7", "at most 6"],
        ),
        (CircularPad2d((8, 0, 0, 0)), ["width: circular padding of 8", "once, and has 7"]),
        (
            Conv2d(2, 1, 3, padding=5, padding_mode="reflect"),
            ["padding_mode='reflect'), height: reflect padding of 5", "padding of at most 4"],
        ),
        (
            Conv2d(2, 1, (14, 3), padding="same", padding_mode="circular"),
            ["height: circular padding of 7 pixels doesn't fit a picture of 5"],
        ),
        (
            ConvTranspose2d(2, 1, (2, 3), stride=(1, 2), padding=(3, 1), dilation=(1, 2)),
            ["height: padding=3 cuts away", "(5 - 1)*1 - 2*3 + 1*(2 - 1) + 0 + 1 = 0", "less than"],
        ),
        (
            LocallyConnected2d(2, 1, (5, 8), 3),
            ["filters for pictures of (5, 8) pixels", "got (5, 7): input of shape (1, 2, 5, 7)"],
        ),
    ],
    ids=lambda value: repr(value) if not isinstance(value, list) else "",
)
def test_pictures_that_dont_fit(layer, words):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros((1, 2, 5, 7)))
    says(error, type(layer).__name__, *words)


@pytest.mark.parametrize("layer", [*(kind(1) for kind in PADS), ConvTranspose2d(2, 1, 3)], ids=repr)
@pytest.mark.parametrize("shape", [(1, 2, 0, 5), (1, 2, 5, 0)], ids=str)
def test_pictures_without_pixels(layer, shape):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros(shape))
    says(error, "the picture is empty, 0 pixels")


TRANSPOSE = {"in_channels": 4, "out_channels": 6, "kernel_size": 3}
LOCAL = {"in_channels": 3, "out_channels": 6, "input_size": 8, "kernel_size": 3}


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (ZeroPad2d, {"padding": -1}, "padding must be at least 0, got -1"),
        (ZeroPad2d, {"padding": (1, 2, -3, 0)}, "padding top must be at least 0, got -3"),
        (ZeroPad2d, {"padding": (1, 2)}, "one number or four, (left, right, top, bottom)"),
        (Conv2d, TRANSPOSE | {"padding_mode": "mirror"}, "'replicate', 'circular', got 'mirror'"),
        (
            ConvTranspose2d,
            TRANSPOSE | {"output_padding": 2, "stride": 2},
            "output_padding=2 must be smaller than stride=2 or dilation=1",
        ),
        (ConvTranspose2d, TRANSPOSE | {"groups": 3}, "in_channels=4 can't be cut into groups=3"),
        (ConvTranspose2d, TRANSPOSE | {"groups": 4}, "out_channels=6 can't be cut into groups=4"),
        (ConvTranspose2d, TRANSPOSE | {"padding_mode": "circular"}, "must be 'zeros'"),
        (ConvTranspose2d, TRANSPOSE | {"stride": 0}, "stride must be at least 1"),
        (LocallyConnected2d, LOCAL | {"kernel_size": 9}, "a window of 9 pixels is larger than"),
        (LocallyConnected2d, LOCAL | {"input_size": (8, 0)}, "input_size[1] must be at least 1"),
        (LocallyConnected2d, LOCAL | {"padding": -1}, "padding must be at least 0, got -1"),
    ],
    ids=str,
)
def test_arguments_that_make_no_layer(kind, arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        kind(**arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (ZeroPad2d, {"padding": 1.5}, "padding must be a whole number, got 1.5"),
        (ZeroPad2d, {"padding": (1, 2, "3", 4)}, "padding top must be a whole number, got '3'"),
        (ConstantPad2d, {"padding": 1, "value": "one"}, "value must be a number, got 'one'"),
        (ConvTranspose2d, TRANSPOSE | {"padding": "same"}, "padding must be a whole number"),
        (LocallyConnected2d, LOCAL | {"input_size": None}, "input_size must be a whole number"),
    ],
    ids=str,
)
def test_arguments_of_another_type(kind, arguments, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        kind(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        ConvTranspose2d(2, 3, 2),
        LocallyConnected2d(2, 3, (4, 5), 2),
        Conv2d(2, 3, 2, padding=1, padding_mode="circular"),
    ],
    ids=repr,
)
def test_the_input_gradient_can_be_spared(layer):
    layer.to("reference", "float64").reseed(1)
    y = layer(normal(1, 2, 2, 4, 5))
    layer.backward(np.ones(y.shape))
    expected = {name: p.grad for name, p in layer.named_parameters()}
    layer.zero_grad()
    layer.input_gradient = False
    assert layer.backward(np.ones(y.shape)) is None
    for name, parameter in layer.named_parameters():
        np.testing.assert_array_equal(parameter.grad, expected[name], name)
