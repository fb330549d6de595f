"""Looking into a network: which layer is meant, and that nothing in it is changed."""

import numpy as np
import pytest

from numcnn import (
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    ShapeError,
    Softmax,
    pictures,
)
from numcnn.pictures.inner import Prefix, flat, looking_into, one_picture, picture_shape

X = np.random.default_rng(3).standard_normal((1, 2, 6, 7)).astype(np.float32)


def nested(**options):
    """Rows inside a row: positions 0, 1.0, 1.1, 1.2.0, 2 and 3."""
    return Sequential(
        Conv2d(2, 3, 3),
        Sequential(ReLU(), Conv2d(3, 4, 2), Sequential(MaxPool2d(2))),
        Flatten(),
        Linear(4 * 1 * 2, 5),
        seed=1,
        **options,
    )


class Running(Layer):
    """What a normalisation does to its buffer: in training, it is overwritten in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", np.zeros(2, np.float32))
        self.register_buffer("batches", np.zeros((), np.int64))

    def _forward(self, x):
        if self.training:
            self.mean[:] = self.device.to_host(x).mean()
            self.batches += 1
        self.save_for_backward(x)
        return x

    def _backward(self, dy):
        return dy


# ---- which layer is meant ---------------------------------------------------------------------


def test_layers_have_the_names_of_the_state_dict():
    model = nested()
    assert [name for name, _ in flat(model)] == ["0", "1.0", "1.1", "1.2.0", "2", "3"]
    assert {name.rpartition(".")[0] for name in model.state_dict()} <= set(dict(flat(model)))


@pytest.mark.parametrize(
    ("layer", "name", "kind", "shape"),
    [
        (0, "0", Conv2d, (1, 3, 4, 5)),
        (np.int64(0), "0", Conv2d, (1, 3, 4, 5)),
        ("1.0", "1.0", ReLU, (1, 3, 4, 5)),
        ("1.1", "1.1", Conv2d, (1, 4, 3, 4)),
        ("1.2.0", "1.2.0", MaxPool2d, (1, 4, 1, 2)),
        ("1.2", "1.2", MaxPool2d, (1, 4, 1, 2)),
        (1, "1", MaxPool2d, (1, 4, 1, 2)),
        (-3, "1", MaxPool2d, (1, 4, 1, 2)),
        (-1, "3", Linear, (1, 5)),
    ],
)
def test_a_prefix_ends_where_it_is_told(layer, name, kind, shape):
    prefix = Prefix(nested(), layer)
    assert prefix.name == name
    assert isinstance(prefix.layer, kind)
    assert prefix.output_shape(X.shape) == shape


@pytest.mark.parametrize("layer", [4, -5, "1.3", "x", "0.0", True, 1.5, "-1"])
def test_an_unknown_layer_gets_the_list_of_all(layer):
    with pytest.raises(ValueError, match=r"its layers are 0 Conv2d, 1.0 ReLU, .*, 3 Linear"):
        Prefix(nested(), layer)


def test_ten_is_not_one():
    model = Sequential(*(ReLU() for _ in range(12)))
    assert len(Prefix(model, 1).rows) == 2
    assert len(Prefix(model, 10).rows) == 11


def test_only_rows_of_layers_are_looked_into():
    with pytest.raises(TypeError, match="must be a Sequential, got Conv2d"):
        pictures.filters(Conv2d(1, 1, 3))


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_and_backward_are_those_of_the_network(device, dtype):
    model = nested(device=device, dtype=dtype)
    x = X.astype(dtype)
    with looking_into(model):
        prefix = Prefix(model, -1)
        y = np.array(prefix.forward(x))
        dx = np.array(prefix.backward(np.ones_like(y)))
    assert y.dtype == dx.dtype == dtype
    assert np.array_equal(y, model(x))
    assert np.array_equal(dx, model.backward(np.ones_like(y)))


# ---- afterwards everything is as it was -------------------------------------------------------


def trained_on():
    """A network in the middle of a training step: its backward pass has yet to come."""
    model = Sequential(
        Conv2d(2, 3, 3), Running(), ReLU(), Dropout(0.5), Flatten(), Linear(60, 5), seed=0
    )
    model[2].eval()  # a mode that isn't that of the others
    model[0].input_gradient = False
    model.backward(np.ones_like(model(X)))
    y = model(X)
    return model, y


LOOKS = {
    "filters": lambda m: pictures.filters(m),
    "feature_maps": lambda m: pictures.feature_maps(m, X),
    "saliency": lambda m: pictures.saliency(m, X),
    "activation_maximization": lambda m: pictures.activation_maximization(m, 1, steps=2),
    "deep_dream": lambda m: pictures.deep_dream(m, X, 2, octaves=1, steps=2),
    "receptive_field": lambda m: pictures.receptive_field(m, 2),
    "dead_units": lambda m: pictures.dead_units(m, X),
    "gradient_flow": lambda m: pictures.gradient_flow(m, X, np.array([2])),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_changes_nothing(look):
    model, y = trained_on()
    twin, _ = trained_on()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    attributes = [dict(vars(layer)) for layer in model.layers()]
    weights = model.state_dict()
    LOOKS[look](model)
    for (name, parameter), before in zip(model.named_parameters(), gradients.values(), strict=True):
        assert parameter.grad is before, name
        assert np.array_equal(parameter.data, weights[name])
    assert np.array_equal(model.state_dict()["1.mean"], weights["1.mean"])
    assert model.state_dict()["1.batches"] == 2
    for layer, before in zip(model.layers(), attributes, strict=True):
        assert vars(layer).keys() == before.keys()
        same = {n for n in before if n not in ("mean", "batches")}
        assert all(vars(layer)[n] is before[n] for n in same), layer
    # the backward pass that was due gives what it would have given
    model.backward(np.ones_like(y))
    twin.backward(np.ones_like(y))
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert np.array_equal(mine.grad, other.grad)


def test_a_look_that_fails_changes_nothing_either():
    model, _ = trained_on()
    before = [p.grad for p in model.parameters()]

    def look():
        with looking_into(model, training=True):
            model.backward(np.ones_like(model(X)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    assert [p.grad is g for p, g in zip(model.parameters(), before, strict=True)] == [True] * 4
    assert model[3].calls == 2
    assert model.state_dict()["1.batches"] == 2
    assert not model[2].training
    assert model[3].training


def test_pictures_are_taken_in_evaluation_mode():
    model = Sequential(Flatten(), Dropout(0.9), seed=0)
    assert np.array_equal(pictures.feature_maps(model, X).maps["1"], X.ravel())


# ---- what is one picture ----------------------------------------------------------------------


def test_one_picture():
    assert one_picture(X[0]).shape == X.shape
    assert one_picture(X).shape == X.shape
    with pytest.raises(ShapeError, match=r"one picture .*got shape \(3, 2, 6, 7\).*x\[0\]"):
        one_picture(np.zeros((3, 2, 6, 7)))
    with pytest.raises(ShapeError, match=r"got shape \(6, 7\)$"):
        one_picture(X[0, 0])
    with pytest.raises(ValueError, match="finite"):
        one_picture(np.full((1, 2, 2), np.nan))
    with pytest.raises(ValueError, match="real numbers"):
        one_picture(np.full((1, 2, 2), 1j))
    with pytest.raises(TypeError, match="masked"):
        one_picture(np.ma.masked_equal(X, 0))


def test_the_shape_of_a_picture():
    model = nested()
    with pytest.raises(ValueError, match="say input_shape"):
        picture_shape(model, None)
    model(X)
    assert picture_shape(model, None) == (2, 6, 7)
    assert picture_shape(model, (3, 8, 9)) == (3, 8, 9)
    assert picture_shape(model, (5, 3, 8, 9)) == (3, 8, 9)
    with pytest.raises(ShapeError, match=r"must be \(C, H, W\), got \(8, 9\)"):
        picture_shape(model, (8, 9))


def test_a_picture_that_does_not_fit_is_reported_with_its_layer():
    with pytest.raises(ShapeError, match=r"layer 0: Conv2d.* expects 2 input channels"):
        pictures.feature_maps(nested(), np.zeros((1, 6, 7)))
    with pytest.raises(ShapeError, match=r"one score per class"):
        pictures.saliency(Sequential(Conv2d(2, 3, 3), Softmax()), X)
