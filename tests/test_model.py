"""`Sequential`: predict, evaluate, summary, files and copies."""

import copy
import pickle

import numpy as np
import pytest
from rich.console import Console

from numcnn import (
    AvgPool2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    load_weights,
    save_weights,
)
from numcnn.models import cifar_demo, lenet, mlp

pytestmark = pytest.mark.usefixtures("one_thread")


def small(**options):
    return Sequential(
        Conv2d(1, 3, 3), ReLU(), MaxPool2d(2), Dropout(0.5), Flatten(), Linear(12, 4), **options
    )


def pictures(count=7, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 1, 6, 6)).astype(np.float32)
    return x, rng.integers(0, 4, count)


# ---- predict ------------------------------------------------------------------------------------


def test_predict_switches_dropout_off_and_back_on():
    model, (x, _) = small(seed=1), pictures()
    first = model.predict(x)
    np.testing.assert_array_equal(model.predict(x), first)
    np.testing.assert_array_equal(copy.deepcopy(model).eval()(x), first)
    assert all(layer.training for layer in model.layers())
    assert (model(x) != first).any()
    model[3].eval()  # a layer that the user switched stays so
    model.predict(x)
    assert [layer.training for layer in model] == [True, True, True, False, True, True]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_predict_doesnt_depend_on_the_batch_size(batch_size):
    x, _ = pictures()
    wide = Sequential(Conv2d(1, 12, 3, padding=1), ReLU(), Flatten(), Linear(432, 20), seed=1)
    for model in (small(seed=1), wide):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size), model.predict(x, 5))


def test_predict_takes_lists_and_other_numbers():
    model = Sequential(Linear(3, 2), seed=1)
    expected = model.predict(np.array([[1.0, 2, 3], [4, 5, 6]]))
    assert expected.dtype == np.float32
    for x in (
        [[1, 2, 3], [4, 5, 6]],
        [np.array([1, 2, 3]), np.array([4, 5, 6])],
        np.array([[1, 2, 3], [4, 5, 6]], np.uint8),
        np.array([[1, 2, 3], [4, 5, 6]], np.float16),
        np.array([[1, 2, 3], [4, 5, 6]], ">f8"),
        np.array([[1, 4], [2, 5], [3, 6]]).T,
    ):
        np.testing.assert_array_equal(model.predict(x), expected)


def test_predict_of_nothing_has_the_right_shape():
    model = small()
    for x in (np.zeros((0, 1, 6, 6)), np.zeros((0, 1, 6, 6), np.float64)):
        y = model.predict(x)
        assert (y.shape, y.dtype) == ((0, 4), np.float32)
    assert small(dtype="float64").predict(np.zeros((0, 1, 6, 6))).dtype == np.float64


def test_predict_on_both_devices():
    x, _ = pictures()
    fast = small(seed=1)
    slow = small(seed=1, device="reference")
    # 12 and 9 terms of a few units, in float32: 25 eps is 3e-6
    np.testing.assert_allclose(slow.predict(x), fast.predict(x), rtol=0, atol=2e-5)


# ---- evaluate -----------------------------------------------------------------------------------


def test_evaluate_is_the_mean_over_the_examples():
    model, (x, y) = small(seed=1), pictures()
    scores = model.predict(x)
    loss, accuracy = model.evaluate(x, y)
    assert accuracy == (scores.argmax(axis=1) == y).mean()
    assert loss == pytest.approx(
        CrossEntropyLoss(reduction="none")(scores, y).astype(float).mean(), rel=1e-6
    )
    assert model.evaluate(x, y).loss == loss
    assert all(layer.training for layer in model.layers())
    model.eval()
    model.evaluate(x, y)
    assert not any(layer.training for layer in model.layers())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_evaluate_doesnt_depend_on_the_batch_size(reduction):
    # 7 examples in batches of 2 leave one over: a mean of the batches' means would be wrong.
    # What is documented is the mean per example, however the loss adds up its own.
    model, (x, y) = small(seed=1), pictures()
    expected = CrossEntropyLoss()(model.predict(x), y)
    for batch_size in (1, 2, 7):
        found = model.evaluate(x, y, batch_size, loss=CrossEntropyLoss(reduction=reduction))
        assert found.loss == pytest.approx(expected, rel=1e-5)


