"""What layers promise: shapes, names, modes, gradients that add up, arrays that stay untouched."""

import copy

import numpy as np
import pytest

import numcnn
from numcnn import (
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AlphaDropout,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    CircularPad2d,
    Concat,
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNorm,
    Hardtanh,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocallyConnected2d,
    LocalResponseNorm,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    MaxPool2d,
    MaxUnpool2d,
    PixelShuffle,
    PixelUnshuffle,
    PReLU,
    ReflectionPad2d,
    ReLU,
    ReLU6,
    ReplicationPad2d,
    Residual,
    Sequential,
    ShapeError,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Tanh,
    Upsample,
    ZeroPad2d,
    no_grad,
)
from numcnn.layers import Layer, Parameter


def there_and_back():
    pool = MaxPool2d(2)
    return Sequential(pool, MaxUnpool2d(2, pool=pool))


both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])

# name: (layer, input shape, output shape)
LAYERS = {
    "Conv2d": (lambda: Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1), (2, 2, 6, 5), (2, 3, 3, 6)),
    "ConvTranspose2d": (
        lambda: ConvTranspose2d(3, 2, (3, 2), stride=(2, 1), padding=1, output_padding=(1, 0)),
        (2, 3, 3, 5),
        (2, 2, 6, 4),
    ),
    "LocallyConnected2d": (
        lambda: LocallyConnected2d(2, 3, (5, 4), (3, 2), stride=(2, 1), padding=(1, 0)),
        (2, 2, 5, 4),
        (2, 3, 3, 3),
    ),
    "ZeroPad2d": (lambda: ZeroPad2d((1, 0, 2, 3)), (2, 2, 3, 4), (2, 2, 8, 5)),
    "ConstantPad2d": (lambda: ConstantPad2d(1, 0.5), (2, 2, 3, 4), (2, 2, 5, 6)),
    "ReflectionPad2d": (lambda: ReflectionPad2d((1, 3, 2, 0)), (2, 2, 3, 4), (2, 2, 5, 8)),
    "ReplicationPad2d": (lambda: ReplicationPad2d((1, 3, 2, 0)), (2, 2, 3, 4), (2, 2, 5, 8)),
    "CircularPad2d": (lambda: CircularPad2d((1, 4, 3, 0)), (2, 2, 3, 4), (2, 2, 6, 9)),
    "MaxPool2d": (lambda: MaxPool2d(3, stride=2, padding=1), (2, 2, 6, 5), (2, 2, 3, 3)),
    "AvgPool2d": (lambda: AvgPool2d((2, 3)), (2, 2, 6, 7), (2, 2, 3, 2)),
    "AdaptiveAvgPool2d": (lambda: AdaptiveAvgPool2d((3, 2)), (2, 2, 7, 5), (2, 2, 3, 2)),
    "AdaptiveMaxPool2d": (lambda: AdaptiveMaxPool2d((3, 2)), (2, 2, 7, 5), (2, 2, 3, 2)),
    "MaxUnpool2d": (there_and_back, (2, 2, 5, 6), (2, 2, 5, 6)),
    "Upsample": (lambda: Upsample(None, (2, 1.6), "bilinear"), (2, 2, 3, 4), (2, 2, 6, 6)),
    "PixelShuffle": (lambda: PixelShuffle(2), (2, 8, 2, 3), (2, 2, 4, 6)),
    "PixelUnshuffle": (lambda: PixelUnshuffle(2), (2, 2, 4, 6), (2, 8, 2, 3)),
    "Linear": (lambda: Linear(5, 4), (3, 5), (3, 4)),
    "BatchNorm1d": (lambda: BatchNorm1d(3), (4, 3, 5), (4, 3, 5)),
    "BatchNorm2d": (lambda: BatchNorm2d(3), (2, 3, 5, 4), (2, 3, 5, 4)),
    "LayerNorm": (lambda: LayerNorm((3, 4)), (2, 3, 4), (2, 3, 4)),
    "GroupNorm": (lambda: GroupNorm(2, 4), (3, 4, 2, 5), (3, 4, 2, 5)),
    "LocalResponseNorm": (lambda: LocalResponseNorm(3, 0.5), (2, 5, 3, 4), (2, 5, 3, 4)),
    "Flatten": (lambda: Flatten(), (2, 3, 4), (2, 12)),
    "ReLU": (lambda: ReLU(), (3, 4), (3, 4)),
    "Sigmoid": (lambda: Sigmoid(), (3, 4), (3, 4)),
    "Tanh": (lambda: Tanh(), (3, 4), (3, 4)),
    "LeakyReLU": (lambda: LeakyReLU(0.2), (3, 4), (3, 4)),
    "ELU": (lambda: ELU(0.7), (3, 4), (3, 4)),
    "SELU": (lambda: SELU(), (3, 4), (3, 4)),
    "GELU": (lambda: GELU(), (3, 4), (3, 4)),
    "SiLU": (lambda: SiLU(), (3, 4), (3, 4)),
    "Softplus": (lambda: Softplus(), (3, 4), (3, 4)),
    "Softsign": (lambda: Softsign(), (3, 4), (3, 4)),
    "Softmax": (lambda: Softmax(), (3, 4), (3, 4)),
    "LogSoftmax": (lambda: LogSoftmax(), (3, 4), (3, 4)),
    "Dropout": (lambda: Dropout(0.5), (5, 8), (5, 8)),
    "Dropout2d": (lambda: Dropout2d(0.5), (4, 5, 2, 3), (4, 5, 2, 3)),
    "Identity": (lambda: Identity(), (3, 4), (3, 4)),
    "Residual": (
        lambda: Residual(Sequential(Conv2d(2, 4, 3, padding=1), Tanh()), Conv2d(2, 4, 1)),
        (2, 2, 5, 3),
        (2, 4, 5, 3),
    ),
    "Concat": (
        lambda: Concat(Identity(), Conv2d(2, 3, 1), Sequential(Conv2d(2, 1, 1), Tanh())),
        (2, 2, 3, 4),
        (2, 6, 3, 4),
    ),
    "Dropout1d": (lambda: Dropout1d(0.5), (4, 5, 3), (4, 5, 3)),
    "Dropout3d": (lambda: Dropout3d(0.5), (4, 3, 1, 2, 3), (4, 3, 1, 2, 3)),
    "AlphaDropout": (lambda: AlphaDropout(0.5), (5, 8), (5, 8)),
    "GaussianDropout": (lambda: GaussianDropout(0.5), (5, 8), (5, 8)),
    "GaussianNoise": (lambda: GaussianNoise(0.3), (5, 8), (5, 8)),
    "PReLU": (lambda: PReLU(4), (3, 4, 2), (3, 4, 2)),
    "Step": (lambda: Step(), (3, 4), (3, 4)),
    "Maxout": (lambda: Maxout(5, 4, 3), (3, 5), (3, 4)),
    "Hardtanh": (lambda: Hardtanh(-0.5, 0.7), (3, 4), (3, 4)),
    "ReLU6": (lambda: ReLU6(), (3, 4), (3, 4)),
    "LogSigmoid": (lambda: LogSigmoid(), (3, 4), (3, 4)),
    "Sequential": (lambda: Sequential(Linear(5, 8), ReLU(), Linear(8, 2)), (4, 5), (4, 2)),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def build(name, device="cpu", dtype="float64", seed=1):
    make, shape, _ = LAYERS[name]
    layer = make().to(device, dtype)
    layer.reseed(seed)
    return layer, np.random.default_rng(2).standard_normal(shape)


