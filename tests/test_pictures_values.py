"""Filters, maps, saliency, dead units and gradients: the numbers, on networks known by heart."""

import numpy as np
import pytest

from numcnn import (
    SGD,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    ReLU,
    Sequential,
    ShapeError,
    Softmax,
    Tanh,
    pictures,
)
from numcnn.pictures.drawing import mosaic, to_pixels

RNG = np.random.default_rng(5)
devices = pytest.mark.parametrize("device", ["cpu", "reference"])


# ---- drawing: tiles and pixels ----------------------------------------------------------------


def test_a_mosaic_has_every_tile_in_its_place():
    tiles = np.arange(5 * 2 * 3.0).reshape(5, 2, 3)
    sheet = mosaic(tiles, columns=2)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1)
    for number, (top, left) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4), (6, 0)]):
        assert np.array_equal(sheet[top : top + 2, left : left + 3], tiles[number])
    assert np.isnan(sheet).sum() == sheet.size - tiles.size
    assert mosaic(tiles).shape == (2 * 3 - 1, 3 * 4 - 1)
    assert mosaic(tiles, columns=9, gap=2).shape == (2, 5 * 5 - 2)
    assert mosaic(np.ones((2, 2, 3, 3)), 1).shape == (5, 3, 3)


def test_pixels_go_from_black_to_white():
    picture = np.array([[[-3.0, 1.0], [0.0, -1.0]]])
    assert np.array_equal(to_pixels(picture), [[0, 1], [0.75, 0.5]])
    assert np.array_equal(to_pixels(picture, -1, 1), [[0, 1], [0.5, 0]])
    assert to_pixels(np.ones((3, 4, 5))).shape == (4, 5, 3)
    assert to_pixels(np.ones((2, 4, 5))).shape == (4, 5)
    assert np.isfinite(to_pixels(np.full((1, 2, 2), 7.0))).all()


# ---- filters ----------------------------------------------------------------------------------


def test_filters_are_the_weights():
    model = Sequential(Conv2d(1, 5, (2, 3)), ReLU(), Conv2d(5, 6, 3, groups=5 - 4), seed=0)
    found = pictures.filters(model)
    assert np.array_equal(found.weights, model.state_dict()["0.weight"])
    found.weights[:] = 0  # a copy
    assert model.state_dict()["0.weight"].all()
    assert pictures.filters(model, 2).weights.shape == (6, 5, 3, 3)


def test_the_scale_of_the_filters_is_symmetric():
    weights = np.array([[[[0.5, -2.0]]], [[[0.0, 1.0]]]])
    found = pictures.filters(Sequential(Conv2d(1, 2, (1, 2))))
    found = type(found)("0", weights)
    sheet = found.sheet()
    assert found.largest == 2
    assert np.array_equal(sheet[:, :2], [[0.625, 0.0]])
    assert np.array_equal(sheet[:, 3:], [[0.5, 0.75]])
    nothing = type(found)("0", weights * 0)
    assert np.nanmax(nothing.sheet()) == np.nanmin(nothing.sheet()) == 0.5


@pytest.mark.parametrize(
    ("shape", "sheet"),
    [
        ((4, 1, 3, 3), (7, 7)),
        ((4, 3, 3, 3), (7, 7, 3)),
        ((4, 2, 3, 3), (15, 7)),  # a row for each filter, a column for each channel
        ((70, 1, 3, 3), (31, 31)),  # the first 64
        ((20, 17, 3, 3), (63, 63)),  # the first 16 of each
    ],
)
def test_how_filters_are_laid_out(shape, sheet):
    weights = RNG.standard_normal(shape)
    assert pictures.Filters("0", weights).sheet().shape == sheet


def test_colours_stay_together_and_channels_stand_in_columns():
    weights = RNG.standard_normal((2, 3, 2, 2))
    found = pictures.Filters("0", weights)
    shades = 0.5 + 0.5 * weights / found.largest
    assert np.array_equal(found.sheet()[0, 3], shades[1, :, 0, 0])
    grey = pictures.Filters("0", weights[:, :2])
    shades = 0.5 + 0.5 * weights[:, :2] / grey.largest
    assert np.array_equal(grey.sheet()[3:5, 0:2], shades[1, 0])
    assert np.array_equal(grey.sheet()[0:2, 3:5], shades[0, 1])