def test_evaluate_needs_one_number():
    with pytest.raises(ValueError, match=r"reduction='none'\) gives one loss per example"):
        small().evaluate(*pictures(), loss=CrossEntropyLoss(reduction="none"))


def test_evaluate_without_class_labels_has_no_accuracy():
    model = Sequential(Linear(3, 2), seed=1)
    x, y = np.ones((5, 3)), np.zeros((5, 2))
    result = model.evaluate(x, y, batch_size=2, loss="mse")
    assert result.accuracy is None
    assert result.loss == pytest.approx(float((model.predict(x) ** 2).mean()), rel=1e-6)


def test_evaluate_of_pixels_counts_every_pixel():
    model = Sequential(Conv2d(1, 3, 1), seed=1)
    x = np.random.default_rng(1).standard_normal((4, 1, 2, 5))
    y = np.random.default_rng(2).integers(0, 3, (4, 2, 5))
    hits = model.predict(x).argmax(axis=1) == y
    assert model.evaluate(x, y, batch_size=3).accuracy == hits.mean()


def test_evaluate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one example"):
        small().evaluate(np.zeros((0, 1, 6, 6)), np.zeros(0, int))


def test_evaluate_leaves_gradients_and_weights_alone():
    model, (x, y) = small(seed=1), pictures()
    model(x)
    model.backward(np.ones((7, 4)))
    grads = {n: p.grad.copy() for n, p in model.named_parameters()}
    weights = model.state_dict()
    model.evaluate(x, y)
    model.predict(x)
    for n, p in model.named_parameters():
        np.testing.assert_array_equal(p.grad, grads[n])
        np.testing.assert_array_equal(p.data, weights[n])


# ---- summary ------------------------------------------------------------------------------------


def rows(model, *shape):
    return {row.layer.partition("(")[0] + row.name: row for row in model.summary(*shape).rows}


def test_lenet_has_the_numbers_of_the_slides():
    summary = lenet().summary()
    assert summary.parameters == 1_199_882
    found = [row.parameters for row in summary.rows if row.parameters]
    assert found == [320, 18_496, 1_179_776, 1_290]
    sees = [row.receptive_field for row in summary.rows]
    kinds = [row.layer.partition("(")[0] for row in summary.rows]
    assert [s for s, k in zip(sees, kinds, strict=True) if k in ("Conv2d", "MaxPool2d")] == [
        (3, 3),
        (5, 5),
        (6, 6),
    ]
    assert all(s is None for s in sees[kinds.index("Flatten") :])
    # 26·26·32·9 + 24·24·64·288 + 9216·128 + 128·10
    by_hand = 26 * 26 * 32 * 9 + 24 * 24 * 64 * 288 + 9216 * 128 + 128 * 10
    assert summary.macs == by_hand == lenet().macs((1, 1, 28, 28))


def test_the_demo_network_has_its_number_of_parameters():
    assert cifar_demo().summary().parameters == 22_466
    assert cifar_demo().output_shape((5, 3, 32, 32)) == (5, 10)


def test_the_mlp_takes_hidden_layers():
    model = mlp(5, (2, 3), hidden=(4, 7))
    shapes = [array.shape for array in model.state_dict().values()]
    assert shapes == [(4, 6), (4,), (7, 4), (7,), (5, 7), (5,)]


