"""Weight normalisation against PyTorch's: outputs, gradients, names; bounds: checks_oracle.py."""

import inspect
import warnings

import numpy as np
import pytest
from checks_oracle import (
    Case,
    each,
    in_both_dtypes,
    magnitudes,
    near,
    numbers,
    output_of,
    run_numcnn,
    run_torch,
    torch,
)

import numcnn

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def draw_weight_norm(number):
    rng = np.random.default_rng([12, number])
    if number % 2:
        arguments = {
            "in_channels": 4,
            "out_channels": 6,
            "kernel_size": (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            "groups": int(rng.choice([1, 2])),
            "bias": bool(rng.random() < 0.7),
        }
        shape = (int(rng.integers(1, 4)), 4, 5, 6)
    else:
        arguments = {
            "in_features": int(rng.integers(1, 9)),
            "out_features": int(rng.integers(1, 9)),
            "bias": bool(rng.random() < 0.7),
        }
        shape = (int(rng.integers(1, 5)), arguments["in_features"])
    axes = 4 if number % 2 else 2
    dim = None if rng.random() < 0.2 else int(rng.integers(0, axes))
    return Case(number, shape, {"layer": arguments, "dim": dim})


def sizes_of(plain, state, dim, x, dy):
    """Return M of two backward passes: that of the layer with the weight w, taken on to g and v."""
    sizes = magnitudes(plain, x, dy)
    wide = {key: np.abs(value).astype(np.float64) for key, value in state.items()}
    v, g = wide["weight_v"], wide["weight_g"]
    axes = tuple(axis for axis in range(v.ndim) if axis != dim)
    norm = np.sqrt((v**2).sum(axes, keepdims=True))
    dw = 2 * sizes.pop("dweight")
    along = (dw * v).sum(axes, keepdims=True)
    found = {"y": sizes["y"], "dx": sizes["dx"]}
    if "dbias" in sizes:
        found["dbias"] = 2 * sizes["dbias"]
    found["dweight_g"] = (along / norm).reshape(g.shape)
    return found | {"dweight_v": g / norm * (dw + v * along / norm**2)}


@each([draw_weight_norm(number) for number in range(60)])
@in_both_dtypes
def test_weight_norm(case, dtype):
    """Two backward passes add up; w itself has 2 roundings, dg and dv have 4 after dw's sum."""
    rng = np.random.default_rng([13, case.number])
    name = "Conv2d" if case.number % 2 else "Linear"
    arguments, dim = case.arguments["layer"], case.arguments["dim"]
    layer = numcnn.weight_norm(getattr(numcnn, name)(**arguments, dtype=dtype), dim=dim)
    plain = getattr(torch.nn, name)(**arguments).double()
    module = torch.nn.utils.weight_norm(getattr(torch.nn, name)(**arguments), dim=dim).double()
    assert list(layer.state_dict()) == list(module.state_dict())
    state = {key: rng.standard_normal(v.shape) for key, v in layer.state_dict().items()}
    state = {key: np.asarray(value, dtype) for key, value in state.items()}
    layer.load_state_dict(state)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x.astype(np.float64)), dtype)
    got = run_numcnn(layer, x, dy)
    layer.backward(dy)
    got |= {f"d{key}": parameter.grad for key, parameter in layer.named_parameters()}
    want = run_torch(module, x.astype(np.float64), dy.astype(np.float64))
    with torch.no_grad():
        plain.weight.copy_(module.weight)
        if plain.bias is not None:
            plain.bias.copy_(module.bias)
    sizes = sizes_of(plain, state, dim, x, dy)
    doubled = {key: value * (1 + (key not in ("y", "dx"))) for key, value in want.items()}
    taps = layer.weight.size // layer.weight.shape[1]
    longest = max(layer.weight.size // layer.weight.shape[0], taps, 2 * dy.size // dy.shape[1])
    terms = dict.fromkeys(want, longest + (layer.weight.size + 6) * (dtype == "float64"))
    near(got, {key: np.asarray(value, dtype) for key, value in doubled.items()}, terms, sizes)


def test_weights_removed_again_have_pytorchs_values_and_names():
    layer = numcnn.weight_norm(numcnn.Conv2d(2, 3, (2, 3), dtype="float64"), dim=1)
    module = torch.nn.utils.weight_norm(torch.nn.Conv2d(2, 3, (2, 3)).double(), dim=1)
    state = {k: np.random.default_rng(14).random(v.shape) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    numcnn.remove_weight_norm(layer)
    torch.nn.utils.remove_weight_norm(module)
    # PyTorch leaves the weight behind the bias; here it goes back to its place, so that a seed
    # gives the layer the same numbers as if it never had been normalised
    assert set(layer.state_dict()) == set(module.state_dict())
    assert list(layer.state_dict()) == ["weight", "bias"]
    for key, values in module.state_dict().items():
        np.testing.assert_allclose(layer.state_dict()[key], values.numpy(), rtol=1e-14)


def test_weight_norm_has_pytorchs_arguments():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = inspect.signature(torch.nn.utils.weight_norm).parameters
    ours = inspect.signature(numcnn.weight_norm).parameters
    assert list(ours)[1:] == list(theirs)[1:] == ["name", "dim"]
    assert [p.default for p in ours.values()][1:] == [p.default for p in theirs.values()][1:]
