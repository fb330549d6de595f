"""What the normalisations promise: the statistics of their outputs, state, modes, errors."""

import copy
import functools
import pickle

import numpy as np
import pytest
from checks_norms import BATCH, DOUBLE, bound, magnitudes

from numcnn import (
    Adam,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    ReLU,
    Sequential,
    gradcheck,
    no_grad,
    weight_norm,
)
from numcnn.kernels.cpu import _jit as cpu_jit

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def randomised(layer, seed=9):
    """Give every parameter values that a missing factor would show."""
    for parameter in layer.parameters():
        parameter.data = normal(seed, *parameter.shape) + 0.1
    return layer


def network(**options):
    return Sequential(
        Conv2d(1, 4, 3, bias=False),
        BatchNorm2d(4),
        ReLU(),
        Flatten(),
        Linear(4 * 3 * 4, 5),
        BatchNorm1d(5),
        ReLU(),
        weight_norm(Linear(5, 3)),
        **{"seed": 3} | options,
    )


def examples(count=12):
    return normal(1, count, 1, 5, 6).astype(np.float32), np.arange(count) % 3


# ---- the statistics of what comes out -----------------------------------------------------------


@both_devices
@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (BatchNorm1d(3), (8, 3), 0),
        (BatchNorm1d(3), (4, 3, 5), (0, 2)),
        (BatchNorm2d(3), (4, 3, 5, 2), (0, 2, 3)),
        (LayerNorm((3, 4)), (5, 3, 4), (1, 2)),
        (GroupNorm(3, 3), (2, 3, 4, 5), (2, 3)),
        (GroupNorm(1, 3), (2, 3, 4, 5), (1, 2, 3)),
    ],
    ids=repr,
)
def test_fresh_layers_give_mean_0_and_variance_1(layer, shape, axes, device):
    layer = copy.deepcopy(layer).to(device, "float64")
    layer.eps = 0.0
    y = layer(3 + 2 * normal(1, *shape))
    # a mean of at most 40 numbers that are off by 40 units of float64 and A = 3 / 2 or so
    np.testing.assert_allclose(y.mean(axes), 0, rtol=0, atol=500 * DOUBLE)
    np.testing.assert_allclose(y.var(axes), 1, rtol=0, atol=500 * DOUBLE)


def test_numbers_far_from_0_keep_their_digits():
    """10000 give or take 0.01 in float32, against float64 by formula; bound: checks_norms.py."""
    x = (1e4 + 1e-2 * normal(2, 16, 2, 5, 5)).astype(np.float32)
    dy = normal(3, *x.shape).astype(np.float32)
    layer = BatchNorm2d(2)
    y, dx = layer(x), layer.backward(dy)
    exact = x.astype(np.float64)
    axes = {"axis": (0, 2, 3), "keepdims": True}
    centred = exact - exact.mean(**axes)
    inverse = 1 / np.sqrt((centred**2).mean(**axes) + 1e-5)
    xhat = centred * inverse
    inner = dy - dy.mean(**axes, dtype=np.float64) - xhat * (dy * xhat).mean(**axes)
    views = x.reshape(16, 2, 25), dy.reshape(16, 2, 25)
    sizes = magnitudes(*views, np.ones((2, 1)), np.zeros((2, 1)), BATCH, 1e-5, np.float32)
    for got, want, name in ((y, xhat, "y"), (dx, inverse * inner, "dx")):
        allowed = bound(400, np.float32, sizes[name].reshape(x.shape))
        assert (np.abs(got - want) <= allowed).all(), name
        assert allowed.max() < 1e-3 * np.abs(want).max(), "a bound that shows nothing"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layer",
    [LayerNorm(37), LayerNorm((3, 37)), GroupNorm(1, 3), GroupNorm(3, 3), LocalResponseNorm(2)],
    ids=repr,
)
def test_an_example_alone_gives_the_same_bits_as_in_a_batch(layer, dtype, monkeypatch):
    monkeypatch.setattr(cpu_jit, "SMALL", 0)  # small arrays have a build of their own
    layer = randomised(copy.deepcopy(layer).to(dtype=dtype))
    x, dy = normal(4, 64, 3, 37), normal(5, 64, 3, 37)
    y, dx = layer(x), layer.backward(dy)
    for n in (0, 17, 63):
        assert layer(x[n : n + 1]).tobytes() == y[n : n + 1].tobytes()
        assert layer.backward(dy[n : n + 1]).tobytes() == dx[n : n + 1].tobytes()