def test_receptive_fields_grow_with_the_strides_before():
    model = Sequential(
        Conv2d(1, 2, 5, stride=2),
        Conv2d(2, 2, 3, dilation=2),
        AvgPool2d(3, 2),
        Conv2d(2, 2, (1, 2)),
    )
    sees = [row.receptive_field for row in model.summary((1, 40, 40)).rows]
    # 5; 5 + 4·2 = 13; 13 + 2·2 = 17; the step is 4 by now: 17 and 17 + 4
    assert sees == [(5, 5), (13, 13), (17, 17), (17, 21)]
    assert model.window() == ((17, 21), (4, 4))


def test_a_receptive_field_is_what_changes_the_output():
    model = Sequential(Conv2d(1, 1, 3, stride=2), AvgPool2d(2, 1), dtype="float64", seed=1)
    (reach, _), (stride, _) = model.window()
    x = np.random.default_rng(1).standard_normal((1, 1, 13, 13))
    model(x)
    dy = np.zeros((1, 1, 5, 5))
    dy[0, 0, 2, 1] = 1
    seen = np.argwhere(model.backward(dy)[0, 0] != 0)
    low, high = seen.min(axis=0), seen.max(axis=0)
    np.testing.assert_array_equal(high - low + 1, [reach, reach])
    np.testing.assert_array_equal(low, [2 * stride, 1 * stride])


def test_the_summary_names_rows_that_no_window_sees():
    summary = Sequential(Conv2d(1, 1, 3, stride=3), Flatten()).summary((1, 7, 8))
    assert summary.rows[0].note == "unused input: row 6, columns 6, 7"
    assert summary.rows[1].note == ""
    assert "unused input: row 6" in str(summary)


def test_the_summary_counts_bytes_in_the_models_precision():
    for dtype, size in (("float32", 4), ("float64", 8)):
        summary = Sequential(Conv2d(1, 2, 3), Flatten(), dtype=dtype).summary((1, 5, 5))
        assert [row.activation_bytes for row in summary.rows] == [18 * size] * 2
        assert summary.activation_bytes == 36 * size


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        pytest.param((Linear(5, 3),), (5,), id="linear"),
        pytest.param((Linear(5, 3), ReLU(), Linear(3, 2)), (5,), id="two-linears"),
        pytest.param((Flatten(), Linear(12, 3)), (3, 4), id="flatten"),
        pytest.param((Flatten(), Linear(24, 3)), (2, 3, 4), id="flatten-pictures"),
        pytest.param((Conv2d(2, 3, 2), Flatten()), (2, 3, 4), id="conv"),
    ],
)
def test_the_summary_takes_a_shape_with_or_without_the_batch(layers, shape):
    model = Sequential(*layers)
    with_batch = model.summary((1, *shape))
    without = model.summary(shape)
    assert without.rows == with_batch.rows
    assert with_batch.rows[-1].output_shape == model.output_shape((1, *shape))


def test_the_summary_remembers_the_last_input():
    model = small()
    with pytest.raises(ValueError, match=r"summary\(\) needs the shape of the input"):
        model.summary()
    model.predict(pictures(5)[0])
    assert model.summary().rows == model.summary((1, 6, 6)).rows


def test_the_summary_of_nested_networks_names_every_layer():
    inner = Sequential(ReLU(), Linear(3, 2))
    summary = Sequential(Linear(4, 3), inner, seed=1).summary((1, 4))
    assert [row.name for row in summary.rows] == ["0", "1.0", "1.1"]
    assert summary.parameters == 15 + 8


def test_the_summary_prints_as_a_table():
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(lenet().summary())
    text = captured.get()
    for words in ("1,199,882", "1,179,776", "64×24×24", "6×6", "all", "total"):
        assert words in text
        assert words in str(lenet().summary())


# ---- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load_give_the_same_network(tmp_path, dtype):
    x, _ = pictures()
    model = small(seed=1, dtype=dtype)
    path = tmp_path / "weights.safetensors"
    model.save(path, {"note": "hello"})
    other = small(seed=2, dtype=dtype)
    assert (other.predict(x) != model.predict(x)).all()
    assert other.load(path) is other
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    state, metadata = load_weights(path)
    assert metadata == {"note": "hello"}
    assert list(state) == sorted(model.state_dict())
    assert {array.dtype for array in state.values()} == {np.dtype(dtype)}
    assert list(tmp_path.iterdir()) == [path]