def upstream(y, seed=3):
    return np.random.default_rng(seed).standard_normal(y.shape)


def test_every_exported_layer_is_tested_here():
    exported = {
        name
        for name in numcnn.__all__
        if isinstance(getattr(numcnn, name), type) and issubclass(getattr(numcnn, name), Layer)
    }
    assert exported - {"Layer"} == set(LAYERS)


@both_devices
@every_layer
def test_shapes_and_dtypes(name, device):
    for dtype in (np.float32, np.float64):
        layer, x = build(name, device, dtype)
        expected = LAYERS[name][2]
        assert layer.output_shape(x.shape) == expected
        y = layer(x)
        assert (y.shape, y.dtype) == (expected, dtype)
        dx = layer.backward(upstream(y))
        assert (dx.shape, dx.dtype) == (x.shape, dtype)
        assert np.isfinite(y).all()
        assert np.isfinite(dx).all()
        for parameter in layer.parameters():
            assert (parameter.grad.shape, parameter.grad.dtype) == (parameter.shape, dtype)
            assert np.isfinite(parameter.grad).all()


@every_layer
def test_the_cpu_computes_what_the_reference_computes(name):
    # Sums of at most 12 terms of size 4 or less, exp of numbers below 4: 1e-12 is 200 times the
    # rounding errors, and far below every difference that a wrong index would make.
    layer, x = build(name)
    slow = copy.deepcopy(layer).to("reference")
    y, expected = layer(x), slow(x)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    dy = upstream(y)
    np.testing.assert_allclose(layer.backward(dy), slow.backward(dy), rtol=0, atol=1e-12)
    for (own, p), (_, q) in zip(layer.named_parameters(), slow.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data, own)
        np.testing.assert_allclose(p.grad, q.grad, rtol=0, atol=1e-12, err_msg=own)