@both_devices
def test_groups_are_what_they_are_said_to_be(device):
    x = normal(6, 3, 4, 5, 2)
    one = GroupNorm(1, 4).to(device, "float64")(x)
    whole = LayerNorm((4, 5, 2)).to(device, "float64")(x)
    np.testing.assert_allclose(one, whole, rtol=0, atol=1e-14)
    each = GroupNorm(4, 4).to(device, "float64")(x)
    instance = BatchNorm1d(12).to(device, "float64")(x.reshape(1, 12, 10)).reshape(x.shape)
    np.testing.assert_allclose(each, instance, rtol=0, atol=1e-14)


@both_devices
def test_local_response_norm_by_hand(device):
    """Two channels of 3 and 4: an even window reaches one further down, and divides by 2 always."""
    layer = LocalResponseNorm(2, alpha=2.0, beta=0.5, k=0.0).to(device, "float64")
    y = layer(np.array([3.0, 4.0]).reshape(1, 2, 1))
    np.testing.assert_allclose(y.ravel(), [1, 0.8], rtol=1e-15)


# ---- gradients ----------------------------------------------------------------------------------

CHECKED = {
    "batch": (lambda: BatchNorm2d(3), (2, 3, 2, 3)),
    "batch, one number each": (lambda: BatchNorm1d(2, eps=0.1), (4, 2)),
    "batch, no bias": (lambda: BatchNorm1d(2, bias=False), (3, 2, 2)),
    "layer": (lambda: LayerNorm((2, 3)), (3, 2, 3)),
    "group": (lambda: GroupNorm(2, 4), (2, 4, 3)),
    "weight": (lambda: weight_norm(Conv2d(2, 2, (1, 2)), dim=1), (1, 2, 2, 3)),
    "weight of a weight": (lambda: weight_norm(LayerNorm(4), dim=None), (2, 4)),
    "both": (
        lambda: weight_norm(weight_norm(Linear(3, 2)), "bias", dim=None),
        (2, 3),
    ),
}


@both_devices
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CHECKED)
def test_gradients_with_weights_that_are_not_1(name, training, device):
    make, shape = CHECKED[name]
    layer = randomised(make().to(device)).train(training)
    if isinstance(layer, BatchNorm1d | BatchNorm2d):
        layer.running_mean += 0.3
        layer.running_var *= 2
    report = gradcheck(layer, normal(7, *shape))
    assert {verdict.verdict for verdict in report.verdicts} == {"pass"}, report


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [lambda: BatchNorm1d(3), lambda: LayerNorm(3)])
def test_the_input_gradient_can_be_spared(make, training):
    layer = randomised(make().to(dtype="float64")).train(training)
    x, dy = normal(8, 5, 3), normal(9, 5, 3)
    layer(x)
    layer.backward(dy)
    expected = [parameter.grad for parameter in layer.parameters()]
    layer.zero_grad()
    layer.input_gradient = False
    assert layer.backward(dy) is None
    for parameter, grad in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.grad, grad, rtol=0, atol=1e-14)


def test_in_evaluation_the_statistics_are_constants():
    layer = randomised(BatchNorm2d(2).to(dtype="float64")).eval()
    layer.load_state_dict(layer.state_dict() | {"running_var": [4, 9], "running_mean": [1, 2]})
    x, dy = normal(1, 2, 2, 3, 1), normal(2, 2, 2, 3, 1)
    y, dx = layer(x), layer.backward(dy)
    slope = (layer.weight.data / np.sqrt(np.array([4, 9]) + 1e-5)).reshape(2, 1, 1)
    offset = layer.bias.data.reshape(2, 1, 1)
    np.testing.assert_allclose(y, (x - [[[1]], [[2]]]) * slope + offset, rtol=0, atol=1e-15)
    np.testing.assert_allclose(dx, dy * slope, rtol=1e-15)
    assert layer.state_dict()["num_batches_tracked"] == 0


# ---- running statistics and other state ---------------------------------------------------------