def test_loading_converts_to_the_models_precision(tmp_path):
    path = tmp_path / "weights.safetensors"
    small(seed=1, dtype="float64").save(path)
    model = small(seed=2).load(path)
    assert model[0].weight.data.dtype == np.float32
    expected = small(seed=1, dtype="float64")[0].weight.data.astype(np.float32)
    np.testing.assert_array_equal(model[0].weight.data, expected)


def test_saving_replaces_the_file_as_a_whole(tmp_path):
    path = tmp_path / "weights.safetensors"
    small(seed=1).save(path)
    first = path.read_bytes()
    small(seed=2).save(str(path))
    assert path.read_bytes() != first
    assert len(path.read_bytes()) == len(first)
    small(seed=1).save(path)
    assert path.read_bytes() == first  # the same weights give the same file


def test_weights_of_any_order_in_memory_are_saved_right(tmp_path):
    path = tmp_path / "weights.safetensors"
    array = np.arange(12.0).reshape(3, 4)
    save_weights(path, {"turned": array.T, "every-other": array[:, ::2], "none": array[:0]}, {})
    state, metadata = load_weights(path)
    assert metadata == {}
    np.testing.assert_array_equal(state["turned"], array.T)
    np.testing.assert_array_equal(state["every-other"], array[:, ::2])
    assert state["none"].shape == (0, 4)


# ---- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate",
    [lambda model: model.copy(), copy.deepcopy],
    ids=["copy", "deepcopy"],
)
def test_a_copy_shares_nothing(duplicate):
    model, (x, y) = small(seed=1), pictures()
    other = duplicate(model)
    expected = model.predict(x)
    np.testing.assert_array_equal(other.predict(x), expected)
    other.fit(x, y, verbose=False)
    np.testing.assert_array_equal(model.predict(x), expected)
    assert (other.predict(x) != expected).any()
    assert all(p.grad is None for p in model.parameters())


def test_an_untouched_network_is_free_to_describe():
    # 13 GB of weights, none of which is ever made.
    model = Sequential(Linear(60_000, 60_000), seed=1)
    assert model.summary((1, 60_000)).parameters == 60_000 * 60_001
    assert model[0].weight._data is None


def test_networks_that_end_in_log_softmax_go_with_nll():
    x, y = pictures()
    raw = small(seed=1)
    logs = Sequential(*small(seed=1), LogSoftmax())
    logs.load_state_dict(raw.state_dict())
    one = raw.evaluate(x, y, loss=CrossEntropyLoss())
    other = logs.evaluate(x, y, loss=NLLLoss())
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    assert other.accuracy == one.accuracy


def test_a_network_is_a_sequence_of_layers():
    model = small(seed=1)
    assert len(model) == 6
    assert isinstance(model[0], Conv2d)
    assert model[-1] is list(model)[5]
    with pytest.raises(IndexError):
        model[6]


def test_mse_of_a_network_that_rebuilds_its_input():
    model = Sequential(Linear(4, 3, bias=False), Linear(3, 4, bias=False), seed=1)
    x = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    before = model.evaluate(x, x, loss=MSELoss()).loss
    model.fit(x, x, epochs=5, batch_size=5, loss="mse", optimizer="adam", verbose=False)
    assert model.evaluate(x, x, loss="mse").loss < before


def test_a_network_survives_a_pickle():
    x, _ = pictures()
    model = small(seed=3)
    restored = pickle.loads(pickle.dumps(model))  # before the weights are drawn: the seed decides
    np.testing.assert_array_equal(restored.predict(x), model.predict(x))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_the_device_survives_a_pickle():
    device = small(device="reference").device
    assert pickle.loads(pickle.dumps(device)) is device