@every_layer
def test_an_array_once_returned_is_never_written_to_again(name):
    layer, x = build(name)
    given = x.copy()
    y = layer(x)
    dx = layer.backward(upstream(y))
    held = {"y": y, "dx": dx} | {n: p.grad for n, p in layer.named_parameters()}
    kept = {n: array.copy() for n, array in held.items()}
    layer(x[::-1] * 2)
    layer.backward(upstream(y, 4))
    layer.zero_grad()
    layer(x[:1])
    for n, array in held.items():
        np.testing.assert_array_equal(array, kept[n], n)
    np.testing.assert_array_equal(x, given, "the input was written to")


@every_layer
def test_the_gradient_passed_to_backward_is_left_alone(name):
    layer, x = build(name)
    dy = upstream(layer(x))
    given = dy.copy()
    dx = layer.backward(dy)
    np.testing.assert_array_equal(dy, given)
    # and a second backward of the same forward gives the same
    np.testing.assert_array_equal(layer.backward(dy), dx)


@every_layer
def test_read_only_and_strided_inputs_are_taken(name):
    layer, x = build(name, "reference")
    layer.eval()
    expected = layer(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(layer(frozen), expected)
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    assert not wide.flags.c_contiguous
    np.testing.assert_array_equal(layer(wide), expected)
    dy = np.asfortranarray(upstream(expected))
    np.testing.assert_array_equal(layer.backward(dy), layer.backward(np.ascontiguousarray(dy)))


def test_a_row_of_layers_asks_again_when_the_shape_changes():
    norm = BatchNorm1d(5)
    model = Sequential(norm, Linear(5, 4), ReLU(), Flatten(), Linear(4, 2))
    x = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    expected = model(x)
    held = norm.running_mean.copy()
    for _ in range(2):  # refused before the first layer has run, each time
        with pytest.raises(ShapeError, match=r"layer 4: .*expects 4 features"):
            model(np.zeros((3, 5, 5), np.float32))
    np.testing.assert_array_equal(norm.running_mean, held)
    model.eval()
    model.train()
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)
    with pytest.raises(ShapeError, match="BatchNorm1d"):
        model(x[:, :4])


def test_a_sentence_for_an_error_is_written_only_then(monkeypatch):
    model = Sequential(Linear(5, 4), ReLU(), Linear(4, 2))
    x = np.zeros((3, 5), np.float32)
    told = []
    for kind in (Linear, ReLU, Sequential):
        monkeypatch.setattr(kind, "__repr__", lambda layer: told.append(layer) or "a layer")
    model.backward(np.ones_like(model(x)))
    assert told == []
    with pytest.raises(TypeError, match="the input of a layer must hold real numbers"):
        model(x + 1j)
    assert told


@pytest.mark.parametrize("name", ["Conv2d", "Linear", "Sequential"])
@both_devices
def test_gradients_of_several_backward_passes_add_up(name, device):
    layer, x = build(name, device)
    y = layer(x)
    assert all(p.grad is None for p in layer.parameters())
    layer.backward(upstream(y, 4))
    first = {n: p.grad.copy() for n, p in layer.named_parameters()}
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    layer(x)
    layer.backward(upstream(y, 5))
    second = {n: p.grad.copy() for n, p in layer.named_parameters()}
    layer.zero_grad()
    layer(x)
    layer.backward(upstream(y, 4))
    layer(x)
    layer.backward(upstream(y, 5))
    for n, p in layer.named_parameters():
        assert np.abs(first[n]).max() > 0
        np.testing.assert_array_equal(p.grad, first[n] + second[n], n)


@pytest.mark.parametrize("name", ["Conv2d", "Linear"])
def test_the_input_gradient_can_be_spared(name):
    layer, x = build(name)
    dy = upstream(layer(x))
    layer.backward(dy)
    expected = {n: p.grad for n, p in layer.named_parameters()}
    layer.zero_grad()
    layer.input_gradient = False
    assert layer.backward(dy) is None
    for n, p in layer.named_parameters():
        np.testing.assert_array_equal(p.grad, expected[n], n)