def test_state_has_pytorchs_names_and_order():
    assert list(BatchNorm2d(3).state_dict()) == [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    assert next(iter(BatchNorm1d(3, affine=False).state_dict())) == "running_mean"
    assert BatchNorm1d(3, affine=False, track_running_stats=False).state_dict() == {}
    assert list(LayerNorm(3, bias=False).state_dict()) == ["weight"]
    assert LayerNorm(3, elementwise_affine=False).state_dict() == {}
    assert list(weight_norm(Linear(3, 2)).state_dict()) == ["bias", "weight_g", "weight_v"]
    count = BatchNorm2d(3).state_dict()["num_batches_tracked"]
    assert (count.dtype, count.shape) == (np.int64, ())


@both_devices
@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_statistics_are_means_of_those_of_the_batches(momentum, device):
    layer = BatchNorm1d(2, momentum=momentum).to(device, "float64")
    mean, var = np.zeros(2), np.ones(2)
    for step in range(1, 5):
        x = normal(step, 5, 2) * step
        layer(x)
        share = 1 / step if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean(0)
        var = (1 - share) * var + share * x.var(0, ddof=1)
        assert layer.num_batches_tracked == step
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-13)
    layer.eval()
    layer(x)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    layer.reset_running_stats()
    assert [float(values.sum()) for values in list(layer.state_dict().values())[2:]] == [0, 2, 0]


def test_without_running_statistics_evaluation_takes_the_batch():
    layer = BatchNorm1d(2, track_running_stats=False)
    x = normal(1, 5, 2)
    trained = layer(x)
    np.testing.assert_array_equal(layer.eval()(x), trained)
    layer.reset_running_stats()
    assert layer.running_mean is None


def test_running_statistics_move_change_precision_and_are_forgotten():
    layer = BatchNorm1d(2)
    layer(normal(1, 5, 2))
    kept = layer.running_mean.copy()
    assert kept.dtype == np.float32
    layer.to("reference", "float64")
    assert layer.running_mean.dtype == layer.running_var.dtype == np.float64
    assert layer.num_batches_tracked.dtype == np.int64
    np.testing.assert_array_equal(layer.running_mean, kept)
    layer.reseed(1)
    assert layer.running_mean.tolist() == [0, 0]
    assert layer.num_batches_tracked == 0


def test_no_grad_still_follows_the_batches():
    layer = BatchNorm1d(2)
    with no_grad():
        layer(normal(1, 5, 2))
    assert layer.num_batches_tracked == 1


def test_a_network_learns_is_copied_saved_and_loaded(tmp_path):
    x, labels = examples()
    model = network()
    before = model.state_dict()
    fast = functools.partial(Adam, lr=0.03)
    history = model.fit(x, labels, 15, 6, optimizer=fast, verbose=False, seed=1)
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] / 2
    state = model.state_dict()
    assert state["1.num_batches_tracked"] == state["5.num_batches_tracked"] == 30
    assert all((state[name] != before[name]).any() for name in state)

    model.evaluate(x, labels)
    scores = model.predict(x)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, state[name], name)

    model.save(tmp_path / "weights.safetensors")
    loaded = network(seed=8).load(tmp_path / "weights.safetensors")
    others = {
        "copied": model.copy(),
        "loaded": loaded,
        "pickled": pickle.loads(pickle.dumps(model)),
    }
    for how, other in others.items():
        for name, values in other.state_dict().items():
            assert values.shape == state[name].shape, (how, name)
            assert values.dtype == state[name].dtype, (how, name)
        np.testing.assert_array_equal(other.predict(x), scores, how)
        other.fit(x, labels, batch_size=6, verbose=False)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, state[name], name)


def test_reseeding_gives_the_fresh_network():
    x, labels = examples()
    used, fresh = network(), network()
    used.fit(x, labels, batch_size=6, verbose=False)
    used.reseed(3)
    for name, values in fresh.state_dict().items():
        np.testing.assert_array_equal(used.state_dict()[name], values, name)


def test_summary_counts_weights_and_not_statistics():
    rows = network().summary((1, 5, 6)).rows
    assert [row.parameters for row in rows] == [36, 8, 0, 0, 245, 10, 0, 21]
    assert rows[1].layer == "BatchNorm2d(4)"
    assert rows[1].output_shape == (1, 4, 3, 4)
    assert rows[1].macs == 4 * 3 * 4
    assert rows[1].receptive_field == (3, 3)
    assert rows[5].macs == 5
    others = Sequential(
        LocalResponseNorm(3), GroupNorm(2, 4), LayerNorm((3, 5), elementwise_affine=False)
    )
    rows = others.summary((4, 3, 5)).rows
    assert [row.receptive_field for row in rows] == [(1, 1), None, None]
    assert [row.macs for row in rows] == [0, 60, 0]
    assert [row.parameters for row in rows] == [0, 8, 0]
