"""Gradient ascent on pictures: it goes up, never down, and where it should."""

import itertools

import numpy as np
import pytest

from numcnn import (
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    ShapeError,
    Sigmoid,
    pictures,
)
from numcnn.pictures.ascent import climb

RNG = np.random.default_rng(8)
devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def network(**options):
    model = Sequential(
        Conv2d(1, 3, 3), ReLU(), Conv2d(3, 4, 3), MaxPool2d(2), ReLU(), Dropout(0.5),
        Flatten(), Linear(16, 5), seed=2, **options,
    )  # fmt: skip
    model.input_shape = (1, 1, 8, 8)
    return model


def up(x):
    return np.random.default_rng(x)


def rises(values):
    return values[-1] > values[0] and all(b > a for a, b in itertools.pairwise(values))


# ---- the steps ----------------------------------------------------------------------------


def test_climbing_a_hill_ends_at_its_top():
    top = RNG.standard_normal((1, 1, 3, 4))
    x, values = climb(
        lambda x: -float(((x - top) ** 2).sum()),
        lambda x: -2 * (x - top),
        np.zeros_like(top), steps=200, lr=0.5, jitter=0, rng=up(0),
    )  # fmt: skip
    assert rises(values)
    assert 5 < len(values) < 201  # at the top there is no way up any more
    assert values[-1] == -float(((x - top) ** 2).sum())
    assert np.abs(x - top).max() < 1e-3


def test_the_first_step_has_the_length_that_was_asked_for():
    slope = RNG.standard_normal((1, 2, 3, 3))
    for scale in (1, 1e-200, 1e200):  # squares of these would be 0 or infinite
        x, _ = climb(
            lambda x: float((x * slope).sum()),
            lambda x, scale=scale: slope * scale,
            np.zeros_like(slope), steps=1, lr=0.3, jitter=0, rng=up(0),
        )  # fmt: skip
        assert np.sqrt((x**2).mean()) == pytest.approx(0.3)
        assert np.allclose(x / np.abs(x).max(), slope / np.abs(slope).max())


def test_jitter_moves_the_picture_for_the_gradient_and_back():
    seen = set()

    def slope(x):
        seen.add(int(x.argmax()))
        return (x == x.max()).astype(float)  # uphill is the bright pixel, wherever it was moved

    start = np.zeros((1, 1, 5, 5))
    start[0, 0, 2, 2] = 1
    x, values = climb(
        lambda x: float(x[0, 0, 2, 2]), slope, start, steps=40, lr=0.1, jitter=1, rng=up(1)
    )
    assert seen == {6, 7, 8, 11, 12, 13, 16, 17, 18}  # the middle and its neighbours
    assert np.flatnonzero(x).tolist() == [12]
    assert np.allclose(np.diff(values), 0.5)  # a root mean square of 0.1 on one pixel of 25


def test_no_way_up_leaves_the_picture_alone():
    start = RNG.standard_normal((1, 1, 3, 3))
    for gradient in (np.zeros_like(start), np.ones_like(start)):
        x, values = climb(
            lambda x: -float(np.abs(x - start).sum()),
            lambda x, g=gradient: g, start, steps=3, lr=1, jitter=1, rng=up(0),
        )  # fmt: skip
        assert values == [0]
        assert np.array_equal(x, start)


def test_decay_and_bounds():
    slope = np.ones((1, 1, 2, 2))

    def go(**options):
        start = np.zeros_like(slope)
        return climb(
            lambda x: float(x.sum()), lambda x: slope, start,
            steps=60, lr=0.5, jitter=0, rng=up(0), **options,
        )[0]  # fmt: skip

    assert np.allclose(go(), 30)
    # ends where a step takes away what it adds: (x + lr) (1 - decay) = x
    assert np.allclose(go(decay=0.25), 1.5)
    assert np.array_equal(go(bounds=(-1, 2)), 2 * slope)


# ---- activation maximization --------------------------------------------------------------