def test_a_layer_without_filters_says_where_they_are():
    model = Sequential(ReLU(), Conv2d(1, 2, 3), Sequential(Conv2d(2, 2, 3)))
    with pytest.raises(ValueError, match=r"layer 0 \(ReLU\).* no filters; layer 1 or 2.0 has"):
        pictures.filters(model)
    with pytest.raises(ValueError, match="no layer of it has any"):
        pictures.filters(Sequential(Flatten(), Linear(4, 2)))


# ---- feature maps -----------------------------------------------------------------------------


@devices
def test_feature_maps_are_the_outputs_of_each_layer(device):
    model = Sequential(
        Conv2d(2, 3, 3), Sequential(ReLU(), Dropout(0.5)), Flatten(), Linear(12, 4),
        seed=2, device=device,
    )  # fmt: skip
    x = RNG.standard_normal((2, 4, 4)).astype(np.float32)
    found = pictures.feature_maps(model, x)
    assert list(found.maps) == ["0", "1.0", "1.1", "2", "3"]
    assert found.layers["1.0"] == "ReLU"
    first = model[0](x[None])[0]
    assert np.array_equal(found.maps["0"], first)
    assert np.array_equal(found.maps["1.0"], np.maximum(first, 0))
    assert np.array_equal(found.maps["1.1"], found.maps["1.0"])
    assert np.array_equal(found.maps["2"], found.maps["1.1"].ravel())
    assert np.array_equal(found.maps["3"], model.predict(x[None])[0])
    alone = pictures.feature_maps(model, x, 1)
    assert list(alone.maps) == ["1"]
    assert np.array_equal(alone.maps["1"], found.maps["1.1"])
    found.maps["2"][:] = found.picture[:] = 7  # copies
    assert not (found.maps["1.1"] == 7).any()
    assert not (x == 7).any()


# ---- saliency ---------------------------------------------------------------------------------


@devices
def test_saliency_of_a_linear_network_is_its_weights(device):
    model = Sequential(Flatten(), Linear(24, 3), seed=0, device=device, dtype="float64")
    x = RNG.standard_normal((2, 3, 4))
    weights = model.state_dict()["1.weight"].reshape(3, 2, 3, 4)
    for target in range(3):
        found = pictures.saliency(model, x, target)
        assert found.target == target
        assert np.array_equal(found.gradient, weights[target])
        assert np.array_equal(found.values, np.abs(weights[target]).max(axis=0))
        assert found.score == model.predict(x[None])[0, target]
    best = int(model.predict(x[None]).argmax())
    assert pictures.saliency(model, x).target == best


def test_saliency_is_the_slope_of_the_score():
    layers = [Conv2d(1, 3, 3), Tanh(), MaxPool2d(2), Flatten(), Linear(12, 4)]
    model = Sequential(*layers, seed=3, dtype="float64")
    x = RNG.standard_normal((1, 1, 6, 6))
    found = pictures.saliency(model, x, 2)
    h = 1e-6
    for row, column in [(0, 0), (2, 3), (5, 1)]:
        up, down = x.copy(), x.copy()
        up[0, 0, row, column] += h
        down[0, 0, row, column] -= h
        slope = (model.predict(up) - model.predict(down))[0, 2] / (2 * h)
        assert found.gradient[0, row, column] == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("last", [Softmax, LogSoftmax])
def test_saliency_is_that_of_the_score_before_a_softmax(last):
    x = RNG.standard_normal((1, 2, 2)).astype(np.float32)
    plain = Sequential(Flatten(), Linear(4, 3), seed=4)
    ends = Sequential(Flatten(), Linear(4, 3), last(), seed=4)
    a, b = pictures.saliency(plain, x), pictures.saliency(ends, x)
    assert np.array_equal(a.gradient, b.gradient)
    assert a.score == b.score


def test_saliency_refuses():
    model = Sequential(Flatten(), Linear(4, 3))
    with pytest.raises(ValueError, match="target=3, but the classes are 0 to 2"):
        pictures.saliency(model, np.ones((1, 2, 2)), 3)
    with pytest.raises(ValueError, match="target must be at least 0"):
        pictures.saliency(model, np.ones((1, 2, 2)), -1)
    with pytest.raises(TypeError, match="whole number"):
        pictures.saliency(model, np.ones((1, 2, 2)), 1.0)


# ---- dead units -------------------------------------------------------------------------------


