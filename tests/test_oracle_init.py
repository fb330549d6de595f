"""Initial weights against PyTorch's: the same distributions, down to their bounds.

What PyTorch hands to ``uniform_`` and ``normal_`` is written down on the way, and so is what
numcnn asks of its generator; the two must agree to rounding. Then the numbers drawn must follow.
"""

import math

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="PyTorch is not installed; run tox -e oracle")

import numcnn  # noqa: E402
from numcnn import init  # noqa: E402

SHAPES = [(5, 3), (1, 1), (6, 4, 3, 2), (32, 1, 3, 3), (12, 1, 5, 1), (128, 9216)]
NONLINEARITIES = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


class Spy:
    """Stands for a NumPy generator; keeps what it is asked for and draws zeros."""

    def __init__(self):
        self.calls = []

    def uniform(self, low, high, shape):
        self.calls.append(("uniform", low, high))
        return np.zeros(shape)

    def normal(self, mean, std, shape):
        self.calls.append(("normal", mean, std))
        return np.zeros(shape)


@pytest.fixture
def torch_calls(monkeypatch):
    """The list of what PyTorch asks of its generator from here on."""
    calls = []

    def note(kind):
        def fill(tensor, first, second, generator=None):
            calls.append((kind, first, second))
            return tensor

        return fill

    for kind in ("uniform", "normal"):
        monkeypatch.setattr(torch.Tensor, f"{kind}_", note(kind))
    return calls


def blank(shape):
    device = numcnn.get_device("cpu")
    return numcnn.Parameter(shape, lambda rng, shape: np.zeros(shape), device, "float64")


def same_calls(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs, strict=True):
        assert our[0] == their[0]
        np.testing.assert_allclose(our[1:], their[1:], rtol=4e-16)


# ------------------------------------------------------------------------- functions of init.py


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_"])
@pytest.mark.parametrize("gain", [1.0, 5 / 3, 0.1])
def test_xavier(name, gain, torch_calls):
    spy = Spy()
    for shape in SHAPES:
        parameter = blank(shape)
        assert getattr(init, name)(parameter, gain, rng=spy) is parameter
        getattr(torch.nn.init, name)(torch.empty(shape), gain)
    same_calls(spy.calls, torch_calls)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    ("a", "nonlinearity"),
    [(0, n) for n in NONLINEARITIES] + [(0.2, "leaky_relu"), (math.sqrt(5), "leaky_relu")],
)
def test_kaiming(name, mode, a, nonlinearity, torch_calls):
    spy = Spy()
    for shape in SHAPES:
        getattr(init, name)(blank(shape), a, mode, nonlinearity, rng=spy)
        getattr(torch.nn.init, name)(torch.empty(shape), a, mode, nonlinearity)
    same_calls(spy.calls, torch_calls)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"])
def test_defaults(name, torch_calls):
    spy = Spy()
    getattr(init, name)(blank((4, 3, 2, 5)), rng=spy)
    getattr(torch.nn.init, name)(torch.empty(4, 3, 2, 5))
    same_calls(spy.calls, torch_calls)


@pytest.mark.parametrize("name", ["uniform_", "normal_"])
@pytest.mark.parametrize("arguments", [(), (-2.0, 0.5)])
def test_uniform_and_normal(name, arguments, torch_calls):
    spy = Spy()
    getattr(init, name)(blank((4, 3)), *arguments, rng=spy)
    getattr(torch.nn.init, name)(torch.empty(4, 3), *arguments)
    same_calls(spy.calls, torch_calls)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_gain(nonlinearity):
    for param in (None, 0, 0.01, 0.3, 1, 2.5):
        want = torch.nn.init.calculate_gain(nonlinearity, param)
        assert init.calculate_gain(nonlinearity, param) == want


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fans(shape):
    want = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert init.fans(shape) == want


