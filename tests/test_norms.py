"""What the normalisations promise: the statistics of their outputs, state, modes, errors."""

import copy
import functools
import pickle

import numpy as np
import pytest
from checks_norms import BATCH, DOUBLE, bound, magnitudes

from numcnn import (
    SGD,
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
    ShapeError,
    gradcheck,
    no_grad,
    remove_weight_norm,
    weight_norm,
)
from numcnn.init import kaiming_normal_

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
def test_an_example_alone_gives_the_same_bits_as_in_a_batch(layer, dtype):
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


# ---- weight normalisation -----------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_changes_no_output(dim, device):
    plain = Linear(4, 3, device=device, dtype="float64")
    normed = weight_norm(copy.deepcopy(plain), dim=dim)
    x = normal(1, 2, 4)
    np.testing.assert_allclose(normed(x), plain(x), rtol=0, atol=1e-14)
    assert normed.weight_g.shape == {0: (3, 1), 1: (1, 4), None: ()}[dim]
    dy = normal(2, 2, 3)
    np.testing.assert_allclose(normed.backward(dy), plain.backward(dy), rtol=0, atol=1e-14)
    assert normed.weight.grad is None
    along = (plain.weight.grad * plain.weight.data).sum({0: 1, 1: 0, None: None}[dim])
    lengths = normed.weight_g.data.ravel()
    np.testing.assert_allclose(normed.weight_g.grad.ravel() * lengths, along, rtol=1e-12)
    # a longer v changes nothing, so its gradient is at right angles to it
    across = normed.weight_v.grad * normed.weight_v.data
    np.testing.assert_allclose(across.sum({0: 1, 1: 0, None: None}[dim]), 0, atol=1e-13)


def test_the_length_is_g_however_long_v_is():
    layer = weight_norm(Linear(4, 3, dtype="float64"))
    layer.weight_g.data = np.array([[1.0], [2.0], [0.5]])
    layer.weight_v.data = 7 * normal(1, 3, 4)
    np.testing.assert_allclose(np.linalg.norm(layer.weight.data, axis=1), [1, 2, 0.5], rtol=1e-15)
    assert layer.weight.shape == (3, 4)
    assert layer.weight.size == 12
    assert layer.weight.dtype == np.float64
    assert "NormedWeight(shape=(3, 4), dim=0)" in repr(layer.weight)


def test_gradients_of_several_backward_passes_add_up():
    layer = weight_norm(Linear(4, 3, dtype="float64"))
    x = normal(1, 2, 4)
    grads = []
    for dy in (normal(2, 2, 3), normal(3, 2, 3)):
        layer.zero_grad()
        layer(x)
        layer.backward(dy)
        grads.append([parameter.grad.copy() for parameter in layer.parameters()])
    layer.zero_grad()
    for dy in (normal(2, 2, 3), normal(3, 2, 3)):
        layer(x)
        layer.backward(dy)
    for parameter, first, second in zip(layer.parameters(), *grads, strict=True):
        assert np.abs(first).max() > 0
        np.testing.assert_array_equal(parameter.grad, first + second)


def test_weight_norm_of_a_given_weight_and_of_one_to_be_drawn():
    layer = Linear(4, 3)
    given = normal(1, 3, 4).astype(np.float32)
    layer.weight.data = given
    weight_norm(layer)
    np.testing.assert_allclose(layer.weight.data, given, rtol=1e-6)
    layer.reseed(5)
    drawn = layer.weight_v.data
    assert (drawn != given).all()
    np.testing.assert_allclose(layer.weight.data, drawn, rtol=1e-6)
    # g follows from the seed too, not from what v was given meanwhile
    layer.reseed(5)
    layer.weight_v.data = given
    lengths = np.linalg.norm(drawn, axis=1, keepdims=True)
    np.testing.assert_allclose(layer.weight_g.data, lengths, rtol=1e-6)


def test_the_weight_as_a_whole_can_be_assigned():
    layer = weight_norm(Linear(4, 3))
    kaiming_normal_(layer.weight)
    values = layer.weight_v.data
    np.testing.assert_allclose(layer.weight.data, values, rtol=1e-6)
    np.testing.assert_allclose(
        layer.weight_g.data, np.linalg.norm(values, axis=1, keepdims=True), rtol=1e-6
    )


