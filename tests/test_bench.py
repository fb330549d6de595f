"""``numcnn bench train`` and ``infer``: what is compared, what is refused, what is written."""

import importlib
import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from numcnn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Dropout2d,
    Flatten,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample,
)
from numcnn.bench import check, compare, networks, ours, peers, report, worker
from numcnn.cli import app

QUICK = ("--model", "mlp", "--steps", 2, "--starts", 0)
# tinygrad calls a C compiler for each of its kernels
LONG = {"tinygrad": pytest.mark.timeout(1200)}
TASKS = [
    pytest.param(name, task, marks=LONG.get(name, ()), id=f"{name}-{task}")
    for name, peer in peers.PEERS.items()
    for task in peer.tasks
]
LEARNERS = [
    pytest.param(name, marks=LONG.get(name, ()))
    for name, peer in peers.PEERS.items()
    if "train" in peer.tasks
]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """Tables keep their words whole."""
    monkeypatch.setenv("COLUMNS", "160")


def call(*args):
    return CliRunner().invoke(app, ["bench", *(str(arg) for arg in args)])


def everything(**options):
    """Return a network with every layer that peers are told about, each size different."""
    block = Residual(
        Sequential({"a": Conv2d(6, 8, 3, 2, 1, bias=False), "b": BatchNorm2d(8), "c": ReLU()}),
        Sequential(Conv2d(6, 8, 1, stride=2), BatchNorm2d(8)),
        names=("", "down"),
    )
    model = Sequential(
        Conv2d(3, 6, (3, 5), padding=(1, 2)),
        BatchNorm2d(6, eps=1e-3, momentum=0.3),
        LeakyReLU(0.2),
        Dropout2d(0.3),
        block,
        Tanh(),
        Residual(Sequential(Conv2d(8, 8, 3, padding=2, dilation=2, groups=2), Sigmoid())),
        MaxPool2d(3, stride=1, padding=1),
        AvgPool2d(2, stride=1, padding=1, count_include_pad=False),
        AdaptiveAvgPool2d(1),
        Flatten(),
        Dropout(0.4),
        Linear(8, 5),
        **options,
    )
    model.input_shape = (1, 3, 11, 14)
    return model


# ---- networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet", "vgg6", "demo", "odd", "mlp", "resnet18", "alexnet1"])
def test_networks_of_the_goals(name):
    network = networks.build(name)
    expected = {"odd": 48, "mlp": 32}.get(name, 64)
    assert networks.NETWORKS[name].batch_size == expected
    assert network.output_shape(network.input_shape) == (1, 2 if name == "mlp" else 10)
    keys = [key for key, _ in networks.leaves(network)]
    assert len(set(keys)) == len(keys)
    named = {key + own for key, layer in networks.leaves(network) for own in layer._parameters}
    assert named == {key for key, _ in network.named_parameters()}
    assert networks.describe(network)["kind"] == "Sequential"


def test_the_odd_network_is_the_one_of_the_goals():
    shapes = [p.shape for name, p in networks.build("odd").named_parameters() if "weight" in name]
    assert [shape for shape in shapes if len(shape) == 4] == [
        (48, 3, 3, 3),
        (72, 48, 3, 3),
        (40, 72, 1, 1),
        (56, 40, 5, 5),
    ]


def test_weights_are_the_same_in_every_process():
    first, second = (networks.build("vgg6").state_dict() for _ in range(2))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert np.ptp(first["1.running_var"]) > 0.5  # who forgets them is found out


def test_what_cannot_be_told_is_refused():
    with pytest.raises(ValueError, match="no peer can be told about Upsample"):
        networks.describe(Sequential(Upsample(scale_factor=2)))
    with pytest.raises(ValueError, match="one-sided"):
        networks.describe(Conv2d(1, 1, 2, padding="same"))
    with pytest.raises(ValueError, match="did you mean 'lenet'"):
        networks.check_name("lenett")


def test_terms_of_the_longest_sum():
    net = Sequential(Conv2d(3, 4, 5), BatchNorm2d(4), Flatten(), Linear(4 * 4 * 4, 10))
    assert networks.terms(net, (2, 3, 8, 8), training=False) == 3 * 25 + 64
    backward = 4 * 25 + 10 + 4 * (2 * 16) + max(2 * 16, 2)
    assert networks.terms(net, (2, 3, 8, 8), training=True) == 3 * 25 + 64 + backward


# ---- nothing is timed before it is checked --------------------------------------------------


def results():
    rng = np.random.default_rng(0)
    return {"loss": np.array(2.0), "0.weight": rng.normal(size=(4, 3)), "0.bias": np.zeros(4)}


