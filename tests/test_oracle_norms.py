"""Normalisations against PyTorch's: outputs, gradients, statistics, names, what is refused.

PyTorch computes in float64 on the same numbers, so the bounds of checks_norms.py are those of
numcnn's own errors, in both dtypes; PyTorch's float32 loses more where inputs lie far from 0.
"""

import numpy as np
import pytest
from checks_norms import BATCH, DOUBLE, GROUPS, ROWS, magnitudes, terms
from checks_oracle import (
    Case,
    both_dtypes,
    each,
    in_both_dtypes,
    near,
    numbers,
    run_numcnn,
    run_torch,
    torch,
    torch_shape,
)

import numcnn

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def twins(name, arguments, dtype, rng):
    """Return numcnn's layer, and PyTorch's in float64 with the same random state."""
    layer = getattr(numcnn, name)(**arguments).to(dtype=dtype)
    module = getattr(torch.nn, name)(**arguments).double()
    assert list(layer.state_dict()) == list(module.state_dict())
    state = {}
    for key, values in layer.state_dict().items():
        drawn = rng.standard_normal(values.shape)
        drawn = np.abs(drawn) + 0.1 if key in ("running_var", "num_batches_tracked") else drawn
        state[key] = np.asarray(drawn).astype(values.dtype)
    layer.load_state_dict(state)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return layer, module


def compare(layer, module, x, dy, count, sizes):
    """Compare output and all gradients; `count` is the longest sum."""
    dtype = x.dtype
    # in C order: of a (1, C, H, 1) in Fortran order, PyTorch 2.13's batch norm sums other numbers
    want = run_torch(module, *(np.array(a, np.float64, order="C") for a in (x, dy)))
    want = {name: value.astype(dtype) for name, value in want.items()}
    allowed = dict.fromkeys(want, terms(count, dtype))
    allowed["dbias"] = count  # a sum in the dtype
    sizes = {
        name: np.reshape(size, want[name].shape) for name, size in sizes.items() if name in want
    }
    near(run_numcnn(layer, x, dy), want, allowed, sizes)


def pieces(rng, case, dtype):
    """Return input and upstream gradient; some inputs lie far from 0."""
    x = numbers(rng, case.shape, dtype)
    if case.number % 3 == 0:
        x = x + np.asarray(1000, dtype)
    return x, numbers(rng, case.shape, dtype)


def affine(layer, width):
    """Return weight and bias, or what stands for them."""
    found = []
    for parameter, constant in ((layer.weight, 1.0), (layer.bias, 0.0)):
        found.append(np.full(width, constant) if parameter is None else parameter.data)
    return found


def flag(rng):
    return bool(rng.random() < 0.7)


# ------------------------------------------------------------------------------ batch norm


def draw_batch_norm(number, axes):
    rng = np.random.default_rng([1, number, axes])
    channels = int(rng.integers(1, 6))
    sides = [int(rng.integers(1, 8)) for _ in range(axes)]
    examples = int(rng.integers(2 if np.prod(sides) == 1 else 1, 8))
    arguments = {
        "num_features": channels,
        "eps": float(rng.choice([1e-5, 1e-3, 0.1])),
        "momentum": None if rng.random() < 0.2 else float(rng.choice([0.1, 0.5, 1.0])),
        "affine": flag(rng),
        "track_running_stats": flag(rng),
    }
    if arguments["affine"] and rng.random() < 0.2:
        arguments["bias"] = False
    return Case(number, (examples, channels, *sides), arguments)


