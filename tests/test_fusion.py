"""A ReLU computed by the layer before it: not a bit of what comes out may depend on it.

Every network is compared with a twin whose layers say that they can't fuse (`apart`).
"""

import copy
import pickle

import numpy as np
import pytest
from checks_kernels import channels_last, normal

from numcnn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    NaNGuard,
    ReLU,
    Residual,
    Sequential,
    gradcheck,
    no_grad,
)
from numcnn.curves import record_dead
from numcnn.pictures import dead_units, feature_maps

NETWORKS = {
    # name: layers, shape of the input, places that fuse in training, and in evaluation
    "convolution": (
        lambda: [Conv2d(3, 5, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(5, 4, 2), ReLU()],
        (4, 3, 8, 6),
        {0, 3},
        {0, 3},
    ),
    "normalised": (
        lambda: [
            *(Conv2d(3, 20, 3, 2, bias=False), BatchNorm2d(20), ReLU(), ReLU()),
            *(Conv2d(20, 6, (2, 3), groups=2), ReLU(), BatchNorm2d(6, affine=False), ReLU()),
            *(Flatten(), Linear(54, 7), ReLU()),
        ],
        (4, 3, 9, 11),
        {1, 4, 6},
        {4},
    ),
    "dense": (
        lambda: [Linear(6, 9), BatchNorm1d(9, momentum=None), ReLU(), Linear(9, 4), ReLU()],
        (7, 6),
        {1},
        set(),
    ),
    "flattened": (
        lambda: [Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), ReLU(), Flatten()],
        (3, 2, 6, 5),
        {0},
        {0},
    ),
    "winograd": (
        lambda: [Conv2d(48, 49, 3, padding=1), ReLU(), Conv2d(49, 48, 3), ReLU()],
        (6, 48, 13, 14),
        {0, 2},
        {0, 2},
    ),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
both = pytest.mark.parametrize("dtype", ["float32", "float64"])


def apart(model):
    """Have every layer refuse to compute a ReLU along."""
    for layer in model.layers():
        layer.fuses_relu = lambda: False
    return model


def never():
    return False


def twins(name, dtype="float32"):
    """Return a network, and another with the same weights that doesn't fuse.

    Neither folds batch normalisation into weights, which rounds otherwise (test_folding.py).
    """
    make = NETWORKS[name][0]
    model, plain = (Sequential(*make(), dtype=dtype, seed=3) for _ in range(2))
    for layer in (*model, *plain):
        if isinstance(layer, BatchNorm2d):
            layer.folds = never
    return model, apart(plain)


def examples(name, dtype="float32", seed=1):
    model = Sequential(*NETWORKS[name][0]())
    shape = NETWORKS[name][1]
    x, dy = normal(seed, *shape), normal(seed + 1, *model.output_shape(shape))
    return x.astype(dtype), dy.astype(dtype)


def same_bits(one, other):
    if one is None or other is None:
        assert one is other
        return
    one, other = np.asarray(one), np.asarray(other)
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    np.testing.assert_array_equal(one, other)
    assert one.tobytes() == other.tobytes()


def compare_all(model, plain):
    """Assert that gradients and state, running statistics included, are the same to the bit."""
    for own, other in zip(model.parameters(), plain.parameters(), strict=True):
        same_bits(own.grad, other.grad)
    state = plain.state_dict()
    for key, values in model.state_dict().items():
        same_bits(values, state[key])


def fused(model):
    """Return the places that the last forward pass fused."""
    return set(model._saved[0])


@both
@each_network
@pytest.mark.parametrize("training", [True, False])
def test_not_a_bit_depends_on_it(name, training, dtype):
    model, plain = (each.train(training) for each in twins(name, dtype))
    for step in range(2):  # whose gradients are added
        x, dy = examples(name, dtype, 10 * step)
        same_bits(model(x), plain(x))
        assert fused(model) == NETWORKS[name][2 if training else 3]
        assert fused(plain) == set()
        same_bits(model.backward(dy), plain.backward(dy))
    compare_all(model, plain)
    assert all(np.abs(parameter.grad).max() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("name", ["convolution", "normalised", "winograd"])
def test_not_a_bit_depends_on_it_in_either_order_of_memory(name):
    model, plain = twins(name)
    x, dy = examples(name)
    last = channels_last(dy) if dy.ndim == 4 else dy
    for given in (dy, last):
        same_bits(model(channels_last(x)), plain(channels_last(x)))
        same_bits(model.backward(given), plain.backward(given))
    compare_all(model, plain)


@both
@each_network
def test_the_first_layer_may_leave_its_input_gradient_out(name, dtype):
    model, plain = twins(name, dtype)
    x, dy = examples(name, dtype)
    for each in (model, plain):
        each[0].input_gradient = False
        each(x)
        assert each.backward(dy) is None
    compare_all(model, plain)


def test_a_normalisation_may_come_first_and_spare_its_input_gradient():
    for spared in (False, True):
        layers = [[BatchNorm2d(3), ReLU(), Conv2d(3, 2, 2)] for _ in range(2)]
        model, plain = Sequential(*layers[0], seed=1), apart(Sequential(*layers[1], seed=1))
        x, dy = normal(1, 4, 3, 5, 6), normal(2, 4, 2, 4, 5)
        model[0].input_gradient = plain[0].input_gradient = not spared
        same_bits(model(x), plain(x))
        assert fused(model) == {0}
        same_bits(model.backward(dy), plain.backward(dy))
        compare_all(model, plain)


@each_network
def test_copies_and_predictions_change_nothing(name):
    model, plain = twins(name)
    x, dy = examples(name)
    for each in (model, plain):
        each(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.copy()):
        with pytest.raises(RuntimeError, match="backward was called before forward"):
            other.backward(dy)
        same_bits(other.eval()(x), copy.deepcopy(plain).eval()(x))
        other.backward(dy)
    same_bits(model.backward(dy), plain.backward(dy))
    compare_all(model, plain)
    same_bits(model.predict(x), plain.predict(x))
    with no_grad():
        same_bits(model(x), plain(x))
    for each in (model, *model):
        assert each._saved is None
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        model.backward(dy)
    compare_all(model, plain)


@each_network
def test_layers_can_go_back_one_by_one(name):
    model, plain = twins(name)
    x, dy = examples(name)
    model(x), plain(x)
    expected = plain.backward(dy)
    for layer in reversed(list(model)):
        dy = layer.backward(dy)
    same_bits(dy, expected)
    compare_all(model, plain)


@pytest.mark.parametrize("name", ["convolution", "winograd"])
def test_a_layer_that_has_run_by_itself_goes_back_by_itself(name):
    """As without fusion, each layer goes back through what it saw last."""
    (x, dy), (other, _) = examples(name), examples(name, seed=20)
    for places in ((0,), (0, 1)):
        model, plain = twins(name)
        for each in (model, plain):
            each(x)
            z = other
            for place in places:
                z = each[place](z)
        same_bits(model.backward(dy), plain.backward(dy))
        compare_all(model, plain)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("method", ["forward", "backward", "_forward", "_backward"])
def test_a_function_put_in_the_place_of_a_layers_is_called(place, method):
    model, plain = twins("convolution")
    x, dy = examples("convolution")
    for early in (True, False):
        if not early:  # between the passes
            vars(model[place]).pop(method)
            model(x), plain(x)
            assert fused(model) == {0, 3}
        calls = []
        own = getattr(model[place], method)
        setattr(model[place], method, lambda a, own=own, calls=calls: (calls.append(1), own(a))[1])
        if early:
            model(x), plain(x)
            assert fused(model) == {3}
        same_bits(model.backward(dy), plain.backward(dy))
        assert len(calls) == (early or "backward" in method)
    compare_all(model, plain)


class Doubled(Conv2d):
    def _forward(self, x):
        return 2 * super()._forward(x)

    def _backward(self, dy):
        return super()._backward(2 * dy)


class Leaking(ReLU):
    def _forward(self, x):
        return super()._forward(x) + 1


class Shifted(BatchNorm2d):
    def _forward(self, x):
        return super()._forward(x) - 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Doubled(2, 3, 2), ReLU()],
        lambda: [Conv2d(2, 3, 2), Leaking()],
        lambda: [Shifted(2), ReLU()],
        lambda: [Conv2d(2, 3, 2, algorithm="loops"), ReLU()],
        lambda: [Conv2d(2, 3, 2), ReLU().to("reference")],
    ],
    ids=["convolution", "relu", "normalisation", "named-algorithm", "elsewhere"],
)
def test_what_is_no_plain_pair_is_left_alone(make):
    layers = make()
    model = Sequential(*layers, seed=1)
    model[1].device = make()[1].device  # Sequential has moved both
    x = normal(1, 2, 2, 4, 5)
    y = model(x)
    assert fused(model) == set()
    same_bits(y, model[1](model[0](x)))
    assert (y > 0).any()