def test_equal_results_pass():
    off = results() | {"0.bias": np.full(4, 1e-7)}  # noise of a gradient that is exactly 0
    assert 0 < check.compare(off, results(), 1e-6, "peer") < 1e-6


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"0.weight": results()["0.weight"] * 1.01}, "differ by 1.0e-02 in 0.weight"),
        ({"loss": np.array(np.nan)}, "differ by nan in loss"),
        ({"0.bias": np.zeros(5)}, "0.bias has the shapes"),
        ({"1.bias": np.zeros(1)}, "different results: 1.bias"),
    ],
)
def test_wrong_results_are_refused(wrong, words):
    with pytest.raises(check.WrongResultError, match=words):
        check.compare(results() | wrong, results(), check.bound(10_000), "peer")


def test_a_unit_at_its_kink_may_flip():
    theirs = results() | {"0.weight": np.random.default_rng(0).normal(size=1_000_000)}
    flipped = {"0.weight": theirs["0.weight"].copy()}
    flipped["0.weight"][7] += 1
    allowed = check.bound(10_000)
    with pytest.raises(check.WrongResultError):
        check.compare(theirs | flipped, theirs, allowed, "peer")
    assert check.compare(theirs | flipped, theirs, allowed, "peer", kinks=3) > allowed
    for wrong in ({"0.weight": theirs["0.weight"] * 1.01}, {"loss": theirs["loss"] * 1.01}):
        with pytest.raises(check.WrongResultError):
            check.compare(theirs | wrong, theirs, allowed, "peer", kinks=3)


def test_results_of_zeros_prove_nothing():
    zeros = {"0.weight": np.zeros(3)}
    with pytest.raises(check.WrongResultError):
        check.compare(zeros, zeros, check.bound(100), "peer")


def test_a_wrong_result_ends_with_exit_code_1(monkeypatch):
    def refuse(*args):
        raise check.WrongResultError("the results differ; not timed")

    monkeypatch.setattr(compare, "_check", refuse)
    result = call("infer", *QUICK)
    assert result.exit_code == 1
    assert result.stderr == "numcnn: the results differ; not timed\n"


# ---- peers ----------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """The network with everything, under a name."""
    monkeypatch.setitem(networks.NETWORKS, "tiny", networks.Network(everything, 4))
    network = networks.build("tiny")
    return {"layers": networks.describe(network), "state": network.state_dict()}


def load(name, task):
    for package in peers.PEERS[name].packages:
        pytest.importorskip(package, reason=f"pip install {peers.PEERS[name].install}")
    try:
        peers.find(name, task)
        return worker._load(name)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_peer_computes_the_same(tiny, name, task):
    module = load(name, task)
    shape = (4, 3, 11, 14)
    x, y = worker._batch({"shape": shape, "classes": 5})
    own = {"name": "tiny", "algorithm": "auto"}
    terms = networks.terms(networks.build("tiny"), shape, task == "train")
    for _, options in peers.PEERS[name].variants:
        if task == "infer":
            expected = {"output": ours.Inference(own, shape).run(x)}
            side = module.Inference(tiny, shape, **options)
            for _ in range(3):  # just-in-time compilers take over at the second or third call
                found = {"output": side.run(x)}
                assert check.compare(found, expected, check.bound(terms), name) > 0
        else:
            expected = ours.Training(own, shape, 1e-3).results(x, y)
            side = module.Training(tiny, shape, 1e-3, **options)
            assert check.compare(side.results(x, y), expected, check.bound(terms), name) > 0


@pytest.mark.parametrize("name", LEARNERS)
def test_a_peer_learns_as_numcnn_does(monkeypatch, name):
    module = load(name, "train")
    network = networks.build("mlp")
    told = {"layers": networks.describe(network), "state": network.state_dict()}
    shape = (32, 2)
    x, y = worker._batch({"shape": shape, "classes": 2})
    sides = [
        ours.Training({"name": "mlp", "algorithm": "auto"}, shape, 1e-2),
        module.Training(told, shape, 1e-2),
    ]
    before = float(sides[0].results(x, y)["loss"])
    losses = [[side.step(x, y) for _ in range(8)] for side in sides]
    assert losses[0][-1] < before - 1e-3
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.parametrize("name", peers.PEERS)
def test_a_peer_that_is_missing(monkeypatch, name):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda package: None)
    result = call("infer", "--peer", name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"numcnn: {name} is not installed")
    assert f"python -m pip install {peers.PEERS[name].install}\n" in result.stderr