@devices
@pytest.mark.parametrize(
    ("layer", "unit"), [(-1, 3), (0, 1), (2, (3, 1, 2)), (4, 2), ("3", (0, 1)), (2, (1,))]
)
def test_the_activation_rises_and_is_that_of_the_unit(device, layer, unit):
    model = network(device=device)
    found = pictures.activation_maximization(model, unit, layer, steps=6)
    assert rises(found.activations)
    assert len(found.activations) == 7
    assert found.picture.shape == (1, 8, 8)
    assert found.picture.dtype == np.float32
    maps = pictures.feature_maps(model, found.picture, layer).maps
    (output,) = maps.values()
    assert found.activations[-1] == pytest.approx(output[unit].mean(), rel=1e-5)


def test_the_best_picture_of_a_linear_unit_is_its_weights():
    model = Sequential(Flatten(), Linear(12, 2), seed=3, dtype="float64")
    found = pictures.activation_maximization(
        model, 1, steps=400, jitter=0, decay=0.05, input_shape=(1, 3, 4)
    )
    weights = model.state_dict()["1.weight"][1].reshape(3, 4)
    alike = (found.picture[0] * weights).sum()
    alike /= np.linalg.norm(found.picture) * np.linalg.norm(weights)
    assert alike > 0.999


def test_the_seed_decides():
    model = network()
    a, b, c = (pictures.activation_maximization(model, 0, 2, 3, seed=s) for s in (5, 5, 6))
    assert np.array_equal(a.picture, b.picture)
    assert a.activations == b.activations
    assert not np.array_equal(a.picture, c.picture)


def test_a_convolution_takes_another_size():
    found = pictures.activation_maximization(network(), 0, 0, 2, input_shape=(1, 5, 6))
    assert found.picture.shape == (1, 5, 6)
    with pytest.raises(ShapeError, match="layer 7"):
        pictures.activation_maximization(network(), 0, input_shape=(1, 9, 12))


def test_a_dead_unit_is_said_to_be_dead():
    model = network()
    model[0].weight.data = np.zeros((3, 1, 3, 3))
    model[0].bias.data = -np.ones(3)
    with pytest.raises(ValueError, match=r"unit 1 of layer 1 \(ReLU\) rise.*dead ReLU"):
        pictures.activation_maximization(model, 1, 1, 2)


def test_a_unit_that_sleeps_at_first_is_woken_by_other_noise():
    # The unit answers to a pixel above 0.02 only, and less than half of all noise is.
    model = Sequential(Conv2d(1, 1, 1), ReLU(), dtype="float64")
    model[0].weight.data = np.ones((1, 1, 1, 1))
    model[0].bias.data = np.array([-0.02])
    for seed in range(8):
        found = pictures.activation_maximization(
            model, (0, 0, 0), steps=3, jitter=0, seed=seed, input_shape=(1, 1, 1)
        )
        assert found.activations[0] > 0
        assert rises(found.activations)


