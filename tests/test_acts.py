"""Learned rectifiers, thresholds, maxout units, limits, and layers that disturb at random."""

import copy
import pickle

import numpy as np
import pytest

import numcnn
from numcnn import (
    SELU,
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Hardtanh,
    Linear,
    LogSigmoid,
    Maxout,
    PReLU,
    ReLU6,
    Sequential,
    ShapeError,
    Step,
    gradcheck,
)
from numcnn.kernels.reference.bernoulli import philox

pytestmark = pytest.mark.usefixtures("one_thread")
both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def numbers(*shape, seed=1):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# ---- PReLU ------------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 5), (2, 3, 2, 4), (0, 3, 2)], ids=str)
def test_a_shared_slope_and_one_for_each_channel(shape, device):
    x, dy = numbers(*shape), numbers(*shape, seed=2)
    slopes = np.array([0.5, -2.0, 3.0])
    for count in (1, 3) if len(shape) > 1 else (1,):
        layer = PReLU(count).to(device, "float64")
        np.testing.assert_array_equal(layer.weight.data, np.full(count, 0.25))
        layer.weight.data = slopes[:count]
        each = np.broadcast_to(slopes[:count], 3) if len(shape) > 1 else slopes[:1]
        slope = each.reshape(-1, *[1] * (len(shape) - 2)) if len(shape) > 1 else each
        np.testing.assert_array_equal(layer(x), np.where(x > 0, x, slope * x))
        dx = layer.backward(dy)
        np.testing.assert_array_equal(dx, np.where(x > 0, dy, slope * dy))
        terms = np.where(x > 0, 0, x * dy)
        axes = tuple(a for a in range(len(shape)) if a != 1 or count == 1)
        # up to 48 products of size 10 or less, added up in another order
        np.testing.assert_allclose(layer.weight.grad, terms.sum(axes).ravel(), atol=1e-12)


def test_prelu_keeps_its_arguments():
    layer = PReLU(4, 0.5)
    assert repr(layer) == "PReLU(num_parameters=4)"
    assert list(layer.state_dict()) == ["weight"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer)).weight.data, [0.5] * 4)
    layer.reseed(3)
    np.testing.assert_array_equal(layer.weight.data, [0.5] * 4)


def test_prelu_may_spare_its_inputs_gradient():
    layer = PReLU()
    layer.input_gradient = False
    y = layer(numbers(3, 4))
    assert layer.backward(y) is None
    assert layer.weight.grad is not None


@pytest.mark.parametrize("shape", [(5, 3), (4,), (2, 1, 4)], ids=str)
def test_prelu_explains_a_number_of_channels_that_doesnt_fit(shape):
    channels = shape[1] if len(shape) > 1 else 1
    words = rf"has 4 slopes.*{np.array(shape).tolist()[0]}.* has {channels}; num_parameters=1"
    with pytest.raises(ShapeError, match=words):
        PReLU(4)(np.zeros(shape))
    with pytest.raises(ValueError, match="num_parameters must be at least 1, got 0"):
        PReLU(0)


# ---- Step -------------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize(("convention", "low"), [("signed", -1), ("binary", 0)])
def test_step(convention, low, device):
    layer = Step(convention).to(device)
    x = np.array([[-0.5, 0.0, -0.0], [1e-300, 2.0, np.nan]])
    np.testing.assert_array_equal(layer(x), [[low, low, low], [1, 1, np.nan]])
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.zeros((2, 3)))


def test_step_is_signed_unless_told_otherwise():
    assert Step()(np.zeros(1)) == [-1]
    assert repr(Step()) == "Step()"
    assert repr(Step("binary")) == "Step(convention='binary')"
    with pytest.raises(ValueError, match=r"'signed' .*or 'binary' .*got 'bipolar'"):
        Step("bipolar")


def test_gradcheck_says_that_a_step_shows_nothing():
    report = gradcheck(Step(), numbers(3, 4))
    assert report["x"].verdict == "vacuous"
    assert not report


def test_nothing_below_a_step_has_a_gradient():
    model = Sequential(Linear(3, 2), Step(), Linear(2, 1), seed=1)
    model.backward(np.ones_like(model(numbers(4, 3))))
    assert not np.any(model[0].weight.grad)
    assert np.any(model[2].weight.grad)


