"""Residual and Concat: sums and rows of branches, their names, and what the summary says."""

import pickle

import numpy as np
import pytest

from numcnn import (
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    models,
)

X = np.random.default_rng(1).standard_normal((2, 4, 6, 5))


def test_an_identity_shortcut_adds_the_input_and_its_gradient():
    branch = Conv2d(4, 4, 3, padding=1, dtype="float64")
    block = Residual(branch)
    np.testing.assert_array_equal(block(X), branch(X) + X)
    dy = np.random.default_rng(2).standard_normal(X.shape)
    np.testing.assert_array_equal(block.backward(dy), branch.backward(dy) + dy)


def test_a_branch_of_zeros_makes_the_block_the_identity():
    block = Residual(Sequential(Conv2d(4, 7, 3, padding=1), ReLU(), Conv2d(7, 4, 1))).to("float64")
    last = block.branch[2]
    last.weight.data = np.zeros(last.weight.shape)
    last.bias.data = np.zeros(4)
    np.testing.assert_array_equal(block(X), X)
    dy = np.random.default_rng(2).standard_normal(X.shape)
    np.testing.assert_array_equal(block.backward(dy), dy)


def test_the_shortcut_has_weights_of_its_own():
    block = Residual(Conv2d(4, 6, 3, stride=2, padding=1), Conv2d(4, 6, 1, stride=2))
    names = ["branch.weight", "branch.bias", "shortcut.weight", "shortcut.bias"]
    assert list(block.state_dict()) == names
    assert block.output_shape((2, 4, 6, 5)) == (2, 6, 3, 3)


def test_nameless_parts_leave_no_trace_in_the_keys():
    inner = Sequential({"conv1": Conv2d(4, 4, 3, padding=1), "conv2": Conv2d(4, 4, 1)})
    block = Sequential({"": Residual(inner, Conv2d(4, 4, 1), names=("", "downsample"))})
    keys = [name.rpartition(".")[0] for name in block.state_dict()][::2]
    assert keys == ["conv1", "conv2", "downsample"]
    block.load_state_dict({name: value + 1 for name, value in block.state_dict().items()})
    assert block.layers is not None
    assert len(list(block.layers())) == 6


def test_concat_sends_every_branch_its_own_piece():
    first, second = Conv2d(4, 3, 1, dtype="float64"), Conv2d(4, 2, 3, padding=1, dtype="float64")
    both = Concat(first, Identity(), second)
    y = both(X)
    np.testing.assert_array_equal(y, np.concatenate([first(X), X, second(X)], axis=1))
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx = both.backward(dy)
    wanted = first.backward(dy[:, :3]) + dy[:, 3:7] + second.backward(dy[:, 7:])
    np.testing.assert_allclose(dx, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [0, 2, -1])
def test_concat_along_another_axis(dim):
    both = Concat(Identity(), AvgPool2d(1), dim=dim)
    np.testing.assert_array_equal(both(X), np.concatenate([X, X], axis=dim))
    dy = np.ones(both.output_shape(X.shape))
    np.testing.assert_array_equal(both.backward(dy), 2 * np.ones(X.shape))


def test_an_inception_and_a_dense_block_are_a_few_lines():
    inception = Concat(
        Conv2d(4, 3, 1),
        Sequential(Conv2d(4, 2, 1), ReLU(), Conv2d(2, 5, 3, padding=1)),
        Sequential(MaxPool2d(3, stride=1, padding=1), Conv2d(4, 2, 1)),
    )
    dense = Sequential(*(Concat(Identity(), Conv2d(10 + 3 * i, 3, 3, padding=1)) for i in range(3)))
    model = Sequential(inception, dense, Flatten(), Linear(19 * 30, 4), seed=0)
    y = np.array([1, 3])
    history = model.fit(X, y, epochs=12, optimizer="adam", verbose=False)
    assert history["loss"][-1] < history["loss"][0] / 2


def test_the_summary_lists_what_lies_inside():
    model = Sequential(
        Conv2d(3, 4, 3, padding=1),
        Residual(Sequential(Conv2d(4, 4, 3, padding=1), ReLU(), Conv2d(4, 4, 3, padding=1))),
        Concat(Identity(), Sequential(MaxPool2d(3, 1, 1), Conv2d(4, 2, 1))),
    )
    summary = model.summary((3, 8, 9))
    assert [row.name for row in summary.rows] == [
        *("0", "1.branch.0", "1.branch.1", "1.branch.2", "1"),
        *("2.0", "2.1.0", "2.1.1", "2"),
    ]
    assert [row.receptive_field[0] for row in summary.rows] == [3, 5, 5, 7, 7, 7, 9, 9, 9]
    assert summary.rows[4].layer == "Residual: sum"
    assert summary.parameters == sum(p.size for p in model.parameters())
    assert summary.macs == model.macs((1, 3, 8, 9))