@pytest.mark.parametrize("unit", [5, -1, (0, 0), (), "a", 1.5, True, None])
def test_an_unknown_unit(unit):
    with pytest.raises(ValueError, match=r"layer 7 \(Linear\) has no unit .* has shape \(5,\)"):
        pictures.activation_maximization(network(), unit)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"jitter": -1}, "jitter must be at least 0"),
        ({"decay": 1}, "decay must be at least 0 and below 1"),
        ({"decay": -0.1}, "decay must be"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_numbers_that_make_no_ascent(options, said):
    with pytest.raises(ValueError, match=said):
        pictures.activation_maximization(network(), 0, **options)


# ---- deep dream ---------------------------------------------------------------------------


@devices
def test_a_dream_rises_in_every_octave_and_keeps_the_size(device):
    model = network(device=device)
    image = RNG.random((1, 13, 11), np.float32)
    found = pictures.deep_dream(model, image, 2, octaves=3, scale=1.3, steps=4)
    assert found.after.shape == image.shape
    assert found.after.dtype == np.float32
    assert np.array_equal(found.before, image)
    assert len(found.norms) == 3
    assert all(rises(values) for values in found.norms)
    assert all(len(values) == 5 for values in found.norms)
    output = pictures.feature_maps(model, found.after, 2).maps["2"]
    assert found.norms[-1][-1] == pytest.approx((output.astype(np.float64) ** 2).sum(), rel=1e-5)
    before = pictures.feature_maps(model, image, 2).maps["2"]
    assert found.norms[-1][0] >= (before.astype(np.float64) ** 2).sum() * (1 - 1e-5)
    assert found.after.min() >= image.min()
    assert found.after.max() <= image.max()


def test_the_gradient_of_a_dream_is_that_of_the_squared_norm():
    # One convolution of one weight w: |w x|² has the gradient 2 w² x, a step goes along x.
    model = Sequential(Conv2d(1, 1, 1, bias=False), dtype="float64")
    model[0].weight.data = np.full((1, 1, 1, 1), -3.0)
    image = RNG.standard_normal((1, 4, 5))
    found = pictures.deep_dream(
        model, image, 0, octaves=1, steps=1, lr=0.2, jitter=0, bounds=(-9, 9)
    )
    rms = np.sqrt((image**2).mean())
    assert np.allclose(found.after, image * (1 + 0.2 / rms))
    assert found.norms[0] == pytest.approx([9 * (v**2).sum() for v in (image, found.after)])


def test_octaves_have_their_sizes(monkeypatch):
    model = network()
    seen = []
    forward = Conv2d.forward

    def watched(self, x):
        if self.in_channels == 1 and (not seen or seen[-1] != x.shape[2:]):
            seen.append(x.shape[2:])
        return forward(self, x)

    monkeypatch.setattr(Conv2d, "forward", watched)
    pictures.deep_dream(model, RNG.random((1, 20, 12)), 0, octaves=3, scale=2, steps=1)
    assert seen == [(5, 3), (10, 6), (20, 12)]


def test_an_octave_never_starts_below_the_plain_picture():
    # Every pixel is at its bound: what a smaller size adds can only take from the norm.
    model = Sequential(Conv2d(1, 1, 1, bias=False), dtype="float64")
    model[0].weight.data = np.ones((1, 1, 1, 1))
    image = RNG.choice([-1.0, 1.0], (1, 8, 8))
    found = pictures.deep_dream(model, image, 0, octaves=2, scale=2, steps=3)
    assert rises(found.norms[0])
    assert found.norms[1] == [64]
    assert np.array_equal(found.after, image)


def test_bounds_give_room():
    model = network()
    image = 0.4 + 0.2 * RNG.random((1, 8, 8))
    found = pictures.deep_dream(model, image, 2, octaves=1, steps=20, bounds=(0, 1))
    assert found.bounds == (0, 1)
    assert found.after.max() > image.max()
    assert 0 <= found.after.min() <= found.after.max() <= 1
    with pytest.raises(ValueError, match=r"leave out pixels of the image, 0\.4"):
        pictures.deep_dream(model, image, 2, octaves=1, bounds=(0.5, 1))


def test_dreams_refuse():
    model = network()
    image = RNG.random((1, 8, 8))
    with pytest.raises(ShapeError, match=r"picture of 4×4, octave 1 of 3: layer 2.* Use fewer"):
        pictures.deep_dream(model, image, 2)
    with pytest.raises(ShapeError, match=r"layer 7 \(Linear\) can't be reached .*6×6.*of 2"):
        pictures.deep_dream(model, image, -1, octaves=2)
    assert rises(pictures.deep_dream(model, image, -1, octaves=1).norms[0])
    with pytest.raises(ShapeError, match=r"^layer 7: Linear"):
        pictures.deep_dream(model, RNG.random((1, 9, 12)), -1, octaves=1)
    with pytest.raises(ValueError, match="scale must be above 1"):
        pictures.deep_dream(model, image, 0, scale=1)
    with pytest.raises(ValueError, match="octaves must be at least 1"):
        pictures.deep_dream(model, image, 0, octaves=0)
    with pytest.raises(ShapeError, match="image must be one picture"):
        pictures.deep_dream(model, image[0], 0)
    with pytest.raises(ValueError, match=r"nothing makes .* layer 0 \(Conv2d\) grow"):
        pictures.deep_dream(model, np.ones((1, 8, 8)), 0, octaves=1)


def test_a_saturated_layer_says_so():
    model = Sequential(Conv2d(1, 1, 1), Sigmoid())
    model[0].weight.data = np.zeros((1, 1, 1, 1))
    with pytest.raises(ValueError, match="gradient is 0"):
        pictures.deep_dream(model, RNG.random((1, 8, 8)), 1, octaves=1)