# ---- Maxout -----------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (4,), (2, 3), (0,)], ids=str)
def test_maxout_is_the_largest_of_its_pieces(rows, bias, device):
    layer = Maxout(3, 2, 4, bias=bias).to(device, "float64")
    layer.reseed(5)
    x = numbers(*rows, 3)
    pieces = x @ layer.weight.data.T + (layer.bias.data if bias else 0)
    pieces = pieces.reshape(*rows, 2, 4)
    y = layer(x)
    np.testing.assert_allclose(y, pieces.max(axis=-1), rtol=0, atol=1e-14)
    dy = numbers(*y.shape, seed=2)
    dpieces = np.where(np.arange(4) == pieces.argmax(axis=-1)[..., None], dy[..., None], 0)
    dpieces = dpieces.reshape(-1, 8)
    dx = layer.backward(dy)
    np.testing.assert_allclose(dx, (dpieces @ layer.weight.data).reshape(x.shape), atol=1e-14)
    np.testing.assert_allclose(layer.weight.grad, dpieces.T @ x.reshape(-1, 3), atol=1e-14)
    if bias:
        np.testing.assert_allclose(layer.bias.grad, dpieces.sum(axis=0), atol=1e-14)


@both_devices
def test_of_equal_pieces_the_first_learns(device):
    layer = Maxout(1, 1, 3).to(device)
    layer.weight.data = np.ones((3, 1))
    layer.bias.data = np.zeros(3)
    assert layer(np.array([[2.0]])) == [[2]]
    assert layer.backward(np.array([[5.0]])) == [[5]]
    assert layer.weight.grad.ravel().tolist() == [10, 0, 0]
    assert layer.bias.grad.tolist() == [5, 0, 0]


def test_two_pieces_can_be_the_absolute_value():
    layer = Maxout(1, 1, 2, bias=False)
    layer.weight.data = [[1.0], [-1.0]]
    x = numbers(6, 1)
    np.testing.assert_array_equal(layer(x), np.abs(x).astype(np.float32))


def test_maxout_describes_itself():
    layer = Maxout(5, 3, 2)
    assert repr(layer) == "Maxout(5, 3, num_pieces=2)"
    assert repr(Maxout(5, 3, 2, bias=False)) == "Maxout(5, 3, num_pieces=2, bias=False)"
    assert {k: v.shape for k, v in layer.state_dict().items()} == {"weight": (6, 5), "bias": (6,)}
    assert layer.output_shape((7, 5)) == (7, 3)
    assert layer.macs((7, 5)) == 7 * 5 * 6
    assert layer.window() is None
    other = copy.deepcopy(layer)
    other.reseed(1)
    layer.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(layer(np.ones((1, 5))), other(np.ones((1, 5))))
    assert "36" in str(Sequential(layer).summary((5,)))  # parameters


def test_maxout_spares_its_inputs_gradient():
    layer = Maxout(3, 2, 2)
    layer.input_gradient = False
    y = layer(numbers(4, 3))
    assert layer.backward(y) is None
    assert layer.weight.grad is not None
    layer.input_gradient = True
    assert layer.backward(layer(numbers(4, 3))).shape == (4, 3)


def test_maxout_explains_what_doesnt_fit():
    with pytest.raises(ShapeError, match=r"Maxout\(6, 2, num_pieces=2\) expects 6 features.*got 5"):
        Maxout(6, 2, 2)(np.zeros((3, 5)))
    with pytest.raises(ShapeError, match=r"2\*3 = 6, so put Flatten\(\) before it"):
        Maxout(6, 2, 2)(np.zeros((4, 2, 3)))
    with pytest.raises(ValueError, match="num_pieces must be at least 1, got 0"):
        Maxout(6, 2, 0)


def test_maxout_learns_as_a_first_layer():
    x = numbers(40, 2)
    y = (np.abs(x[:, 0]) > 0.7).astype(int)
    model = Sequential(Flatten(), Maxout(2, 4, 3), Linear(4, 2), seed=1, device="reference")
    optimizer = numcnn.Adam(model.parameters(), lr=0.05)
    history = model.fit(x, y, epochs=25, batch_size=10, optimizer=optimizer, verbose=False)
    assert history["loss"][-1] < history["loss"][0] / 2


# ---- limits -----------------------------------------------------------------------------------


@both_devices
def test_limits(device):
    x = np.array([-9.0, -1.0, 0.0, 0.5, 1.0, 6.0, 7.0, np.nan])
    ones = np.ones(8)
    for layer, low, high in ((Hardtanh(), -1, 1), (ReLU6(), 0, 6), (Hardtanh(-9, 7), -9, 7)):
        layer.to(device)
        np.testing.assert_array_equal(layer(x), np.clip(x, low, high))
        inside = ~((x <= low) | (x >= high))
        np.testing.assert_array_equal(layer.backward(ones), inside)
    assert repr(Hardtanh(-2, 3)) == "Hardtanh(min_val=-2, max_val=3)"
    assert repr(ReLU6()) == "ReLU6()"