def test_peers_that_cannot_be_asked():
    assert "there is no peer 'caffe'" in call("train", "--peer", "caffe").stderr
    said = call("train", "--peer", "onnxruntime").stderr
    assert said == "numcnn: onnxruntime does not train; peers that do are torch, jax, tinygrad\n"
    assert "there is no network 'lenett'" in call("train", "--model", "lenett").stderr
    assert "there is no folder" in call("train", "--json", "nowhere/a.json").stderr
    said = call("infer", *QUICK, "--model", "lenet", "--algorithm", "magic").stderr
    assert "not by 'magic'" in said


def test_a_layer_that_a_peer_lacks_is_named():
    module = load("jax", "infer")
    layer = networks.describe(Sequential(LocalResponseNorm(3)))
    side = module.Inference({"layers": layer, "state": {}}, (1, 2, 3, 3))
    with pytest.raises(ValueError, match="LocalResponseNorm is not in"):
        side.run(np.zeros((1, 2, 3, 3), np.float32))


# ---- the commands ---------------------------------------------------------------------------


def test_training_alone(tmp_path):
    path, picture = tmp_path / "a.json", tmp_path / "a.png"
    args = ("--model", "mlp", "--steps", 2, "--starts", 1, "--batch-size", 4)
    result = call("train", *args, "--json", path, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "mlp ×4" in result.stdout
    assert "6 eps √terms" in result.stdout
    found = json.loads(path.read_text())
    assert found["benchmark"] == "train"
    assert found["threads"] >= 1
    assert set(found["versions"]) == {"python", "numcnn", "numpy", "numba"}
    (one,) = found["results"]
    assert one["network"] == "mlp"
    assert one["batch_size"] == 4
    assert one["repeats"] >= 1
    assert one["peers"] == {}
    side = one["sides"]["numcnn"]
    assert 0 < side["quartile_1_ms"] <= side["median_ms"] <= side["quartile_3_ms"]
    assert side["cold_s"] is None
    assert side["cache_load_s"] * 1e3 > side["median_ms"]
    assert side["memory_bytes"] is None or side["memory_bytes"] > 100_000
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_inference_beside_torch(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed; run tox -e oracle")
    path = tmp_path / "a.json"
    result = call("infer", *QUICK, "--peer", "torch", "--json", path)
    assert result.exit_code == 0, result.output
    (one,) = json.loads(path.read_text())["results"]
    assert list(one["sides"]) == ["numcnn", "torch", "torch channels_last"]
    assert 0 <= one["sides"]["torch"]["difference"] <= one["bound"]
    assert one["peers"]["torch"]["best"] in one["sides"]
    assert one["peers"]["torch"]["over_numcnn"] > 0


def test_the_first_step_of_all_is_told_apart(monkeypatch):
    seen = []

    class Side:
        def __init__(self, name, job, environment):
            seen.append(dict(environment))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def receive(self):
            return "1.0"

        def first_step(self):
            return float(len(seen))

        def ask(self, *order):
            return {"turn": 0.02, "memory": 10**6, "results": results()}[order[0]]

    monkeypatch.setattr(compare, "Side", Side)
    plan = compare.Plan("train", (), steps=3, starts=2, cold=True)
    found = compare.compare(plan, ["mlp"])
    (one,) = found["results"]
    side = one["sides"]["numcnn"]
    assert (side["cold_s"], side["cache_load_s"]) == (1.0, 2.5)
    assert one["repeats"] == 1
    assert len({tuple(environment.items()) for environment in seen}) == 1
    assert set(seen[0]) == {"NUMCNN_CACHE_DIR", "XDG_CACHE_HOME"}
    shown = Console(width=130)
    with shown.capture() as caught:
        shown.print(report.table(found))
    assert "20.0–20.0" in caught.get()


def test_a_side_that_fails_says_why():
    job = {"side": "numcnn", "task": "train", "shape": (2, 2), "classes": 2, "lr": 1e-3}
    job |= {"options": {}, "network": {"name": "nothing", "algorithm": "auto"}}
    with (
        compare.Side("numcnn", job, {}) as side,
        pytest.raises(ValueError, match="numcnn: ValueError: there is no network 'nothing'"),
    ):
        side.receive()
    assert side.process.poll() is not None


def test_python_m_is_the_same_command():
    assert importlib.import_module("numcnn.bench.__main__").main is not None


def test_the_table_never_calls_a_larger_number_smaller():
    assert report._difference(1e-6, 2e-4) == "1e-06 < 2e-04"
    assert report._difference(9e-3, 6e-4) == "9e-03, kinks"
    assert report._difference(None, 6e-4) == ""