def test_shapes_that_cant_be_added_are_explained():
    with pytest.raises(
        ShapeError, match=r"branch gives \(2, 6, 3, 3\).*has \(2, 4, 6, 5\).*1, str"
    ):
        Residual(Conv2d(4, 6, 3, stride=2, padding=1))(X)
    with pytest.raises(ShapeError, match=r"Residual, shortcut: .*3 input channels"):
        Residual(Conv2d(4, 4, 1), Conv2d(3, 4, 1))(X)
    with pytest.raises(TypeError, match="branch must be a Layer"):
        Residual([Conv2d(4, 4, 1)])


def test_shapes_that_cant_stand_together_are_explained():
    with pytest.raises(ShapeError, match=r"branch 0 gives .*branch 1 gives .*axis 1 only"):
        Concat(Identity(), Conv2d(4, 2, 3))(X)
    with pytest.raises(ShapeError, match="no axis 5"):
        Concat(Identity(), dim=5)(X)
    with pytest.raises(ValueError, match="at least one branch"):
        Concat()


def test_a_layer_stands_at_one_place():
    conv = Conv2d(4, 4, 1)
    for build in (
        lambda: Residual(conv, conv),
        lambda: Concat(conv, Sequential(conv)),
        lambda: Sequential(conv, Residual(conv)),
    ):
        with pytest.raises(ValueError, match="stands at two places"):
            build()


def test_names_come_from_a_mapping_and_errors_use_them():
    model = Sequential({"features": Conv2d(1, 2, 3), "flatten": Flatten(), "fc": Linear(18, 3)})
    assert list(model.state_dict()) == ["features.weight", "features.bias", "fc.weight", "fc.bias"]
    assert model["fc"] is model[2]
    assert "features: Conv2d" in repr(model)
    with pytest.raises(ShapeError, match=r"layer fc: .*Layer flatten before it"):
        model(np.zeros((1, 1, 6, 6)))
    with pytest.raises(ValueError, match="dot"):
        Sequential({"a.b": Flatten()})


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_devices_and_modes_reach_every_branch(device):
    model = Sequential(Residual(Conv2d(4, 4, 1)), Concat(Conv2d(4, 1, 1)), device=device)
    assert {layer.device.name for layer in model.layers()} == {device}
    assert not any(layer.training for layer in model.eval().layers())
    assert model(X.astype("float32")).shape == (2, 1, 6, 5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Sequential({"": Sequential(Linear(3, 3)), "0": Linear(3, 3)}),
        lambda: Residual(Sequential(Linear(3, 3)), Linear(3, 3), names=("", "0")),
        lambda: Concat({"": Sequential(Linear(3, 3)), "0": Linear(3, 3)}),
    ],
)
def test_no_two_arrays_have_one_key(build):
    with pytest.raises(ValueError, match=r"the key '0.weight' in the state dict"):
        build()


def test_branch_and_shortcut_have_two_names_without_dots():
    with pytest.raises(ValueError, match="two names, got '' for both"):
        Residual(Linear(3, 3), Linear(3, 3), names=("", ""))
    with pytest.raises(ValueError, match="dot"):
        Residual(Linear(3, 3), Linear(3, 3), names=("a.x", "b"))
    with pytest.raises(ValueError, match="returns two arrays"):
        Residual(MaxPool2d(1, return_indices=True))


def test_rows_of_the_summary_are_named_as_the_keys():
    model = models.resnet20()
    names = [row.name for row in model.summary().rows]
    rows = set(names)
    assert len(rows) == len(names)
    keys = {key.rpartition(".")[0] for key in model.state_dict()}
    assert keys <= rows
    assert not any(".." in name or name.endswith(".") for name in names)


def test_a_copy_made_while_training_has_its_input_gradient():
    model = Sequential(Linear(3, 4), ReLU(), Linear(4, 2), seed=1)
    x, y = np.ones((4, 3)), np.array([0, 1, 0, 1])
    kept = []
    model.fit(x, y, callbacks=[lambda e, f: kept.append(model.copy())], verbose=False)
    kept[0](x)
    assert kept[0].backward(np.ones((4, 2))).shape == (4, 3)


def test_copies_leave_behind_what_a_backward_pass_was_to_use():
    model = Sequential(Linear(3, 2))
    model(np.ones((500, 3)))
    assert len(pickle.dumps(model)) < 4000
    with pytest.raises(RuntimeError, match="before forward"):
        model.copy().backward(np.ones((500, 2)))


def test_a_seed_sequence_gives_the_same_weights_again():
    model, seed = Sequential(Linear(3, 2)), np.random.SeedSequence(5)
    model.reseed(seed)
    first = model.state_dict()["0.weight"]
    model.reseed(seed)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], first)


def test_none_means_the_usual_device_and_precision():
    layer = Conv2d(1, 2, 3, device=None, dtype=None)
    assert (layer.device.name, layer.weight.dtype) == ("cpu", np.float32)