@pytest.mark.parametrize("limits", [(1, 1), (2, -1), (0, np.nan)])
def test_limits_must_be_in_order(limits):
    with pytest.raises(ValueError, match="max_val must be above min_val, got"):
        Hardtanh(*limits)


@both_devices
def test_log_sigmoid_neither_overflows_nor_loses_its_tail(device):
    layer = LogSigmoid().to(device)
    x = np.array([-1e4, -40.0, 0.0, 40.0, 1e4])
    # -log(1 + e⁻⁴⁰) is -e⁻⁴⁰ to within e⁻⁸⁰
    expected = [-1e4, -40 - np.exp(-40), -np.log(2), -np.exp(-40), 0]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-15)
    np.testing.assert_allclose(layer.backward(np.ones(5)), [1, 1, 0.5, np.exp(-40), 0], rtol=1e-14)


# ---- layers that disturb at random ------------------------------------------------------------

RANDOM = {
    "Dropout1d": (lambda: Dropout1d(0.4), (6, 5, 3)),
    "Dropout3d": (lambda: Dropout3d(0.4), (6, 5, 2, 1, 3)),
    "AlphaDropout": (lambda: AlphaDropout(0.4), (9, 7)),
    "GaussianDropout": (lambda: GaussianDropout(0.4), (9, 7)),
    "GaussianNoise": (lambda: GaussianNoise(0.4), (9, 7)),
}
every_random = pytest.mark.parametrize(("make", "shape"), RANDOM.values(), ids=RANDOM)


@every_random
@both_devices
def test_in_evaluation_nothing_is_disturbed(make, shape, device):
    layer = make().to(device).eval()
    x = numbers(*shape)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(2 * x), 2 * x)
    layer.train()
    assert (layer(x) != x).any()


@every_random
def test_what_is_drawn_follows_from_seed_and_call(make, shape):
    x = numbers(*shape)
    layer = make()
    layer.reseed(3)
    first, second = layer(x), layer(x)
    assert layer.calls == 2
    assert (first != second).any()
    layer.calls = 0
    np.testing.assert_array_equal(layer(x), first)
    slow = make().to("reference")
    slow.reseed(3)
    np.testing.assert_allclose(slow(x), first, rtol=1e-15)
    slow.reseed(4)
    assert (slow(x) != first).any()


@both_devices
@pytest.mark.parametrize(
    ("make", "shape"), [(Dropout1d, (8, 10, 3)), (Dropout3d, (8, 10, 2, 1, 3))]
)
def test_whole_channels_are_dropped(make, shape, device):
    layer = make(0.4).to(device)
    layer.reseed(2)
    channels = layer(np.ones(shape)).reshape(80, -1)
    assert (channels == channels[:, :1]).all()
    assert abs((channels[:, 0] == 0).mean() - 0.4) < 5 * np.sqrt(0.4 * 0.6 / 80)
    assert set(np.unique(channels)) == {0, 1 / 0.6}


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (Dropout1d, (4, 3), r"sequences \(N, C, L\), 3 axes, got 2: \(4, 3\); one alone needs"),
        (Dropout1d, (4, 3, 2, 1), r"sequences \(N, C, L\), 3 axes, got 4: \(4, 3, 2, 1\)$"),
        (Dropout3d, (4, 3, 2, 1), r"volumes \(N, C, D, H, W\), 5 axes, got 4.*x\[None\]"),
        (Dropout3d, (4,), r"volumes \(N, C, D, H, W\), 5 axes, got 1: \(4,\)$"),
    ],
)
def test_axes_that_dont_fit_are_explained(make, shape, words):
    with pytest.raises(ShapeError, match=words):
        make()(np.zeros(shape))