@both
@each_network
def test_arrays_of_the_user_are_never_written_to(name, dtype):
    model = Sequential(*NETWORKS[name][0](), dtype=dtype, seed=3)
    held = []

    def hold(array):
        held.append((array, array.copy()))
        return array

    for step in range(3):
        x, dy = examples(name, dtype, 10 * step)
        hold(model(hold(x)))
        hold(model.backward(hold(dy)))
    for array, before in held:
        same_bits(array, before)


def test_inside_branches_too():
    def make():
        block = [Conv2d(4, 4, 3, padding=1), BatchNorm2d(4), ReLU(), Conv2d(4, 4, 1), ReLU()]
        return Sequential(Conv2d(2, 4, 3), ReLU(), Residual(Sequential(*block)), ReLU(), seed=2)

    model, plain = make(), apart(make())
    x, dy = normal(1, 3, 2, 7, 8), normal(2, 3, 4, 5, 6)
    same_bits(model(x), plain(x))
    assert (fused(model), fused(model[2].branch)) == ({0}, {1, 3})
    same_bits(model.backward(dy), plain.backward(dy))
    compare_all(model, plain)


def test_the_reference_does_without():
    model, slow = (Sequential(*NETWORKS["convolution"][0](), seed=3) for _ in range(2))
    slow.to("reference")
    x, dy = examples("convolution")
    # sums of at most 48 * 4 numbers of size 10
    near = {"rtol": 0, "atol": 200 * 10 * np.finfo(np.float32).eps}
    np.testing.assert_allclose(model(x), slow(x), **near)
    assert fused(slow) == set()
    np.testing.assert_allclose(model.backward(dy), slow.backward(dy), **near)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_finite_differences(training):
    layers = [Conv2d(2, 3, 2), ReLU(), Conv2d(3, 2, 2, bias=False), BatchNorm2d(2), ReLU()]
    model = Sequential(*layers, dtype="float64", seed=5).train(training)
    x = normal(3, 3, 2, 4, 5).astype(np.float64)
    assert gradcheck(model, x)
    model(x)
    assert fused(model) == ({0, 3} if training else {0})