@every_layer
def test_without_gradients_nothing_is_kept(name):
    layer, x = build(name, "reference")
    layer.eval()
    expected = layer(x)
    with no_grad():
        np.testing.assert_array_equal(layer(x), expected)
        with pytest.raises(RuntimeError, match="no_grad"):
            layer.backward(upstream(expected))
        with no_grad():
            pass
        layer(x)
        with pytest.raises(RuntimeError, match="before forward"):
            layer.backward(upstream(expected))
    layer(x)
    layer.backward(upstream(expected))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: Conv2d(3, 6, 5), "Conv2d(3, 6, kernel_size=(5, 5))"),
        (
            lambda: Conv2d(4, 6, (3, 2), 2, "valid", 2, 2, bias=False),
            "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding='valid', dilation=(2, 2), "
            "groups=2, bias=False)",
        ),
        (lambda: MaxPool2d(2), "MaxPool2d(kernel_size=(2, 2), stride=(2, 2))"),
        (
            lambda: AvgPool2d(3, 1, 1, True),
            "AvgPool2d(kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), ceil_mode=True)",
        ),
        (lambda: Linear(5, 4), "Linear(5, 4)"),
        (lambda: Linear(5, 4, bias=False), "Linear(5, 4, bias=False)"),
        (lambda: Flatten(), "Flatten()"),
        (lambda: Flatten(0, 1), "Flatten(start_dim=0, end_dim=1)"),
        (lambda: ReLU(), "ReLU()"),
        (lambda: Softmax(dim=-1), "Softmax(dim=-1)"),
        (lambda: Dropout(0.25), "Dropout(p=0.25)"),
        (
            lambda: Sequential(Linear(2, 3), Sequential(ReLU())),
            "Sequential(\n  Linear(2, 3),\n  Sequential(\n    ReLU()\n  )\n)",
        ),
    ],
    ids=lambda value: value.partition("\n")[0] if isinstance(value, str) else "",
)
def test_repr_shows_how_the_layer_was_made(layer, text):
    assert repr(layer()) == text


# ---- parameters and weights by name ---------------------------------------------------------


def nested():
    return Sequential(
        Conv2d(1, 2, 3),
        ReLU(),
        Sequential(Flatten(), Linear(8, 3)),
        Linear(3, 2, bias=False),
        seed=1,
    )


def test_weights_have_the_names_that_torch_gives():
    shapes = {name: array.shape for name, array in nested().state_dict().items()}
    assert shapes == {
        "0.weight": (2, 1, 3, 3),
        "0.bias": (2,),
        "2.1.weight": (3, 8),
        "2.1.bias": (3,),
        "3.weight": (2, 3),
    }
    assert [n for n, _ in nested().named_parameters()] == list(shapes)
    assert all(isinstance(p, Parameter) for p in nested().parameters())


def test_a_state_dict_is_a_copy():
    model = nested()
    state = model.state_dict()
    state["0.weight"][...] = 7
    assert not (model[0].weight.data == 7).any()
    other = nested()
    other.load_state_dict(state)
    state["0.weight"][...] = 9
    assert (other[0].weight.data == 7).all()


def test_weights_move_from_one_model_to_another():
    one, other = nested(), nested()
    other.reseed(99)
    x = np.random.default_rng(1).standard_normal((2, 1, 4, 4)).astype(np.float32)
    assert (one(x) != other(x)).all()
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one(x), other(x))


def broken_states():
    state = nested().state_dict()
    long = np.zeros(state["2.1.bias"].shape, np.longdouble)
    yield pytest.param(
        {n: a for n, a in state.items() if n != "2.1.bias"},
        r"missing: 2.1.bias \(3,\)",
        id="missing",
    )
    yield pytest.param(
        state | {"4.weight": np.zeros(2)}, r"unexpected: 4.weight \(2,\)", id="unexpected"
    )
    yield pytest.param(
        state | {"3.weight": np.zeros((3, 2))}, r"3.weight has shape \(3, 2\).*\(2, 3\)", id="shape"
    )
    for name, dtype in (("text", "U3"), ("complex", "c8"), ("object", "O"), ("bool", "?")):
        yield pytest.param(
            state | {"3.weight": np.zeros((2, 3), dtype)}, "3.weight holds .* real numbers", id=name
        )
    if long.itemsize > 8:
        yield pytest.param(state | {"2.1.bias": long}, "real numbers", id="longdouble")


@pytest.mark.parametrize(("state", "words"), list(broken_states()))
def test_weights_that_dont_fit_are_refused_as_a_whole(state, words):
    model = nested()
    model.reseed(5)
    before = model.state_dict()
    with pytest.raises((ValueError, TypeError), match=words):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], name)


def test_all_that_is_wrong_with_a_state_is_listed_at_once():
    state = nested().state_dict()
    del state["0.bias"]
    state |= {"3.weight": np.zeros(6), "spare": np.zeros(1)}
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        nested().load_state_dict(state)
    for words in (
        "missing: 0.bias",
        "unexpected: spare",
        "3.weight has shape (6,), expected (2, 3)",
    ):
        assert words in str(caught.value)