def test_both_refuse():
    for function in (init.calculate_gain, torch.nn.init.calculate_gain):
        with pytest.raises(ValueError, match="swish"):
            function("swish")
    for library, weight, vector in (
        (init, blank((3, 2)), blank((3,))),
        (torch.nn.init, torch.empty(3, 2), torch.empty(3)),
    ):
        with pytest.raises(ValueError):
            library.kaiming_uniform_(weight, mode="fan_middle")
        with pytest.raises(ValueError):
            library.xavier_uniform_(vector)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform_", (-0.5, 2.0)),
        ("normal_", (1.0, 0.25)),
        ("xavier_uniform_", ()),
        ("xavier_normal_", ()),
        ("kaiming_uniform_", ()),
        ("kaiming_normal_", ()),
    ],
)
def test_the_numbers_drawn_have_pytorchs_distribution(name, arguments):
    """20,000 numbers each: a Kolmogorov-Smirnov test that fails one time in a million."""
    numcnn.manual_seed(1)
    torch.manual_seed(1)
    ours, theirs = blank((200, 100)), torch.empty(200, 100, dtype=torch.float64)
    getattr(init, name)(ours, *arguments)
    getattr(torch.nn.init, name)(theirs, *arguments)
    assert stats.ks_2samp(ours.data.ravel(), theirs.numpy().ravel()).pvalue > 1e-6


# ------------------------------------------------------------------------------ layers' defaults

LAYERS = [
    ("Linear", (40, 30)),
    ("Linear", (1000, 10)),
    ("Linear", (1, 2000)),
    ("Conv2d", (3, 64, 5)),
    ("Conv2d", (16, 24, (3, 2))),
    ("Conv2d", (12, 48, 3, 1, 0, 1, 4)),  # fan_in counts the channels of one group
    ("Conv2d", (400, 400, 3, 1, 0, 1, 400)),  # depthwise
    ("ConvTranspose2d", (16, 24, (3, 2))),  # fan_in counts output channels
    ("ConvTranspose2d", (64, 3, 4, 2, 1)),
    ("ConvTranspose2d", (12, 48, 3, 2, 1, 1, 4)),  # ... of one group
]
each_layer = pytest.mark.parametrize(("name", "arguments"), LAYERS, ids=str)


def follows(values, bound):
    """Assert that numbers are drawn evenly from ±bound.

    All are inside. Each is beyond 0.9 bound with probability 0.1, so with 300 of them one is, but
    for one time in 10^13. The square of one has mean bound²/3 and variance 4 bound⁴/45, so the
    mean square of n is within six standard deviations, 6 bound² √(4 / 45n), of bound²/3.
    """
    values = np.asarray(values, np.float64).ravel()
    assert np.max(np.abs(values)) <= bound * (1 + 1e-7)
    if values.size >= 300:
        assert np.max(np.abs(values)) > 0.9 * bound
    six = 6 * bound**2 * math.sqrt(4 / 45 / values.size)
    assert abs(np.mean(values**2) - bound**2 / 3) < six
    assert abs(np.mean(values)) < 6 * bound / math.sqrt(3 * values.size)


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_default_weights_have_pytorchs_bounds(name, arguments, dtype, torch_calls):
    """The bounds are those that PyTorch's layer draws from while it is made."""
    getattr(torch.nn, name)(*arguments)
    (_, low, high), (_, bias_low, bias_high) = torch_calls
    assert -low == high
    assert -bias_low == bias_high
    numcnn.manual_seed(2)
    layer = getattr(numcnn, name)(*arguments, dtype=dtype)
    follows(layer.weight.data, high)
    follows(layer.bias.data, bias_high)
    assert layer.weight.data.dtype == layer.bias.data.dtype == dtype


@each_layer
def test_default_weights_ask_for_pytorchs_bounds(name, arguments, torch_calls):
    """The same to rounding, weight and bias."""
    getattr(torch.nn, name)(*arguments)
    layer = getattr(numcnn, name)(*arguments)
    spy = Spy()
    for parameter in (layer.weight, layer.bias):
        parameter._initialise(spy, parameter.shape)
    same_calls(spy.calls, torch_calls)


@each_layer
def test_default_weights_have_pytorchs_distribution(name, arguments):
    numcnn.manual_seed(3)
    torch.manual_seed(3)
    ours = getattr(numcnn, name)(*arguments).weight.data.ravel()
    theirs = getattr(torch.nn, name)(*arguments).weight.detach().numpy().ravel()
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-6


@pytest.mark.parametrize(("name", "arguments"), [LAYERS[0], LAYERS[4]], ids=str)
def test_weight_and_bias_and_layers_are_drawn_independently(name, arguments):
    numcnn.manual_seed(4)
    first, second = (getattr(numcnn, name)(*arguments) for _ in "ab")
    assert not np.array_equal(first.weight.data, second.weight.data)
    size = first.bias.size
    assert not np.array_equal(first.weight.data.ravel()[:size], first.bias.data)