# ---- what looks into a network ------------------------------------------------------------------


def test_the_guard_sees_the_layer_where_a_nan_arose():
    model, _ = twins("convolution")
    model[0].bias.data[1] = np.nan
    guard = NaNGuard()
    guard.on_train_begin(model)
    with pytest.raises(FloatingPointError, match=r"bias of layer 0, Conv2d"):
        model(examples("convolution")[0])
    guard.on_train_end()
    model(examples("convolution")[0])
    assert fused(model) == {0, 3}


def test_dead_units_and_maps_are_those_of_the_layers():
    model, plain = twins("convolution")
    x, dy = examples("convolution")
    for each in (model, plain):
        for place in (0, 3):
            each[place].bias.data[0] = -100.0
    found, expected = dead_units(model, x), dead_units(plain, x)
    assert found.units == expected.units
    assert found.channels == expected.channels
    assert found.channels == pytest.approx({"1": 1 / 5, "4": 1 / 4})
    figures = {}
    record_dead(model, x)(1, figures)
    assert figures["dead"] == pytest.approx(2 / 9)
    model(x), plain(x)
    ours, theirs = feature_maps(model, x[0]).maps, feature_maps(plain, x[0]).maps
    for place, values in theirs.items():
        same_bits(ours[place], values)
    assert (ours["0"] < 0).any(), "the convolution's own output is shown"
    same_bits(model.backward(dy), plain.backward(dy))
    compare_all(model, plain)
