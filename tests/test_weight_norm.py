"""Weight normalisation: outputs, gradients, state, and the way back."""

import copy
import pickle

import numpy as np
import pytest

from numcnn import SGD, Conv2d, Linear, ReLU, remove_weight_norm, weight_norm
from numcnn.init import kaiming_normal_

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


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
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert not hasattr(layer, "weight_g")
    np.testing.assert_array_equal(layer(x), y)
    assert layer.weight.grad is None
    layer.backward(y)
    assert layer.weight.grad.shape == (3, 4)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
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
def test_what_cannot_be_normalised(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_a_layer_freed_of_its_norm_draws_the_same_numbers_from_a_seed():
    plain, freed = Linear(3, 2), remove_weight_norm(weight_norm(Linear(3, 2)))
    for layer in (plain, freed):
        layer.reseed(7)
    for name, values in plain.state_dict().items():
        np.testing.assert_array_equal(freed.state_dict()[name], values)
