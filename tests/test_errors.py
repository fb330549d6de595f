"""What a user reads when something doesn't fit: which layer, what came, what would help.

The words are part of the interface. A test names those that a user can't do without.
"""

import re
import zipfile

import numpy as np
import pytest

import numcnn
from numcnn import (
    AvgPool2d,
    Conv2d,
    CrossEntropyLoss,
    DataLoader,
    DeviceError,
    Dropout2d,
    Flatten,
    Linear,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    ShapeError,
    Sigmoid,
    load_weights,
)
from numcnn.kernels.cuda import _cuda
from numcnn.layers import Layer


def says(error, *words):
    """Assert that the caught error holds every one of the words."""
    text = str(error.value)
    for word in words:
        assert word in text, f"{word!r} is missing in: {text}"
    assert "\n" not in text.strip() or "nothing was loaded" in text


def model(*layers, **options):
    return Sequential(*layers, **{"seed": 1} | options)


# ---- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer", [Conv2d(3, 4, 3), MaxPool2d(2), AvgPool2d(2), Dropout2d(0.5)], ids=repr
)
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 8, 8), ["4 axes", "got 3 axes: (3, 8, 8)", "needs a batch axis: x[None]"]),
        ((8, 3), ["(N, C, H, W)", "got 2 axes: (8, 3)"]),
        ((5,), ["got 1 axis: (5,)"]),
        ((1, 1, 3, 8, 8), ["got 5 axes: (1, 1, 3, 8, 8)"]),
    ],
    ids=str,
)
def test_pictures_of_another_rank(layer, shape, words):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros(shape))
    says(error, repr(layer), *words)


def test_channels_that_dont_fit():
    with pytest.raises(ShapeError) as error:
        Conv2d(3, 8, 5)(np.zeros((2, 1, 28, 28)))
    says(error, "Conv2d(3, 8, kernel_size=(5, 5))", "expects 3 input channels", "got 1")
    says(error, "(2, 1, 28, 28)")


def test_features_that_dont_fit():
    with pytest.raises(ShapeError) as error:
        Linear(4, 2)(np.zeros((3, 5)))
    says(error, "Linear(4, 2)", "expects 4 features (last axis)", "got 5", "(3, 5)")
    with pytest.raises(ShapeError) as error:
        Linear(4, 2)(np.float32(3))
    says(error, "Linear(4, 2)", "a single number")


def test_a_kernel_larger_than_its_picture():
    with pytest.raises(ShapeError) as error:
        Conv2d(1, 2, (3, 7), padding=1)(np.zeros((1, 1, 9, 4)))
    says(error, "width", "a window of 7 pixels", "4 + 1 + 1 of padding", "(4 + 2*1 - 7)/1 + 1")
    with pytest.raises(ShapeError) as error:
        MaxPool2d(5)(np.zeros((1, 1, 4, 9)))
    says(error, "MaxPool2d", "height", "a window of 5 pixels", "larger than the input of 4")


@pytest.mark.parametrize(
    ("first", "second", "sizes"),
    [
        pytest.param(Linear(2, 5), Linear(6, 3), ("gives 5 features", "takes 6"), id="linear"),
        pytest.param(Conv2d(1, 6, 5), Conv2d(3, 8, 5), ("gives 6 channels", "takes 3"), id="conv"),
    ],
)
@pytest.mark.parametrize(
    "between", [(), (ReLU(), Sigmoid())], ids=["neighbours", "with-activations"]
)
def test_neighbours_that_cannot_fit_are_found_at_construction(first, second, sizes, between):
    with pytest.raises(ShapeError) as error:
        Sequential(first, *between, second)
    position = 1 + len(between)
    says(error, f"layer 0, {first!r}", f"layer {position}, {second!r}", *sizes)


def test_neighbours_that_may_fit_are_left_alone():
    Sequential(Linear(2, 5), Flatten(), Linear(6, 3))  # Flatten changes the width
    Sequential(Conv2d(1, 6, 5), Flatten(), Linear(6, 3))


def test_neighbours_that_dont_fit_are_found_at_forward():
    wrong = model(Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(30, 3))
    with pytest.raises(ShapeError) as error:
        wrong(np.zeros((2, 1, 6, 6)))
    says(error, "layer 3: Linear(30, 3) expects 30 features", "got 32")
    says(error, "Layer 2 before it, Flatten(), gives (2, 32)")