def test_a_parameter_takes_new_values_of_its_shape_only():
    layer = Linear(3, 2)
    layer.weight.data = [[1, 2, 3], [4, 5, 6]]
    assert layer.weight.data.dtype == np.float32
    np.testing.assert_array_equal(layer(np.array([[1, 1, 1]])) - layer.bias.data, [[6, 15]])
    with pytest.raises(ShapeError, match=r"the parameter has shape \(2, 3\), .* \(3, 2\)"):
        layer.weight.data = np.zeros((3, 2))
    assert layer.weight.data[0, 0] == 1
    values = np.ones((2, 3), np.float32)
    layer.weight.data = values
    values[...] = 5  # the parameter has its own copy
    assert (layer.weight.data == 1).all()


@pytest.mark.parametrize("layer", [Conv2d(1, 2, 3, bias=False), Linear(4, 3, bias=False)], ids=repr)
def test_bias_false_means_no_bias(layer):
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    shape = (1, 1, 3, 3) if isinstance(layer, Conv2d) else (1, 4)
    y = layer(np.zeros(shape, np.float32))
    assert (y == 0).all()
    layer.backward(np.ones(y.shape))
    assert (layer.weight.grad == 0).all()


def test_initial_weights_follow_from_the_seed_alone():
    one, same, other = nested(), nested(), nested()
    other.reseed(2)
    used = nested()
    used.fit(np.zeros((1, 1, 4, 4)), np.zeros(1, int), verbose=False)
    used.reseed(1)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, same.state_dict()[name])
        np.testing.assert_array_equal(array, used.state_dict()[name])
        assert (array != other.state_dict()[name]).any()
    assert (one[3].weight.data.ravel() != one[2][1].weight.data.ravel()[:6]).any()


def test_manual_seed_fixes_what_has_no_seed_of_its_own():
    found = []
    for seed in (7, 7, 8):
        numcnn.manual_seed(seed)
        first, second = Linear(3, 2), Linear(3, 2)
        assert (first.weight.data != second.weight.data).any()
        found.append(first.weight.data)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize(
    ("layer", "fan_in"), [(Conv2d(4, 60, (3, 2), groups=2), 12), (Linear(20, 90), 20)], ids=repr
)
def test_initial_weights_fill_torchs_range(layer, fan_in):
    layer.reseed(3)
    bound = 1 / np.sqrt(fan_in)
    for parameter in layer.parameters():
        assert np.abs(parameter.data).max() <= np.float32(bound)
        # The largest of n even draws lies below 1 - 12/n of the range with probability e^-12.
        assert np.abs(parameter.data).max() > bound * (1 - 12 / parameter.size)
        assert parameter.data.min() < 0 < parameter.data.max()


# ---- precision and devices --------------------------------------------------------------------


def test_a_network_changes_its_precision():
    model = nested()
    weights = model.state_dict()
    x = np.random.default_rng(1).standard_normal((2, 1, 4, 4))
    assert model(x).dtype == np.float32
    assert model.to("float64") is model
    assert model(x).dtype == np.float64
    for name, array in model.state_dict().items():
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, weights[name])  # float32 numbers are float64 numbers
    model.backward(np.ones((2, 2), np.float32))
    assert model[0].weight.grad.dtype == np.float64
    assert model.to(dtype=np.float32)(x).dtype == np.float32
    assert model[0].weight.grad is None


def test_moving_forgets_what_backward_would_need():
    model = nested()
    model(np.zeros((1, 1, 4, 4)))
    model.to("reference")
    assert {layer.device.name for layer in model.layers()} == {"reference"}
    with pytest.raises(RuntimeError, match="before forward"):
        model.backward(np.zeros((1, 2)))


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64"])
def test_other_precisions_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        Linear(2, 2, dtype=dtype)
    with pytest.raises(TypeError, match="float32 or float64"):
        Linear(2, 2).to(dtype=dtype)


@pytest.mark.parametrize("algorithm", ["auto", "loops", "direct", "fft", "im2col"])
def test_every_algorithm_works_in_both_precisions(algorithm):
    # What an algorithm can't do it leaves to another one; gradcheck, for one, needs float64.
    x = np.random.default_rng(1).standard_normal((2, 2, 5, 6))
    slow = Conv2d(2, 3, 3, padding=1, device="reference", dtype="float64")
    slow.reseed(1)
    expected = slow(x)
    dx = slow.backward(expected)
    for dtype, atol in (("float32", 1e-4), ("float64", 1e-12)):
        layer = Conv2d(2, 3, 3, padding=1, algorithm=algorithm, dtype=dtype)
        layer.load_state_dict(slow.state_dict())
        # at most 60 terms of size 4: 60² eps 4 is below 1e-3 for float32, and rounding errors
        # don't all point one way
        np.testing.assert_allclose(layer(x), expected, rtol=0, atol=atol)
        np.testing.assert_allclose(layer.backward(expected), dx, rtol=0, atol=atol * 10)