@both_devices
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(p, device):
    """Of n outputs from a standard normal input, each of mean 0 and variance 1.

    Their fourth moment m is what the error of the variance follows from: √((m - 1) / n). Outputs
    are normal with deviation a around b, or exactly a low + b.
    """
    layer = AlphaDropout(p).to(device)
    layer.reseed(1)
    n = 6000
    x = numbers(60, 100)
    y = layer(x)
    low = -SELU.ALPHA * SELU.SCALE
    a = 1 / np.sqrt((1 - p) * (1 + p * low**2))
    b = -a * p * low
    dropped = np.isclose(y, a * low + b, rtol=1e-14, atol=0)
    assert abs(dropped.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[~dropped], a * x[~dropped] + b, rtol=1e-13, atol=1e-13)
    fourth = (1 - p) * (3 * a**4 + 6 * a**2 * b**2 + b**4) + p * (a * low + b) ** 4
    assert abs(y.mean()) < 5 / np.sqrt(n)
    assert abs((y**2).mean() - 1) < 5 * np.sqrt((fourth - 1) / n)
    dy = numbers(60, 100, seed=2)
    np.testing.assert_allclose(layer.backward(dy), np.where(dropped, 0, a * dy), rtol=1e-15)


def test_alpha_dropout_at_the_ends():
    x = numbers(3, 4)
    layer = AlphaDropout(1)
    np.testing.assert_array_equal(layer(x), 0 * x)
    np.testing.assert_array_equal(layer.backward(x), 0 * x)
    with pytest.raises(ValueError, match="probability, between 0 and 1"):
        AlphaDropout(1.5)


@both_devices
def test_gaussian_dropout_multiplies(device):
    """Factors have mean 1 and variance v = p / (1 - p), and their square a deviation √2 v."""
    layer = GaussianDropout(0.2).to(device)
    layer.reseed(1)
    x = numbers(60, 100)
    factors = layer(x) / x
    assert abs(factors.mean() - 1) < 5 * np.sqrt(0.25 / 6000)
    assert abs(((factors - 1) ** 2).mean() - 0.25) < 5 * 0.25 * np.sqrt(2 / 6000)
    dy = numbers(60, 100, seed=2)
    np.testing.assert_allclose(layer.backward(dy), dy * factors, rtol=1e-14)


@both_devices
def test_gaussian_noise_adds(device):
    layer = GaussianNoise(0.5).to(device)
    layer.reseed(1)
    x = numbers(60, 100)
    noise = layer(x) - x
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(6000)
    assert abs((noise**2).mean() - 0.25) < 5 * 0.25 * np.sqrt(2 / 6000)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert layer(x.astype(np.float32)).dtype == np.float32


def test_no_noise_is_no_change():
    x = numbers(3, 4)
    np.testing.assert_array_equal(GaussianNoise(0)(x), x)
    np.testing.assert_array_equal(GaussianDropout(0)(x), x)
    assert repr(GaussianNoise(0.25)) == "GaussianNoise(std=0.25)"
    assert repr(GaussianDropout(0.25)) == "GaussianDropout(p=0.25)"


@pytest.mark.parametrize("std", [-0.1, np.nan, np.inf])
def test_noise_that_makes_no_sense_is_refused(std):
    with pytest.raises(ValueError, match="std must be a finite number of 0 or more, got"):
        GaussianNoise(std)


@pytest.mark.parametrize(("p", "words"), [(1, "must be below 1"), (-0.1, "between 0 and 1")])
def test_gaussian_dropout_refuses_what_has_no_variance(p, words):
    with pytest.raises(ValueError, match=words):
        GaussianDropout(p)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mask_follows_from_seed_call_and_place_alone(device, dtype):
    """Seeds of saved runs keep their meaning: these are the words of kernels/reference."""
    layer = Dropout(0.5).to(device, dtype)
    layer.reseed(7)
    layer.calls = 2
    key = np.random.SeedSequence(7).spawn(1)[0].generate_state(2).tolist()
    kept = [philox(i, 2, *key)[0] >= 2**31 for i in range(50)]
    np.testing.assert_array_equal(layer(np.ones((5, 10), dtype)).reshape(-1), np.multiply(kept, 2))


def test_the_order_of_memory_does_not_change_a_mask():
    x = np.ones((2, 3, 4, 5), np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for layer in (Dropout(0.5), Dropout2d(0.5), AlphaDropout(0.5)):
        layer.reseed(1)
        y = layer(x)
        layer.calls = 0
        np.testing.assert_array_equal(layer(last), y)
        assert len(np.unique(y)) == 2


def test_neighbours_are_still_compared_across_the_new_layers():
    between = [PReLU(), Step(), Hardtanh(), ReLU6(), LogSigmoid(), GaussianNoise(), AlphaDropout()]
    with pytest.raises(ShapeError, match=r"gives 3 features, but layer 8.*takes 4"):
        Sequential(Linear(2, 3), *between, Linear(4, 1))