def test_the_first_layer_has_none_before_it():
    with pytest.raises(ShapeError) as error:
        model(Linear(3, 2))(np.zeros((1, 4)))
    says(error, "layer 0: Linear(3, 2) expects 3 features")
    assert "before it" not in str(error.value)


def test_a_position_inside_a_nested_network():
    inner = Sequential(ReLU(), Linear(4, 2))
    with pytest.raises(ShapeError) as error:
        model(Linear(3, 5), inner)(np.zeros((1, 3)))
    says(error, "layer 1: layer 1: Linear(4, 2) expects 4 features", "Layer 0 before it, ReLU()")
    says(error, "Layer 0 before it, Linear(3, 5), gives (1, 5)")


@pytest.mark.parametrize(
    ("features", "hint"),
    [(32, "2*4*4 = 32, so put Flatten() before it"), (31, "would give 2*4*4 = 32 features")],
)
def test_pictures_for_a_linear_layer_need_flatten(features, hint):
    with pytest.raises(ShapeError) as error:
        model(Conv2d(1, 2, 3), ReLU(), Linear(features, 3))(np.zeros((1, 1, 6, 6)))
    says(error, f"layer 2: Linear({features}, 3)", "input of shape (1, 2, 4, 4)", hint)


def test_the_same_layer_cannot_stand_at_two_places():
    twice = ReLU()
    with pytest.raises(ValueError, match=r"ReLU\(\) stands at two places"):
        Sequential(twice, Linear(2, 2), twice)


@pytest.mark.parametrize("nested_first", [False, True])
def test_nor_at_two_places_of_nested_networks(nested_first):
    # The second forward would overwrite what the first kept for its backward, in silence.
    twice = Linear(2, 2)
    layers = [twice, Sequential(ReLU(), twice)]
    with pytest.raises(ValueError, match="two places"):
        Sequential(*(reversed(layers) if nested_first else layers))


def test_what_is_no_layer_is_no_layer():
    with pytest.raises(TypeError, match=r"layer 1 is no Layer but .*relu"):
        Sequential(Linear(2, 2), "relu")
    with pytest.raises(TypeError, match=r"layer 0 is no Layer but .*ReLU"):
        Sequential(ReLU)
    with pytest.raises(ValueError, match="at least one layer"):
        Sequential()


def test_a_layer_of_ones_own_must_say_how():
    class Mine(Layer):
        pass

    with pytest.raises(TypeError, match="Mine must define _forward"):
        Mine()(np.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"groups": 2}, "in_channels=3 can't be cut into groups=2", id="in-groups"),
        pytest.param(
            {"groups": 3, "out_channels": 4}, "out_channels=4 can't be cut", id="out-groups"
        ),
        pytest.param({"padding": "full"}, "'same' or 'valid', got 'full'", id="padding"),
        pytest.param({"padding_mode": "mirror"}, "'circular', got 'mirror'", id="padding-mode"),
        pytest.param({"stride": 0}, "stride must be at least 1, got 0", id="stride"),
        pytest.param({"padding": -1}, "padding must be at least 0, got -1", id="negative-padding"),
        pytest.param({"in_channels": 0}, "in_channels must be at least 1", id="no-channels"),
    ],
)
def test_arguments_that_make_no_convolution(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Conv2d(**{"in_channels": 3, "out_channels": 6, "kernel_size": 3} | arguments)


# ---- order of calls ---------------------------------------------------------------------------


def test_backward_before_forward():
    layer = Linear(2, 3)
    with pytest.raises(RuntimeError) as error:
        layer.backward(np.zeros((1, 3)))
    says(error, "Linear(2, 3): backward was called before forward", "no_grad")
    with pytest.raises(RuntimeError, match="before forward"):
        model(layer).backward(np.zeros((1, 3)))
    network = model(Linear(2, 3))
    network(np.zeros((1, 2)))
    network.predict(np.zeros((1, 2)))
    with pytest.raises(RuntimeError, match="predict, evaluate and no_grad keep nothing"):
        network.backward(np.zeros((1, 3)))


def test_a_failed_forward_doesnt_leave_the_old_one_behind():
    layer = Linear(2, 3)
    layer(np.zeros((1, 2)))
    with pytest.raises(ShapeError):
        layer(np.zeros((1, 4)))
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(np.zeros((1, 3)))


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), NLLLoss(), MSELoss()], ids=repr)
def test_loss_backward_before_the_loss(loss):
    with pytest.raises(RuntimeError, match="backward was called before the loss was computed"):
        loss.backward()