@devices
def test_dead_units_are_counted(device):
    model = Sequential(Conv2d(1, 3, 1), ReLU(), Flatten(), Linear(12, 2), ReLU(), device=device)
    model[0].weight.data = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    model[0].bias.data = np.array([0.0, -1.0, -0.5])  # alive, dead, alive above a half
    model[3].weight.data = np.zeros((2, 12))
    model[3].bias.data = np.array([-1.0, 1.0])
    x = np.zeros((5, 1, 2, 2))
    x[0, 0, 0, 0], x[4, 0, 1, 1], x[3, 0, 0, 1] = 1, 1, 0.25
    found = pictures.dead_units(model, x, batch_size=2)
    # channel 0 answers at three pixels, channel 1 nowhere, channel 2 at two
    assert found.units == {"1": pytest.approx(7 / 12), "4": 0.5}
    assert found.channels == {"1": pytest.approx(1 / 3), "4": 0.5}
    assert found.examples == 5
    assert pictures.dead_units(model, x, batch_size=99) == found
    assert "forward" not in vars(model[1])


def test_dead_units_are_found_wherever_they_are():
    from numcnn import Layer

    class Box(Layer):
        """A container that isn't a row."""

        def __init__(self):
            super().__init__()
            self.branch = Sequential(ReLU())

        def _forward(self, x):
            return self.branch(x)

    model = Sequential(Box())
    found = pictures.dead_units(model, np.array([[[[1.0, -1.0]]]]))
    assert found.units == {"0.branch.0": 0.5}


def test_dead_units_refuse():
    with pytest.raises(ValueError, match="no ReLU"):
        pictures.dead_units(Sequential(Tanh()), np.ones((1, 2)))
    with pytest.raises(ValueError, match="at least one example"):
        pictures.dead_units(Sequential(ReLU()), np.ones((0, 2)))
    with pytest.raises(TypeError, match="batch_size"):
        pictures.dead_units(Sequential(ReLU()), np.ones((1, 2)), batch_size=1.5)


# ---- gradient flow ----------------------------------------------------------------------------


@devices
def test_gradient_flow_is_what_a_step_of_sgd_does(device):
    def build():
        layers = [Conv2d(1, 2, 3), ReLU(), Dropout(0.5), Flatten(), Linear(8, 3)]
        return Sequential(*layers, seed=6, dtype="float64", device=device)

    x, y = RNG.standard_normal((4, 1, 4, 4)), np.array([0, 2, 1, 2])
    found = pictures.gradient_flow(build(), x, y, lr=0.5)
    model = build()  # seeded alike, so dropout's first mask is the same
    loss = CrossEntropyLoss().to(device)
    value = loss(model(x), y)
    model.backward(loss.backward())
    before = model.state_dict()
    SGD(model.parameters(), lr=0.5).step()
    after = model.state_dict()
    assert found.loss == value
    assert list(found.gradients) == list(found.ratios) == ["0", "4"]
    for name in ("0", "4"):
        keys = [f"{name}.weight", f"{name}.bias"]
        step = np.sqrt(sum(((after[k] - before[k]) ** 2).sum() for k in keys))
        size = np.sqrt(sum((before[k] ** 2).sum() for k in keys))
        assert found.weights[name] == pytest.approx(size)
        assert found.gradients[name] == pytest.approx(step / 0.5)
        assert found.ratios[name] == pytest.approx(step / size)


def test_gradient_flow_with_other_losses_leaves_them_alone():
    model = Sequential(Flatten(), Linear(4, 2), seed=0)
    x, target = RNG.standard_normal((3, 1, 2, 2)), np.zeros((3, 2), np.float32)
    loss = MSELoss()
    loss(np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32))
    due = np.array(loss.backward())
    found = pictures.gradient_flow(model, x, target, loss)
    assert found.gradients["1"] > 0
    assert np.array_equal(loss.backward(), due)
    assert pictures.gradient_flow(model, x, target, "mse") == found


def test_a_layer_of_zeros_has_no_ratio():
    model = Sequential(Flatten(), Linear(4, 2, bias=False))
    model[1].weight.data = np.zeros((2, 4))
    found = pictures.gradient_flow(model, np.ones((1, 1, 2, 2)), np.array([0]))
    assert found.ratios == {"1": float("inf")}


def test_gradient_flow_refuses():
    model = Sequential(Flatten(), Linear(4, 2))
    x = np.ones((1, 1, 2, 2))
    with pytest.raises(ValueError, match="lr must be above 0"):
        pictures.gradient_flow(model, x, np.array([0]), lr=0)
    with pytest.raises(ValueError, match="no parameters"):
        pictures.gradient_flow(Sequential(Flatten()), x, np.array([0]))
    with pytest.raises(ValueError, match="labels"):
        pictures.gradient_flow(model, x, np.array([2]))
    with pytest.raises(ShapeError):
        pictures.gradient_flow(model, x[:, :, :1], np.array([0]))
