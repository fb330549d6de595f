"""Gradients clipped on the GPU without the host's knowing their norm."""

import math

import numpy as np
import pytest
from checks_cuda import random

from numcnn import L2, SGD, CrossEntropyLoss, Linear, Sequential, clip_grad_norm
from numcnn.clipping import clip_in_step
from numcnn.device import get_device
from numcnn.kernels.cuda import _cuda, _memory
from numcnn.layers import Parameter

DEVICE = get_device("cuda")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let the simulator's threads be few."""
    if _cuda.SIMULATED:
        monkeypatch.setattr(_cuda, "THREADS_PER_BLOCK", 4)


def parameters(grads, device):
    """Return parameters with these gradients."""
    found = []
    for grad in grads:
        draw = np.random.default_rng(0).standard_normal
        p = Parameter(grad.shape, lambda rng, shape, draw=draw: draw(shape), device, grad.dtype)
        p.grad = device.to_device(grad.copy())
        found.append(p)
    return found


GRADS = (
    random(np.float32, 5, 3),
    np.zeros((0, 2), np.float32),
    random(np.float64, 7),
    random(np.float32, 4, seed=1),
)
SPECIAL = {"zero": 0.0, "nan": math.nan, "infinity": math.inf, "beyond squares": 1e200}


def assert_like_the_definition(grads, max_norm):
    on_gpu = parameters(grads, DEVICE)
    given = [p.grad for p in on_gpu]
    clip_in_step(on_gpu, max_norm)
    on_host = parameters(grads, get_device("reference"))
    clip_grad_norm(on_host, max_norm)
    for p, q, before, grad in zip(on_gpu, on_host, given, grads, strict=True):
        assert p.grad.dtype == grad.dtype
        bound = 4 * np.finfo(grad.dtype).eps  # of the factor, rounded, and the product
        np.testing.assert_allclose(DEVICE.to_host(p.grad), q.grad, rtol=bound)
        np.testing.assert_array_equal(DEVICE.to_host(before), grad, "somebody may hold the old one")
    return [DEVICE.to_host(p.grad) for p in on_gpu]


def test_a_norm_above_the_limit():
    found = assert_like_the_definition(GRADS, 0.5)
    assert math.sqrt(sum((g.astype(float) ** 2).sum() for g in found)) == pytest.approx(0.5, 1e-5)


def test_a_norm_below_the_limit_changes_no_bit():
    for got, grad in zip(assert_like_the_definition(GRADS, 50.0), GRADS, strict=True):
        np.testing.assert_array_equal(got, grad)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers beyond 1e308, and of inf * 0
@pytest.mark.parametrize("name", SPECIAL)
def test_numbers_that_are_special(name):
    grads = [np.ones((2, 2), np.float32), np.array([1.0, SPECIAL[name], -2.0])]
    found = assert_like_the_definition(grads, 1.0)
    assert np.isnan(found[0]).all() == (name == "nan")
    assert (found[0] == 0).all() == (name in ("infinity", "beyond squares"))


def test_without_gradients_nothing_happens():
    (p,) = parameters([np.ones(3, np.float32)], DEVICE)
    p.grad = None
    clip_in_step([p], 1.0)
    assert p.grad is None


def test_parameters_of_two_devices_are_clipped_by_the_host():
    ones = np.ones(8, np.float32)
    mixed = [*parameters([ones], DEVICE), *parameters([ones], get_device("reference"))]
    clip_in_step(mixed, 1.0)
    np.testing.assert_allclose(DEVICE.to_host(mixed[0].grad), 0.25, rtol=1e-5)
    np.testing.assert_allclose(mixed[1].grad, 0.25, rtol=1e-5)


@pytest.mark.parametrize("graphs", [False, True])
def test_training_is_the_references_and_waits_for_nothing_in_its_midst(graphs, monkeypatch):
    monkeypatch.setattr(DEVICE, "graphs", graphs)
    order = []
    for kind, name in ((_memory.Reading, "wait"), (SGD, "step")):
        method = getattr(kind, name)

        def noted(self, method=method, name=name):
            order.append(name)
            return method(self)

        monkeypatch.setattr(kind, name, noted)
    x, y, histories, states = random(np.float32, 6, 4), np.arange(6) % 3, {}, {}
    for device in ("reference", "cuda"):
        order.clear()
        model = Sequential(Linear(4, 3), device=device, seed=0)
        histories[device] = model.fit(
            x,
            y,
            epochs=3,
            batch_size=6,
            loss=CrossEntropyLoss(),
            optimizer=lambda p: SGD(p, 0.3),
            penalty=L2(0.1),
            clip_norm=0.2,
            verbose=False,
        )
        states[device] = model.state_dict()
    # the third is repeated, and no step of the optimizer in Python
    steps = ["step", "wait", "wait"]
    assert order == (steps * 2 + steps[1:] if graphs else steps * 3)
    want, got = histories["reference"], histories["cuda"]
    np.testing.assert_allclose(got.batch_losses, want.batch_losses, rtol=1e-6)
    np.testing.assert_allclose(got["penalty"], want["penalty"], rtol=1e-6)
    for key, expected in states["reference"].items():
        np.testing.assert_allclose(states["cuda"][key], expected, rtol=1e-5, err_msg=key)
