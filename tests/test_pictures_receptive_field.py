"""The receptive field by formula and by gradient: on many networks they agree."""

import numpy as np
import pytest

from numcnn import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    ShapeError,
    Tanh,
    models,
    pictures,
)

CASES = 60


def random_network(seed):
    """One to four windows of any geometry, with activations between them."""
    rng = np.random.default_rng(seed)
    layers, channels = [], 1
    for _ in range(rng.integers(1, 5)):
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        stride = tuple(int(s) for s in rng.integers(1, 3, 2))
        dilation = tuple(int(d) for d in rng.integers(1, 3, 2))
        small = tuple(int(p) for p in (rng.integers(0, k // 2 + 1) for k in kernel))
        kind = rng.integers(4)
        if kind == 0:
            layers.append(MaxPool2d(kernel, stride, small, dilation, ceil_mode=bool(seed % 2)))
        elif kind == 1:
            layers.append(AvgPool2d(kernel, stride, small, ceil_mode=bool(seed % 2)))
        else:
            groups = int(rng.integers(1, channels + 1))
            groups = groups if channels % groups == 0 else 1
            out = groups * int(rng.integers(1, 3))
            padding = tuple(int(p) for p in rng.integers(0, 3, 2))
            layers.append(Conv2d(channels, out, kernel, stride, padding, dilation, groups))
            channels = out
        if rng.random() < 0.4:
            layers.append(ReLU())
    return Sequential(*layers, seed=seed, dtype="float64")


@pytest.mark.parametrize("seed", range(CASES))
def test_formula_and_gradient_agree_on_random_networks(seed, one_thread):
    model = random_network(seed)
    shape = (1, 79, 81)
    height, width = model.output_shape((1, *shape))[2:]
    field = pictures.receptive_field(model, -1, shape)
    assert field.position == (height // 2, width // 2)
    row = model.summary(shape).rows[-1]
    assert field.size == row.receptive_field == model.window()[0]
    assert field.stride == model.window()[1]
    assert field.interior
    assert field.agrees
    assert field.box == (*field.start, *field.size)
    for position in [(0, 0), (height - 1, width - 1), (0, width // 2)]:
        other = pictures.receptive_field(model, -1, shape, position)
        for axis in (0, 1):  # the whole field moves by the stride
            moved = (position[axis] - field.position[axis]) * field.stride[axis]
            assert other.start[axis] == field.start[axis] + moved
        assert other.agrees or not other.interior
        inside = np.zeros(shape[1:], bool)
        top, left = (max(0, at) for at in other.start)
        ends = [at + reach for at, reach in zip(other.start, other.size, strict=True)]
        inside[top : max(0, ends[0]), left : max(0, ends[1])] = True
        assert not (other.mask & ~inside).any()  # at the rim it is cut off, never larger


def true_gradient(model, x, position):
    """The mask of the real network's gradient: all channels of one position."""
    y = model(x)
    dy = np.zeros_like(y)
    dy[:, :, position[0], position[1]] = np.random.default_rng(1).uniform(1, 2, y.shape[:2])
    return (model.backward(dy) != 0).any(axis=(0, 1))


@pytest.mark.parametrize("seed", range(12))
def test_the_mask_is_that_of_the_real_gradient(seed):
    # Convolutions of positive weights and average pooling: no path is cut, none cancels another.
    rng = np.random.default_rng(100 + seed)
    layers = []
    for _ in range(3):
        kernel, stride, dilation = (int(v) for v in rng.integers(1, 4, 3))
        padding = int(rng.integers(0, kernel // 2 + 1))
        layers.append(
            AvgPool2d(kernel, stride, padding)
            if rng.random() < 0.4
            else Conv2d(1, 1, kernel, stride, padding, dilation)
        )
    model = Sequential(*layers, dtype="float64", seed=0)
    for parameter in model.parameters():
        parameter.data = np.abs(parameter.data) + 0.1
    x = rng.standard_normal((1, 1, 29, 31))
    rows, columns = model.output_shape(x.shape)[2:]
    for position in [(rows // 2, columns // 2), (0, 0), (rows - 1, columns - 1), (0, columns // 2)]:
        field = pictures.receptive_field(model, -1, x.shape, position)
        assert np.array_equal(field.mask, true_gradient(model, x, position))


def test_the_union_over_many_pictures_fills_the_field_of_a_maximum():
    layers = [Conv2d(1, 2, 3, padding=1), Tanh(), MaxPool2d(3, 2, 1), Conv2d(2, 3, 2, dilation=2)]
    model = Sequential(*layers, seed=1, dtype="float64")
    x = np.random.default_rng(2).standard_normal((300, 1, 15, 15))
    field = pictures.receptive_field(model, -1, (1, 15, 15))
    assert np.array_equal(field.mask, true_gradient(model, x, field.position))
    assert field.box == (*field.start, *field.size)
    assert not field.mask.all()
    assert field.interior


def test_dilation_leaves_holes():
    field = pictures.receptive_field(Sequential(Conv2d(1, 1, 2, dilation=3)), 0, (1, 7, 7))
    assert np.argwhere(field.mask).tolist() == [[2, 2], [2, 5], [5, 2], [5, 5]]
    assert field.size == (4, 4)
    assert field.start == (2, 2)
    assert field.agrees


def test_paths_are_counted():
    model = Sequential(Conv2d(1, 4, 3), ReLU(), Conv2d(4, 4, 3))
    field = pictures.receptive_field(model, 2, (1, 9, 9))
    row = np.array([1, 2, 3, 2, 1])
    assert np.allclose(field.paths[2:7, 2:7], np.outer(row, row) / 9)
    assert field.mask.sum() == 25


def test_lenet_by_hand():
    model = models.lenet()
    sizes = {n: pictures.receptive_field(model, n).size for n in (0, 1, 2, 3, 4, 5)}
    assert sizes == {0: (3, 3), 1: (3, 3), 2: (5, 5), 3: (6, 6), 4: (6, 6), 5: (6, 6)}
    field = pictures.receptive_field(model, 3, position=(4, 5))
    assert field.start == (8, 10)
    assert field.stride == (2, 2)
    assert field.layer == "layer 3 (MaxPool2d)"
    assert field.agrees


def test_same_padding_with_an_even_kernel():
    model = Sequential(Conv2d(1, 1, 4, padding="same"))
    field = pictures.receptive_field(model, 0, (1, 9, 9), (4, 4))
    assert field.start == (3, 3)  # one before, two after: the extra zeros are at the end
    assert field.agrees


def test_a_field_that_is_cut_off_by_the_rim():
    field = pictures.receptive_field(Sequential(Conv2d(1, 1, 5, padding=2)), 0, (1, 9, 9), (0, 8))
    assert field.start == (-2, 6)
    assert field.box == (0, 6, 3, 3)
    assert not field.interior
    assert not field.agrees


def test_a_window_in_the_padding_alone_sees_nothing():
    field = pictures.receptive_field(Sequential(Conv2d(1, 1, 1, padding=1)), 0, (1, 3, 3), (0, 0))
    assert field.box is None
    assert not field.paths.any()
    assert not field.agrees


def test_behind_a_flatten_all_is_seen_that_the_windows_use():
    model = Sequential(MaxPool2d(2), Flatten(), Linear(12, 3), Dropout(0.5))
    for layer in (1, 2, 3):
        field = pictures.receptive_field(model, layer, (1, 7, 8))
        assert field.size is field.start is field.stride is field.position is None
        assert field.mask[:6].all()
        assert not field.mask[6].any()  # the odd row is used by no window
        assert not field.interior
        assert not field.agrees


def test_a_deep_network_neither_overflows_nor_fades():
    model = Sequential(*(Conv2d(1, 1, 3, padding=1) for _ in range(40)))
    field = pictures.receptive_field(model, -1, (1, 81, 81))
    assert field.agrees
    assert field.mask.all()
    assert field.paths.max() == 1


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_devices_agree(device):
    model = Sequential(Conv2d(2, 3, 3, stride=2), MaxPool2d(2), device=device)
    assert pictures.receptive_field(model, 1, (2, 9, 11)).box == (4, 4, 5, 5)


def test_refuses():
    model = Sequential(Conv2d(1, 2, 3), ReLU())
    for position in [(7, 0), (0, -1), (1,), (1, 2, 3)]:
        with pytest.raises(ValueError, match=r"no position .* 7 rows and 5 columns"):
            pictures.receptive_field(model, 1, (1, 9, 7), position)
    with pytest.raises(ShapeError, match="layer 0"):
        pictures.receptive_field(model, 1, (1, 2, 2))
    with pytest.raises(ValueError, match="say input_shape"):
        pictures.receptive_field(model, 1)

    class Upsample(Layer):
        def output_shape(self, shape):
            return (*shape[:2], 2 * shape[2], 2 * shape[3])

    class Wide(ReLU):
        kernel_size = stride = (2, 2)

        def window(self):
            return (5, 5), (1, 1)

    for strange in (Upsample(), Wide()):
        with pytest.raises(ValueError, match="knows windows of convolutions and poolings; layer 1"):
            pictures.receptive_field(Sequential(Conv2d(1, 1, 3), strange), -1, (1, 9, 9))