def test_an_unknown_algorithm_is_refused_with_a_list():
    with pytest.raises(ValueError, match=r"'cpu' computes conv2d by auto, .*loops.*not by 'magic'"):
        Conv2d(1, 1, 3, algorithm="magic")


# ---- convolution ------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, (2, 3), (5, 4)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size(kernel, dilation, device):
    layer = Conv2d(1, 2, kernel, padding="same", dilation=dilation).to(device, "float64")
    x = np.random.default_rng(1).standard_normal((1, 1, 6, 7))
    y = layer(x)
    assert y.shape == (1, 2, 6, 7)
    # The same convolution without padding, of the picture with zeros around it; with an even
    # kernel the extra row and column are at the bottom and right.
    extra = [dilation * (k - 1) for k in layer.kernel_size]
    sides = [(e // 2, e - e // 2) for e in extra]
    plain = Conv2d(1, 2, kernel, dilation=dilation).to(device, "float64")
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(y, plain(np.pad(x, [(0, 0), (0, 0), *sides])), rtol=0, atol=1e-13)
    dy = upstream(y)
    dx = plain.backward(dy)[:, :, sides[0][0] :, sides[1][0] :][:, :, :6, :7]
    np.testing.assert_allclose(layer.backward(dy), dx, rtol=0, atol=1e-13)


def test_same_padding_needs_stride_one():
    with pytest.raises(ValueError, match="padding='same' needs stride=1"):
        Conv2d(1, 1, 3, stride=2, padding="same")


@both_devices
def test_groups_are_convolutions_side_by_side(device):
    whole = Conv2d(4, 6, (3, 2), groups=2, padding=1).to(device, "float64")
    x = np.random.default_rng(1).standard_normal((2, 4, 5, 4))
    y = whole(x)
    dy = upstream(y)
    dx = whole.backward(dy)
    for group in (0, 1):
        part = Conv2d(2, 3, (3, 2), padding=1).to(device, "float64")
        weights, channels = slice(3 * group, 3 * group + 3), slice(2 * group, 2 * group + 2)
        part.weight.data = whole.weight.data[weights]
        part.bias.data = whole.bias.data[weights]
        # The same sums in the same order: not even rounding may differ on the reference.
        exact = 0 if device == "reference" else 1e-13
        np.testing.assert_allclose(y[:, weights], part(x[:, channels]), rtol=0, atol=exact)
        back = part.backward(dy[:, weights])
        np.testing.assert_allclose(dx[:, channels], back, rtol=0, atol=exact)
        grad = whole.weight.grad[weights]
        np.testing.assert_allclose(grad, part.weight.grad, rtol=0, atol=exact)


@both_devices
def test_rows_that_no_window_sees_have_no_gradient(device):
    layer = Conv2d(1, 1, 3, stride=3).to(device, "float64")
    layer.weight.data = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    layer(np.ones((1, 1, 7, 7)))
    dx = layer.backward(np.ones((1, 1, 2, 2)))[0, 0]
    assert (dx[6] == 0).all()
    assert (dx[:, 6] == 0).all()
    np.testing.assert_array_equal(dx[:6, :6], np.tile(np.arange(1.0, 10).reshape(3, 3), (2, 2)))


@pytest.mark.parametrize("layer", [Conv2d(1, 1, 3, stride=3), MaxPool2d(3), AvgPool2d(3)], ids=repr)
def test_strict_refuses_what_is_left_out_otherwise(layer):
    assert layer.output_shape((1, 1, 7, 7)) == (1, 1, 2, 2)
    Sequential(layer, strict=True)
    with pytest.raises(ShapeError, match=r"height: .*\(7 - 3\)/3 \+ 1 = 2.33; padding=1 gives 3"):
        layer.output_shape((1, 1, 7, 7))
    assert layer.output_shape((1, 1, 9, 6)) == (1, 1, 3, 2)


@both_devices
def test_an_empty_batch_passes(device):
    model = Sequential(
        Conv2d(1, 2, 3), ReLU(), MaxPool2d(2), Dropout(0.5), Flatten(), Linear(8, 3), device=device
    )
    y = model(np.zeros((0, 1, 6, 6)))
    assert y.shape == (0, 3)
    assert model.backward(y).shape == (0, 1, 6, 6)
    assert all((p.grad == 0).all() for p in model.parameters())


# ---- pooling ----------------------------------------------------------------------------------


@both_devices
def test_a_pooling_window_in_the_padding_alone_is_defined(device):
    # Taps 3 apart jump over a picture of 2 pixels: the window at (-1, -1) sees none of it. Its
    # largest value is -inf, and the gradient mustn't land on a pixel that had no part in it.
    layer = MaxPool2d(2, stride=1, padding=1, dilation=3).to(device)
    y = layer(np.array([[[[-1.0, -2], [-3, -4]]]]))
    assert y.tolist() == [[[[-np.inf]]]]
    assert layer.backward(np.ones((1, 1, 1, 1))).tolist() == [[[[0, 0], [0, 0]]]]


def test_pooling_refuses_padding_that_a_window_could_lie_in():
    for make in (MaxPool2d, AvgPool2d):
        with pytest.raises(ValueError, match="padding=2 is more than half of kernel_size=3"):
            make(3, padding=2)
        make(4, padding=2)


@both_devices
def test_average_pooling_counts_as_torch_documents(device):
    x = np.ones((1, 1, 2, 2))
    corner = {}
    for name, options in {
        "with padding": {},
        "without": {"count_include_pad": False},
        "override": {"divisor_override": 3},
    }.items():
        layer = AvgPool2d(2, stride=1, padding=1, **options).to(device)
        y = layer(x)
        corner[name] = y[0, 0, 0, 0], y[0, 0, 1, 1]
        # the mean is linear: what goes back is what came forward
        dy = upstream(y)
        assert (layer.backward(dy) * x).sum() == pytest.approx((dy * y).sum(), abs=1e-14)
    assert corner == {"with padding": (0.25, 1), "without": (1, 1), "override": (1 / 3, 4 / 3)}


# ---- activations ------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("dim", [None, 0, 1, 2, -1, -3])
@pytest.mark.parametrize("make", [Softmax, LogSoftmax], ids=lambda m: m.__name__)
def test_softmax_works_along_any_axis(make, dim, device):
    shape = (2, 3) if dim is None else (2, 3, 4)  # of three axes one must be named
    x = np.random.default_rng(1).standard_normal(shape)
    axis = 1 if dim is None else dim
    expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    if make is LogSoftmax:
        expected = np.log(expected)
    np.testing.assert_allclose(make(dim).to(device)(x), expected, rtol=1e-14, atol=1e-14)


def test_softmax_explains_an_axis_that_is_not_there():
    with pytest.raises(ShapeError, match=r"Softmax\(dim=2\) works along axis 2, .* \(2, 3\)"):
        Softmax(dim=2)(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"axis 1 of shape \(2, 0\) is empty"):
        Softmax()(np.zeros((2, 0)))
    with pytest.raises(ShapeError, match=r"along which axis of shape \(2, 3, 4\)\? .* say dim=0"):
        LogSoftmax()(np.zeros((2, 3, 4)))


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_neither_overflow_nor_vanish(device, dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])
    probabilities = Softmax().to(device, dtype)(x)
    assert probabilities[0].tolist() == [1, 0, 0]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(probabilities[1:], 1 / 3, rtol=4 * eps)
    logs = LogSoftmax().to(device, dtype)(x)
    np.testing.assert_array_equal(logs[0], [0, -2e4, -1e4])
    # log(3) to the precision of the dtype, although the scores are 10000 times as large
    np.testing.assert_allclose(logs[1:], -np.log(3), rtol=8 * eps)
    assert Sigmoid().to(device, dtype)(x)[0].tolist() == [1, 0, 0.5]
    assert Tanh().to(device, dtype)(x)[0].tolist() == [1, -1, 0]
    for layer in (Softmax(), LogSoftmax(), Sigmoid(), Tanh(), ReLU()):
        layer.to(device, dtype)(x)
        assert np.isfinite(layer.backward(np.ones((3, 3)))).all()


@both_devices
def test_relu_at_zero_and_for_nan(device):
    layer = ReLU().to(device)
    x = np.array([-1.0, -0.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(layer(x), [0, 0, 0, 2, np.nan])
    np.testing.assert_array_equal(layer.backward(np.full(5, 3.0)), [0, 0, 0, 3, 3])


# ---- dropout ----------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean(p, device):
    # A kept number is 1 / (1 - p), so the mean of n of them has a deviation of
    # sqrt(p / (1 - p) / n) around 1; five deviations, and the seed is fixed.
    n = 4000
    layer = Dropout(p).to(device)
    layer.reseed(1)
    y = layer(np.ones((40, 100)))
    assert set(np.unique(y)) == {0, 1 / (1 - p)}
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)


@both_devices
def test_dropout_sends_the_gradient_through_its_mask(device):
    layer = Dropout(0.5).to(device)
    layer.reseed(1)
    x = np.random.default_rng(1).standard_normal((6, 7))
    y = layer(x)
    kept = y != 0
    assert 0 < kept.sum() < kept.size
    dy = upstream(y)
    np.testing.assert_array_equal(layer.backward(dy), np.where(kept, 2 * dy, 0))


@pytest.mark.parametrize("make", [Dropout, Dropout2d], ids=lambda m: m.__name__)
def test_dropout_in_evaluation_is_the_identity(make):
    layer = make(0.5)
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    assert layer.eval() is layer
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(2 * x), 2 * x)
    layer.train()
    assert (layer(x) == 0).any()


@pytest.mark.parametrize(("p", "factor"), [(0, 1), (1, 0)])
def test_dropout_at_the_ends(p, factor):
    x = np.random.default_rng(1).standard_normal((3, 4))
    layer = Dropout(p)
    np.testing.assert_array_equal(layer(x), factor * x)
    np.testing.assert_array_equal(layer.backward(x), factor * x)


@pytest.mark.parametrize("p", [-0.1, 1.5, np.nan])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="probability, between 0 and 1"):
        Dropout(p)


