"""The zoo: parameter counts, names of weights published elsewhere, and that every network runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from numba.core import config

from numcnn import Adam, Conv2d, Linear, MaxPool2d, OneCycleLR, ReLU, data, models
from numcnn.models import ZOO

PARAMETERS = {
    "lenet": 1_199_882,
    "lenet5": 61_706,
    "cifar-demo": 22_466,
    "conv-pool-cnn-c": 1_406_794,
    "vgg-small": 1_149_770,
    "resnet20": 272_474,
    "alexnet": 60_965_224,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
}
SMALL = [name for name in ZOO if name not in PARAMETERS or PARAMETERS[name] < 2_000_000]
# names and shapes of the weights of torchvision 0.28's networks, from their state_dict()
PUBLISHED = json.loads(Path(__file__).with_name("torchvision_keys.json").read_text())


@pytest.mark.parametrize("name", PARAMETERS)
def test_numbers_of_parameters(name):
    assert ZOO[name]().summary().parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_published_for_torchvision_fit(name):
    """Keys and shapes, in their order; no number is made for it."""
    model = models.alexnet(groups=1) if name == "alexnet" else ZOO[name]()
    own = {
        key: [*getattr(layer, attribute).shape] for key, layer, attribute in model._named_state()
    }
    assert list(own.items()) == list(PUBLISHED[name].items())
    assert all(parameter._data is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_every_network_takes_the_pictures_it_is_made_for(name):
    model = ZOO[name](num_classes=3, seed=1)
    shape = model.input_shape
    assert model.output_shape((2, *shape[1:])) == (2, 3)
    assert sum(p.size for p in model.parameters()) == model.summary().parameters
    assert str(model.summary()).count("\n") > len(model)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_learn_a_handful_of_pictures(name):
    if config.DISABLE_JIT:
        pytest.skip("plain Python would need minutes")
    model = ZOO[name](num_classes=3, seed=1)
    rng = np.random.default_rng(1)
    y = np.arange(6) % 3
    x = rng.standard_normal((6, *model.input_shape[1:])) + y[:, None, None, None]
    history = model.fit(x, y, epochs=3, batch_size=6, verbose=False)
    assert np.isfinite(history.batch_losses).all()
    assert model.predict(x[:2]).shape == (2, 3)


@pytest.mark.parametrize("make", [models.resnet18, models.resnet50])
def test_deep_networks_run_on_small_pictures_too(make):
    if config.DISABLE_JIT:
        pytest.skip("plain Python would need hours")
    model = make(num_classes=5, seed=0)
    x = np.random.default_rng(1).standard_normal((2, 3, 33, 40)).astype(np.float32)
    y = model.eval()(x)
    assert y.shape == (2, 5) and np.isfinite(y).all()


def test_first_weights_keep_the_size_of_gradients():
    weight = models.resnet18(seed=0)["layer2"][0].state_dict()["conv1.weight"]
    assert np.std(weight) == pytest.approx(np.sqrt(2 / (128 * 9)), rel=5 / np.sqrt(2 * weight.size))


def test_a_block_of_the_first_inception_network():
    block = models.inception(192, 64, 96, 128, 16, 32, 32)
    assert sum(p.size for p in block.parameters()) == 163_696
    assert block.output_shape((1, 192, 28, 28)) == (1, 256, 28, 28)
    assert next(iter(block.state_dict())) == "branch1.0.weight"


@pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 0), (2, 3, 1), (3, 2, 2), (1, 0, 1)])
def test_the_grammar(n, m, k):
    model = models.conv_net(convs=n, pools=m, hidden=k, maps=2, features=3)
    kinds = "".join(
        {Conv2d: "C", ReLU: "R", MaxPool2d: "P", Linear: "F"}.get(type(layer), "-")
        for layer in model
    )
    assert kinds == ("CR" * n + "P") * m + "-" + "FR" * k + "F"
    assert model.output_shape((4, 1, 28, 28)) == (4, 10)


def test_what_cant_be_built_is_explained():
    with pytest.raises(ValueError, match=r"28×28 can't be halved 5 times; use pools=4"):
        models.conv_net(pools=5)
    with pytest.raises(ValueError, match=r"2 groups .* not in 3"):
        models.alexnet(groups=3)
    with pytest.raises(ValueError, match=r"xor.*two layers: xor_by_hand"):
        models.threshold_gate("xor")


BITS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_gates(device):
    for name, answers in (("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("nand", [1, 1, 1, 0])):
        assert models.threshold_gate(name, device=device)(BITS)[:, 0].tolist() == answers
    assert models.threshold_gate("not", device=device)(BITS[:, :1])[:, 0].tolist() == [1, 1, 0, 0]
    assert models.xor_by_hand(device=device)(BITS)[:, 0].tolist() == [0, 1, 1, 0]


def test_the_autoencoder_draws_what_it_was_shown():
    model = models.autoencoder(seed=0)
    x = np.random.default_rng(1).random((2, 1, 28, 28)).astype(np.float32)
    assert model["encoder"](x).shape == (2, 4, 7, 7)
    y = model(x)
    assert y.shape == x.shape and 0 < y.min() < y.max() < 1


def test_the_autoencoder_beats_the_mean_digit_tenfold():
    if config.DISABLE_JIT:
        pytest.skip("plain Python would need hours")
    (x, _), (x_test, _) = data.digits()
    model = models.autoencoder(seed=0)
    model.fit(
        *(x, x),
        epochs=3,
        loss="mse",
        optimizer=lambda parameters: Adam(parameters, lr=0.005),
        scheduler=lambda optimizer, steps: OneCycleLR(optimizer, 0.005, steps),
        verbose=False,
    )
    baseline = np.square(x.mean(axis=0) - x_test).mean()
    assert baseline > 0.06
    assert np.square(model.predict(x_test) - x_test).mean() < baseline / 10