def test_a_step_before_backward():
    network = model(Linear(2, 3))
    with pytest.raises(RuntimeError, match=r"call model.backward\(loss.backward\(\)\) before step"):
        numcnn.SGD(network.parameters(), 0.1).step()


@pytest.mark.parametrize("layer", [Linear(4, 3), Conv2d(4, 2, 1), ReLU(), Flatten()], ids=repr)
def test_a_gradient_of_another_shape(layer):
    x = np.zeros((2, 4, 1, 1) if not isinstance(layer, Linear) else (2, 4))
    y = layer(x)
    with pytest.raises(ShapeError) as error:
        layer.backward(np.zeros((1, *y.shape[1:])))
    says(error, repr(layer), f"the gradient has shape {(1, *y.shape[1:])}")
    says(error, f"output of the last forward pass had shape {y.shape}")


# ---- what arrays hold ---------------------------------------------------------------------------

STRANGE = {
    "object": np.array([[1, 2]], object),
    "complex": np.array([[1, 2j]]),
    "text": np.array([["1", "2"]]),
    "time": np.array([["2020-01-01", "2020-01-02"]], "datetime64[D]"),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_arrays_must_hold_real_numbers(strange):
    network = model(Linear(2, 2))
    for call in (
        network,
        network.predict,
        lambda x: network.fit(x, [0], verbose=False),
        lambda x: network.evaluate(x, [0]),
        lambda x: MSELoss()(np.zeros((1, 2)), x),
        lambda x: MSELoss()(x, np.zeros((1, 2))),
    ):
        with pytest.raises(
            TypeError, match=rf"must hold real numbers, got .* {re.escape(str(strange.dtype))}"
        ):
            call(strange)
    network(np.zeros((1, 2)))
    with pytest.raises(TypeError, match="must hold real numbers"):
        network.backward(strange)
    with pytest.raises(TypeError, match="data must hold real numbers"):
        Linear(2, 1).weight.data = strange


CALLS = {
    "forward": lambda network, x: network(x),
    "predict": lambda network, x: network.predict(x),
    "fit": lambda network, x: network.fit(x, [0, 1], verbose=False),
    "evaluate": lambda network, x: network.evaluate(x, [0, 1]),
    "mse-target": lambda network, x: MSELoss()(np.zeros((2, 2)), x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_masked_arrays_are_not_taken_for_whole_ones(call):
    # Dropping the mask in silence would train on numbers that were marked as wrong.
    network = model(Linear(2, 2))
    masked = np.ma.masked_array(np.ones((2, 2)), [[True, False], [False, False]])
    with pytest.raises(TypeError, match=r"masked array; fill it first"):
        call(network, masked)


# ---- labels -------------------------------------------------------------------------------------

LABELS = {
    "too-large": (
        [0, 3, 1],
        ValueError,
        ["label 3 at target[1]", "none of the 3 classes", "0 to 2"],
    ),
    "negative": ([0, 1, -1], ValueError, ["label -1 at target[2]", "0 to 2"]),
    "uint64": (np.array([0, 2**63, 1], np.uint64), ValueError, [f"label {2**63} at target[1]"]),
    "floats": ([0.0, 1.0, 2.0], TypeError, ["float64", "use target.astype('int64')"]),
    "one-hot": (np.eye(3, dtype=int), ShapeError, ["(3, 3)", "target.argmax(axis=1)"]),
    "booleans": ([True, False, True], TypeError, ["integers", "bool"]),
    "too-many": ([0, 1, 2, 0], ShapeError, ["labels of shape (3,)", "got (4,)"]),
    "column": ([[0], [1], [2]], ShapeError, ["labels of shape (3,)", "got (3, 1)"]),
    "text": (["0", "1", "2"], TypeError, ["class numbers (integers)"]),
}


@pytest.mark.parametrize(("target", "kind", "words"), LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("make", [CrossEntropyLoss, NLLLoss], ids=lambda m: m.__name__)
def test_labels_that_cannot_be_meant(make, target, kind, words):
    with pytest.raises(kind) as error:
        make()(np.zeros((3, 3)), target)
    says(error, make.__name__, *words)


@pytest.mark.parametrize("name", [name for name in LABELS if name != "too-many"])
def test_fit_refuses_labels_before_the_first_step(name):
    target = LABELS[name][0]
    network = model(Linear(2, 3))
    before = network.state_dict()
    for call in (network.fit, network.evaluate):
        with pytest.raises((ValueError, TypeError), match="CrossEntropyLoss"):
            call(np.zeros((3, 2)), target)
    np.testing.assert_array_equal(network.state_dict()["0.weight"], before["0.weight"])
    good = np.zeros((3, 2)), np.zeros(3, int)
    with pytest.raises((ValueError, TypeError), match="CrossEntropyLoss"):
        network.fit(*good, validation_data=(good[0], target), verbose=False)
    np.testing.assert_array_equal(network.state_dict()["0.weight"], before["0.weight"])


def test_scores_without_a_class_axis():
    with pytest.raises(ShapeError, match=r"expects scores of shape \(N, classes\), got \(3,\)"):
        CrossEntropyLoss()(np.zeros(3), [0, 1, 2])


# ---- fit and its arguments --------------------------------------------------------------------

X, Y = np.zeros((4, 2)), np.zeros(4, int)
FITS = {
    "loss": (
        {"loss": "hinge"},
        ValueError,
        "there is no loss 'hinge'; choose one of cross_entropy",
    ),
    "loss-type": ({"loss": 3}, TypeError, "loss must be a Loss or one of"),
    "optimizer": (
        {"optimizer": "adagrat"},
        ValueError,
        "there is no optimizer 'adagrat'; .* adagrad",
    ),
    "epochs": ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    "epochs-float": ({"epochs": 1.5}, TypeError, "epochs must be a whole number, got 1.5"),
    "batch-size": ({"batch_size": 0}, ValueError, "batch_size must be 1 or more; got 0"),
    "seed": ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    "no-targets": ({"y": None}, TypeError, r"fit\(x, y\) needs the targets y"),
    "lengths": ({"y": Y[:3]}, ValueError, "x and y must be of one length; got 4 .* 3 targets"),
    "shape": ({"x": np.zeros((4, 3))}, ShapeError, "layer 0: Linear.* expects 2 features"),
    "empty": ({"x": X[:0], "y": Y[:0]}, ValueError, "at least one example"),
    "reduction-none": (
        {"loss": CrossEntropyLoss(reduction="none")},
        (ValueError, TypeError),
        "reduction",
    ),
    "loader-without-y": (
        {"x": DataLoader(X, batch_size=2), "y": None},
        (ValueError, TypeError),
        "targets",
    ),
    "loader-and-y": ({"x": DataLoader(X, Y, batch_size=2)}, TypeError, "brings its own targets"),
    "loader-labels": ({"x": DataLoader(X, Y + 9), "y": None}, ValueError, "label 9 at target"),
}


@pytest.mark.parametrize(("change", "error", "words"), FITS.values(), ids=FITS)
def test_fit_refuses_what_cannot_work(change, error, words):
    network = model(Linear(2, 3))
    before = network.state_dict()
    with pytest.raises(error, match=words):
        network.fit(**{"x": X, "y": Y, "verbose": False} | change)
    np.testing.assert_array_equal(network.state_dict()["0.weight"], before["0.weight"])
    assert all(layer.training for layer in network.layers())


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="there is no device 'gpu'; choose one of cpu, cuda, ref"):
        Sequential(Linear(2, 2), device="gpu")
    with pytest.raises(ValueError, match="there is no device 'tpu'"):
        model(Linear(2, 2)).to("tpu")
    with pytest.raises(ValueError, match="there is no device 'CPU'"):
        Linear(2, 2, device="CPU")
    with pytest.raises(ValueError, match="there is no gain for 'swish'; choose one of linear"):
        numcnn.init.calculate_gain("swish")


# ---- devices ------------------------------------------------------------------------------------

GPU = _cuda.availability() is None
without_gpu = pytest.mark.skipif(GPU, reason="a GPU (or Numba's simulator of one) can be used here")


@without_gpu
@pytest.mark.parametrize(
    "choose",
    [
        pytest.param(lambda: Sequential(Linear(2, 2), device="cuda"), id="Sequential"),
        pytest.param(lambda: Linear(2, 2, device="cuda"), id="layer"),
        pytest.param(lambda: model(Linear(2, 2)).to("cuda"), id="to"),
        pytest.param(lambda: CrossEntropyLoss().to("cuda"), id="loss"),
    ],
)
def test_a_missing_gpu_is_reported_at_once_with_a_remedy(choose):
    with pytest.raises(DeviceError) as error:
        choose()
    says(error, "device 'cuda' can't be used: ")
    remedies = ("device='cpu'", "pip install", "nvidia-smi")
    assert any(remedy in str(error.value) for remedy in remedies), str(error.value)


@without_gpu
def test_a_model_stays_where_it_is_when_the_gpu_is_missing():
    network = model(Conv2d(1, 2, 3), ReLU())
    weights = network.state_dict()
    with pytest.raises(DeviceError):
        network.to("cuda")
    assert {layer.device.name for layer in network.layers()} == {"cpu"}
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    assert network(np.zeros((1, 1, 5, 5))).shape == (1, 2, 3, 3)


class FakeGpuArray:
    """An array of some GPU library, as far as anyone can see from outside."""

    __cuda_array_interface__ = None
    shape = (1, 2)
    dtype = np.dtype(np.float32)


def test_nothing_is_copied_from_a_gpu_unasked():
    with pytest.raises(TypeError, match="is on the GPU and the layer on the cpu"):
        Linear(2, 2)(FakeGpuArray())


# ---- files ------------------------------------------------------------------------------------


def test_saving_into_a_missing_folder_leaves_nothing_behind(tmp_path):
    target = tmp_path / "missing" / "weights.safetensors"
    with pytest.raises(OSError, match="missing"):
        model(Linear(2, 2)).save(target)
    assert list(tmp_path.iterdir()) == []


def test_saving_onto_a_folder_leaves_nothing_behind(tmp_path):
    target = tmp_path / "weights"
    target.mkdir()
    with pytest.raises(OSError):  # the words are the operating system's
        model(Linear(2, 2)).save(target)
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == []


def test_a_failed_save_keeps_the_old_file(tmp_path):
    target = tmp_path / "weights.safetensors"
    network = model(Linear(2, 2))
    network.save(target)
    before = target.read_bytes()
    with pytest.raises(Exception):  # noqa: B017  metadata must be text; safetensors says so
        network.save(target, metadata={"epoch": 3})
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere"):
        model(Linear(2, 2)).load(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_weights(tmp_path)


def unchanged(network, before):
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name], name)


def test_a_file_cut_short_is_refused_at_every_length(tmp_path):
    network = model(Linear(2, 3))
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    model(Linear(2, 3), seed=2).save(whole, {"note": "hello"})
    content = whole.read_bytes()
    before = network.state_dict()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match=re.escape(str(cut))) as error:
            network.load(cut)
        says(error, "damaged", f"it has {length} bytes")
    unchanged(network, before)
    network.load(whole)
    assert (network.state_dict()["0.weight"] != before["0.weight"]).all()


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}q\x00.")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: path.write_bytes(b"\xff" * 500), id="ones"),
        pytest.param(lambda path: path.write_bytes(bytes(500)), id="zeros"),
        pytest.param(
            lambda path: path.write_bytes(np.random.default_rng(1).bytes(500)), id="random"
        ),
        pytest.param(lambda path: path.write_text("{}"), id="text"),
        pytest.param(lambda path: path.write_bytes(b"\x02" + bytes(7) + b"[]"), id="json-list"),
        pytest.param(zipped, id="zip"),
        pytest.param(lambda path: np.savez(path.open("wb"), weight=np.zeros(2)), id="npz"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, write):
    network = model(Linear(2, 3))
    path = tmp_path / "weights.safetensors"
    write(path)
    before = network.state_dict()
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        network.load(path)
    says(error, "no safetensors file, or it is damaged")
    unchanged(network, before)


def test_weights_of_another_network_are_refused_as_a_whole(tmp_path):
    path = tmp_path / "weights.safetensors"
    model(Linear(2, 3), Linear(3, 4)).save(path)
    network = model(Linear(2, 3), Linear(3, 5))
    before = network.state_dict()
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        network.load(path)
    says(
        error, "1.weight has shape (4, 3), expected (5, 3)", "1.bias has shape (4,), expected (5,)"
    )
    unchanged(network, before)