@both_devices
def test_dropout2d_drops_whole_maps(device):
    layer = Dropout2d(0.4).to(device)
    layer.reseed(2)
    y = layer(np.ones((8, 10, 3, 2)))
    maps = y.reshape(80, 6)
    assert (maps == maps[:, :1]).all()
    dropped = (maps[:, 0] == 0).mean()
    assert abs(dropped - 0.4) < 5 * np.sqrt(0.4 * 0.6 / 80)
    assert set(np.unique(y)) == {0, 1 / 0.6}


def test_every_mask_is_new_and_follows_from_seed_and_call():
    x = np.ones((5, 20))
    layer = Dropout(0.5)
    layer.reseed(3)
    first, second = layer(x), layer(x)
    assert (first != second).any()
    assert layer.calls == 2
    layer.calls = 0
    np.testing.assert_array_equal(layer(x), first)
    other = Dropout(0.5)
    other.reseed(3)
    np.testing.assert_array_equal(other(x), first)
    other.reseed(4)
    assert (other(x) != first).any()
    twins = Sequential(Dropout(0.5), Dropout(0.5), seed=1)
    assert (twins[0](x) != twins[1](x)).any()


def test_train_and_eval_reach_every_layer():
    model = Sequential(Dropout(0.5), Sequential(Dropout2d(0.5), ReLU()))
    assert all(layer.training for layer in model.layers())
    assert len(list(model.layers())) == 5
    model.eval()
    assert not any(layer.training for layer in model.layers())
    model.train()
    assert all(layer.training for layer in model.layers())