def check_batch_norm(name, case, dtype):
    rng = np.random.default_rng([2, case.number, len(case.shape)])
    layer, module = twins(name, case.arguments, dtype, rng)
    x, dy = pieces(rng, case, dtype)
    training = case.number % 4 > 0
    layer.train(training)
    module.train(training)
    given = None
    if not training and layer.track_running_stats:
        given = [a[:, None].astype(float) for a in (layer.running_mean, layer.running_var)]
    view = (*case.shape[:2], -1)
    wide = [a[:, None] for a in affine(layer, case.shape[1])]
    sizes = magnitudes(x.reshape(view), dy.reshape(view), *wide, BATCH, layer.eps, dtype, given)
    compare(layer, module, x, dy, x.size // case.shape[1], sizes)
    check_statistics(layer, module, 1)


def check_statistics(layer, module, steps):
    """A step rounds four times; the rest of the error is that of mean and variance in float64."""
    theirs = module.state_dict()
    for key, values in layer.state_dict().items():
        if key == "num_batches_tracked":
            assert (values.dtype, values.shape) == (np.int64, ())
            assert values == theirs[key].numpy()
        elif key.startswith("running"):
            expected = theirs[key].numpy()
            allowed = 4 * steps * np.finfo(values.dtype).eps * np.maximum(np.abs(expected), 1)
            if values.dtype == np.float64:  # sums of up to 500 numbers of size 1000, squared
                allowed = allowed + 500 * DOUBLE * 1000
            assert (np.abs(values - expected) <= allowed).all(), key


@each([draw_batch_norm(number, axes) for number in range(60) for axes in (number % 2,)])
@in_both_dtypes
def test_batch_norm_1d(case, dtype):
    check_batch_norm("BatchNorm1d", case, dtype)


@each([draw_batch_norm(number, 2) for number in range(60)])
@in_both_dtypes
def test_batch_norm_2d(case, dtype):
    check_batch_norm("BatchNorm2d", case, dtype)


def test_the_cases_hold_the_traps():
    cases = [draw_batch_norm(number, axes) for number in range(60) for axes in (number % 2, 2)]
    layers = [case.arguments for case in cases]
    for trap in (
        [case for case in cases if case.shape[0] == 1],
        [case for case in cases if case.shape[1] == 1],
        [case for case in cases if case.number % 4 == 0 and not case.arguments["affine"]],
        [a for a in layers if a["momentum"] is None and a["track_running_stats"]],
        [a for a in layers if not a["track_running_stats"]],
        [a for a in layers if not a.get("bias", True)],
    ):
        assert len(trap) >= 3, trap


@both_dtypes
@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0, None])
def test_running_statistics_follow_pytorch_over_twenty_steps(momentum, dtype):
    rng = np.random.default_rng(3)
    layer, module = twins("BatchNorm2d", {"num_features": 4, "momentum": momentum}, dtype, rng)
    module.to(getattr(torch, dtype))
    before = layer.state_dict()
    for step in range(20):
        x = rng.normal(step, 1 + step / 10, (3, 4, 5, 2)).astype(dtype)
        layer(x)
        module(torch.from_numpy(x))
    assert layer.num_batches_tracked == before["num_batches_tracked"] + 20
    assert (np.abs(layer.running_mean - before["running_mean"]) > 0.5).all()
    theirs = module.state_dict()
    # both round in each step, of numbers up to 20
    allowed = 20 * 8 * np.finfo(dtype).eps * 20
    for key in ("running_mean", "running_var"):
        np.testing.assert_allclose(layer.state_dict()[key], theirs[key], rtol=0, atol=allowed)
    module.eval()
    layer.eval()
    x = rng.standard_normal((2, 4, 3, 3)).astype(dtype)
    with torch.no_grad():
        want = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(layer(x), want, rtol=0, atol=20 * allowed)


def test_a_mean_in_float32_would_lose_what_numcnn_keeps():
    """10000 give or take 0.01: PyTorch's float32 is off by percents, numcnn by millionths."""
    rng = np.random.default_rng(4)
    x = (1e4 + 1e-2 * rng.standard_normal((64, 2, 5, 5))).astype(np.float32)
    exact = torch.nn.BatchNorm2d(2).double()(torch.from_numpy(x.astype(np.float64)))
    theirs = torch.nn.BatchNorm2d(2)(torch.from_numpy(x))
    off = np.abs(numcnn.BatchNorm2d(2)(x) - exact.detach().numpy()).max()
    assert off < 1e-5
    assert (theirs - exact).abs().max() > 100 * off


@both_dtypes
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_no_examples_at_all(training, tracked, dtype):
    rng = np.random.default_rng(5)
    arguments = {"num_features": 3, "track_running_stats": tracked}
    layer, module = twins("BatchNorm2d", arguments, dtype, rng)
    layer.train(training)
    module.train(training)
    x = np.empty((0, 3, 4, 5), dtype)
    got, want = run_numcnn(layer, x, x), run_torch(module, x.astype(float), x.astype(float))
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values)
    for key, values in module.state_dict().items():
        np.testing.assert_array_equal(layer.state_dict()[key], values.numpy().astype(dtype))


# ------------------------------------------------------------------------- layer and group norm


def draw_layer_norm(number):
    rng = np.random.default_rng([6, number])
    inner = [int(rng.integers(1, 7)) for _ in range(int(rng.integers(1, 4)))]
    outer = [int(rng.integers(1, 6)) for _ in range(int(rng.integers(0, 3)))]
    arguments = {
        "normalized_shape": inner[0] if len(inner) == 1 and flag(rng) else tuple(inner),
        "eps": float(rng.choice([1e-5, 1e-3, 0.1])),
        "elementwise_affine": flag(rng),
        "bias": flag(rng),
    }
    return Case(number, (*outer, *inner), arguments)


@each([draw_layer_norm(number) for number in range(60)])
@in_both_dtypes
def test_layer_norm(case, dtype):
    rng = np.random.default_rng([7, case.number])
    layer, module = twins("LayerNorm", case.arguments, dtype, rng)
    x, dy = pieces(rng, case, dtype)
    width = int(np.prod(layer.normalized_shape))
    weight, bias = (a.reshape(-1) for a in affine(layer, layer.normalized_shape))
    views = x.reshape(-1, width), dy.reshape(-1, width)
    sizes = magnitudes(*views, weight, bias, ROWS, layer.eps, dtype)
    compare(layer, module, x, dy, max(views[0].shape), sizes)