def test_weight_norm_survives_copies_pickles_devices_and_precisions():
    layer = weight_norm(Conv2d(1, 2, 3), dim=None)
    x = normal(1, 1, 1, 4, 5)
    y = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(x), y)
        other.weight_g.data = other.weight_g.data * 2
        bias = other.bias.data.reshape(2, 1, 1)
        np.testing.assert_allclose(other(x) - bias, 2 * (y - bias), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(layer(x), y)
    layer.to("reference", "float64")
    assert layer.weight.dtype == np.float64
    assert layer.weight.device.name == "reference"
    np.testing.assert_allclose(layer(x), y, rtol=0, atol=1e-5)
    layer.backward(y)
    assert layer.weight_g.grad.shape == ()
    fresh = weight_norm(Conv2d(1, 2, 3), dim=None).to("reference", "float64")
    fresh.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(fresh(x), layer(x))


def test_an_optimizer_moves_length_and_direction_and_they_can_be_joined_again():
    layer = weight_norm(Linear(4, 3))
    optimizer = SGD(layer.parameters(), lr=0.1)
    before = layer.state_dict()
    x = normal(1, 5, 4)
    layer.backward(layer(x))
    optimizer.step()
    assert all((layer.state_dict()[name] != before[name]).any() for name in before)
    y = layer(x)
    assert remove_weight_norm(layer) is layer
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    assert not hasattr(layer, "weight_g")
    np.testing.assert_array_equal(layer(x), y)
    assert layer.weight.grad is None
    layer.backward(y)
    assert layer.weight.grad.shape == (3, 4)


# ---- what is shown and what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: BatchNorm1d(5), "BatchNorm1d(5)"),
        (
            lambda: BatchNorm2d(5, 1e-3, None, False, False),
            "BatchNorm2d(5, eps=0.001, affine=False, momentum=None, track_running_stats=False)",
        ),
        (lambda: BatchNorm2d(5, bias=False), "BatchNorm2d(5, bias=False)"),
        (lambda: LayerNorm(4), "LayerNorm(4)"),
        (lambda: LayerNorm((3, 4), bias=False), "LayerNorm((3, 4), bias=False)"),
        (lambda: LayerNorm(4, elementwise_affine=False), "LayerNorm(4, elementwise_affine=False)"),
        (lambda: GroupNorm(2, 6, 0.1), "GroupNorm(2, 6, eps=0.1)"),
        (lambda: LocalResponseNorm(5), "LocalResponseNorm(5)"),
        (lambda: LocalResponseNorm(5, 0.1, k=2), "LocalResponseNorm(5, alpha=0.1, k=2)"),
    ],
)
def test_repr_shows_how_the_layer_was_made(layer, text):
    assert repr(layer()) == text


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            BatchNorm1d(3),
            (1, 3),
            ["more than 1 value per channel when training", "(1, 3)", "eval()"],
        ),
        (BatchNorm2d(3), (1, 3, 1, 1), ["more than 1 value per channel", "(1, 3, 1, 1)"]),
        (BatchNorm2d(3), (2, 4, 5, 6), ["BatchNorm2d(3)", "expects 3 channels (axis 1), got 4"]),
        (BatchNorm2d(3), (3, 5, 6), ["4 axes, got 3 axes", "x[None]"]),
        (BatchNorm2d(3), (2, 3, 0, 6), ["BatchNorm2d(3)", "0 pixels", "(2, 3, 0, 6)"]),
        (BatchNorm1d(3), (2, 3, 4, 5), ["2 or 3 axes, got 4 axes", "need BatchNorm2d"]),
        (BatchNorm1d(3), (3,), ["(N, C) or (N, C, L)", "got 1 axis: (3,)"]),
        (LayerNorm((3, 4)), (2, 4, 3), ["last 2 axes have size (3, 4), got (4, 3)", "(2, 4, 3)"]),
        (LayerNorm(4), (4, 3), ["last axis have size (4,), got (3,)"]),
        (GroupNorm(2, 4), (2, 6, 5), ["GroupNorm(2, 4)", "expects 4 channels (axis 1), got 6"]),
        (GroupNorm(2, 4), (4,), ["(N, C, ...)", "got 1 axis: (4,)"]),
        (GroupNorm(4, 4), (1, 4), ["more than 1 value in a group", "Use fewer groups"]),
        (LocalResponseNorm(3), (2, 5), ["3 axes or more, got 2 axes: (2, 5)"]),
    ],
    ids=str,
)
def test_inputs_that_dont_fit(layer, shape, words):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros(shape))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: BatchNorm1d(0), ValueError, "num_features must be at least 1"),
        (lambda: BatchNorm1d(2.5), TypeError, "num_features must be a whole number"),
        (lambda: BatchNorm1d(3, eps=-1), ValueError, "eps must be 0 or more, got -1"),
        (lambda: BatchNorm2d(3, momentum=2), ValueError, "momentum must lie between 0 and 1"),
        (lambda: LayerNorm(()), ValueError, "normalized_shape must name at least one axis"),
        (lambda: LayerNorm((3, 0)), ValueError, "normalized_shape must be at least 1"),
        (lambda: GroupNorm(2, 3), ValueError, "num_channels=3 can't be cut into num_groups=2"),
        (lambda: GroupNorm(0, 3), ValueError, "num_groups must be at least 1"),
        (lambda: LocalResponseNorm(0), ValueError, "size must be at least 1"),
        (lambda: weight_norm("Linear"), TypeError, "weight_norm takes a layer, got 'Linear'"),
        (lambda: weight_norm(ReLU()), ValueError, "no parameter 'weight' of its own; it has none"),
        (lambda: weight_norm(Linear(2, 3), "w"), ValueError, "'w' of its own; it has weight, bias"),
        (
            lambda: weight_norm(weight_norm(Linear(2, 3))),
            ValueError,
            "normalised already; remove_weight_norm undoes it",
        ),
        (
            lambda: weight_norm(Linear(2, 3), dim=-1),
            ValueError,
            r"dim must be an axis of weight, 0 to 1, or None .* got -1: weight has shape \(3, 2\)",
        ),
        (
            lambda: remove_weight_norm(Linear(2, 3)),
            ValueError,
            "weight of Linear.* has no weight normalisation to remove",
        ),
    ],
)
def test_arguments_that_make_no_layer(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_an_evaluated_layer_takes_a_single_value():
    assert BatchNorm1d(3).eval()(np.zeros((1, 3))).shape == (1, 3)
    assert BatchNorm1d(3)(np.zeros((1, 3, 2))).shape == (1, 3, 2)


def test_a_running_count_of_another_type_is_taken_and_of_another_shape_refused():
    layer = BatchNorm1d(2)
    state = layer.state_dict() | {"num_batches_tracked": np.array(7.0)}
    layer.load_state_dict(state)
    assert (layer.num_batches_tracked, layer.num_batches_tracked.dtype) == (7, np.int64)
    with pytest.raises(ValueError, match=r"running_mean has shape \(3,\), expected \(2,\)"):
        layer.load_state_dict(state | {"running_mean": np.zeros(3)})
