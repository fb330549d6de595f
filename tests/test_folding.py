"""Batch normalisation that goes into a convolution's weights where nobody asks for gradients.

The folded and the separate passes both stand within a rounding bound of the exact result.
"""

import numpy as np
import pytest
from checks_kernels import normal

from numcnn import BatchNorm2d, Conv2d, ReLU, Residual, Sequential, no_grad

CASES = {
    "relu": (lambda: [Conv2d(3, 5, 3, padding=1), BatchNorm2d(5), ReLU()], 3),
    "sum": (lambda: [Conv2d(4, 6, (3, 2), 2, bias=False, groups=2), BatchNorm2d(6)], 4),
    "no-affine": (lambda: [Conv2d(3, 4, 3, padding=1), BatchNorm2d(4, affine=False), ReLU()], 3),
    "reflected": (lambda: [Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), BatchNorm2d(4)], 3),
}
each_case = pytest.mark.parametrize("name", CASES)
both = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(name, dtype="float32"):
    """Return a network in evaluation, whose normalisation has seen something, and its input."""
    make, channels = CASES[name]
    model = Sequential(*make(), dtype=dtype, seed=4)
    norm = model[1]
    rng = np.random.default_rng(5)
    for _, values in norm.named_parameters():
        values.data[...] = rng.uniform(-2, 2, values.shape)
    norm.running_mean[...] = rng.uniform(-1, 1, norm.num_features)
    norm.running_var[...] = rng.uniform(0.2, 3, norm.num_features)
    return model.eval(), normal(6, 4, channels, 8, 9).astype(dtype)


def passes(model, monkeypatch):
    """Return a list that grows with each call of the layers' own passes."""
    seen = []
    kernels = model.device.kernels
    for name in ("batch_norm_eval_forward", "relu_forward"):
        kernel = getattr(kernels, name)

        def note(*args, name=name, kernel=kernel):
            seen.append(name)
            kernel(*args)

        monkeypatch.setattr(kernels, name, note)
    return seen


def bound(name, x, dtype):
    """Return the exact output, and how far it may be off: all terms' sizes by their number."""
    model, _ = network(name, "float64")
    conv, norm = model[0], model[1]
    exact = model(x)
    factor, shift = norm.as_affine()
    sizes, _ = network(name, "float64")
    for parameter in sizes[0].parameters():
        parameter.data[...] = np.abs(parameter.data)
    size = sizes[0](np.abs(x)) * np.abs(factor)[:, None, None]
    parts = np.abs(norm.running_mean * factor) + np.abs(shift) + np.abs(norm.running_mean * factor)
    terms = conv.weight.data[0].size + 10  # the sum, and fewer than 10 roundings beside it
    return exact, terms * np.finfo(dtype).eps * (size + parts[:, None, None])


@both
@each_case
def test_what_comes_out_is_the_same_to_rounding(name, dtype, monkeypatch):
    model, x = network(name, dtype)
    exact, allowed = bound(name, x.astype(np.float64), dtype)
    seen = passes(model, monkeypatch)
    separate = model(x)
    assert "batch_norm_eval_forward" in seen
    seen.clear()
    with no_grad():
        folded = model(x)
    # float64 has one algorithm, which runs the ReLU behind it inside conv_relu2d
    assert "batch_norm_eval_forward" not in seen
    assert folded.dtype == separate.dtype == dtype
    for y in (separate, folded):
        np.testing.assert_array_less(np.abs(y - exact), allowed + 1e-300)


@each_case
def test_predicting_folds_and_forgets_what_was_kept(name, monkeypatch):
    model, x = network(name)
    model(x)  # keeps what a backward pass needs
    seen = passes(model, monkeypatch)
    y = model.predict(x)
    assert seen == []
    for layer in model:
        with pytest.raises(RuntimeError, match="keep nothing"):
            layer.backward(y)


def test_a_branch_folds_too(monkeypatch):
    branch = Sequential(Conv2d(3, 3, 3, padding=1), BatchNorm2d(3))
    model = Sequential(Residual(branch), seed=1).eval()
    seen = passes(model, monkeypatch)
    model.predict(normal(1, 2, 3, 5, 5).astype(np.float32))
    assert seen == []


def test_the_statistics_of_today_count(monkeypatch):
    model, x = network("relu")
    model.predict(x)
    model[1].running_mean[...] += 1
    exact, _ = bound("relu", x.astype(np.float64), np.float32)
    assert np.abs(model.predict(x) - exact).max() > 0.1


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model[1].train(),
        lambda model: setattr(model[1], "forward", model[1].forward),
        lambda model: setattr(model[0], "algorithm", "loops"),
    ],
    ids=["training", "patched", "algorithm"],
)
def test_what_must_be_seen_stays_apart(change):
    model, x = network("relu")
    change(model)
    calls = []
    norm = model[1]._normalise
    object.__setattr__(model[1], "_normalise", lambda *args: calls.append(1) or norm(*args))
    with no_grad():
        model(x)
    assert calls == [1]


def test_without_running_statistics_nothing_folds():
    layers = [Conv2d(3, 5, 3), BatchNorm2d(5, track_running_stats=False)]
    model = Sequential(*layers, seed=2).eval()
    x = normal(6, 4, 3, 8, 9).astype(np.float32)
    plain = model(x)
    with no_grad():
        assert model(x).tobytes() == plain.tobytes()