def draw_group_norm(number):
    rng = np.random.default_rng([8, number])
    groups, per = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    sides = [int(rng.integers(1, 6)) for _ in range(int(rng.integers(0, 4)))]
    examples = int(rng.integers(2, 5)) if per * np.prod(sides) == 1 else int(rng.integers(1, 5))
    arguments = {
        "num_groups": groups,
        "num_channels": groups * per,
        "eps": float(rng.choice([1e-5, 1e-3, 0.1])),
        "affine": flag(rng),
    }
    if arguments["affine"] and rng.random() < 0.2:
        arguments["bias"] = False
    return Case(number, (examples, groups * per, *sides), arguments)


@each([draw_group_norm(number) for number in range(60)])
@in_both_dtypes
def test_group_norm(case, dtype):
    rng = np.random.default_rng([9, case.number])
    layer, module = twins("GroupNorm", case.arguments, dtype, rng)
    x, dy = pieces(rng, case, dtype)
    groups = layer.num_groups
    inner = (groups, case.shape[1] // groups, 1)
    wide = [a.reshape(inner) for a in affine(layer, case.shape[1])]
    view = (case.shape[0], *inner[:2], -1)
    sizes = magnitudes(x.reshape(view), dy.reshape(view), *wide, GROUPS, layer.eps, dtype)
    compare(layer, module, x, dy, x.size // groups, sizes)


# ------------------------------------------------------------------------ local response norm


def draw_local_response_norm(number):
    rng = np.random.default_rng([10, number])
    shape = [int(rng.integers(1, 7)) for _ in range(int(rng.integers(3, 6)))]
    arguments = {
        "size": int(rng.integers(1, 10)),
        "alpha": float(rng.choice([1e-4, 0.3, 2.0])),
        "beta": float(rng.choice([0.5, 0.75, 1.7])),
        "k": float(rng.choice([0.5, 1.0, 2.0])),
    }
    return Case(number, tuple(shape), arguments)


@each([draw_local_response_norm(number) for number in range(60)])
@in_both_dtypes
def test_local_response_norm(case, dtype):
    """dx has two parts of this size, dy base**-beta and 2 alpha beta x / size times a sum."""
    rng = np.random.default_rng([11, case.number])
    layer = numcnn.LocalResponseNorm(**case.arguments).to(dtype=dtype)
    module = torch.nn.LocalResponseNorm(**case.arguments)
    x, dy = numbers(rng, case.shape, dtype), numbers(rng, case.shape, dtype)
    want = run_torch(module, x.astype(np.float64), dy.astype(np.float64))
    want = {name: value.astype(dtype) for name, value in want.items()}
    size, beta = layer.size, layer.beta
    scale = (np.abs(x).max() ** 2 * layer.alpha * 2 * beta / layer.k + 1) * layer.k**-beta
    sums = {"y": np.abs(want["y"]), "dx": scale * np.abs(dy).max()}
    near(run_numcnn(layer, x, dy), want, dict.fromkeys(want, (size + 4) * (beta + 1)), sums)


# ----------------------------------------------------------------------------- what is refused

BAD = [
    ("BatchNorm1d", {"num_features": 3}, (1, 3)),
    ("BatchNorm1d", {"num_features": 3}, (1, 3, 1)),
    ("BatchNorm1d", {"num_features": 3}, (4,)),
    ("BatchNorm1d", {"num_features": 3}, (4, 3, 2, 2)),
    ("BatchNorm1d", {"num_features": 3}, (4, 2)),
    ("BatchNorm1d", {"num_features": 3, "track_running_stats": False}, (1, 3)),
    ("BatchNorm2d", {"num_features": 3}, (1, 3, 1, 1)),
    ("BatchNorm2d", {"num_features": 3}, (2, 4, 5, 6)),
    ("BatchNorm2d", {"num_features": 3}, (3, 5, 6)),
    ("LayerNorm", {"normalized_shape": 3}, (2, 4)),
    ("LayerNorm", {"normalized_shape": (3, 4)}, (4,)),
    ("LayerNorm", {"normalized_shape": (3, 4)}, (2, 4, 3)),
    ("LayerNorm", {"normalized_shape": ()}, (2, 4)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 3}, (1, 3, 2)),
    ("GroupNorm", {"num_groups": 3, "num_channels": 3}, (1, 3)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (2, 2, 5)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (4,)),
    ("LocalResponseNorm", {"size": 3}, (2, 3)),
    ("LocalResponseNorm", {"size": 0}, (2, 3, 4)),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shape"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, arguments, shape):
    assert torch_shape(name, arguments, shape) is None, "PyTorch takes this"
    with pytest.raises(ValueError):
        getattr(numcnn, name)(**arguments)(np.zeros(shape, np.float32))