# ---- linear and flatten -----------------------------------------------------------------------


@both_devices
def test_linear_works_on_the_last_axis(device):
    layer = Linear(4, 3).to(device, "float64")
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    y = layer(x)
    expected = x @ layer.weight.data.T + layer.bias.data
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    dy = upstream(y)
    np.testing.assert_allclose(layer.backward(dy), dy @ layer.weight.data, rtol=0, atol=1e-14)
    grad = np.einsum("abo,abi->oi", dy, x)
    np.testing.assert_allclose(layer.weight.grad, grad, rtol=0, atol=1e-13)
    np.testing.assert_allclose(layer.bias.grad, dy.sum((0, 1)), rtol=0, atol=1e-13)
    assert layer(x[0, 0]).shape == (3,)


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ((), (2, 3, 4, 5), (2, 60)),
        ((0, 1), (2, 3, 4), (6, 4)),
        ((1, 2), (2, 3, 4, 5), (2, 12, 5)),
        ((-2, -1), (2, 3, 4), (2, 12)),
        ((0, -1), (2, 3), (6,)),
        ((1, 1), (2, 3), (2, 3)),
    ],
    ids=str,
)
def test_flatten_moves_no_number(axes, shape, expected):
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    layer = Flatten(*axes)
    y = layer(x)
    assert y.shape == expected
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(layer.backward(2 * y), 2 * x)


def test_flatten_refuses_axes_that_are_not_there():
    with pytest.raises(ShapeError, match=r"can't join axes 1 to 3 of shape \(2, 3\)"):
        Flatten(1, 3)(np.zeros((2, 3)))
