"""PReLU, steps, maxout, limits, sums of powers and the perceptron: CUDA against the reference.

``NUMBA_ENABLE_CUDASIM=1`` runs them without a GPU. Bounds: checks_cuda.py.
"""

import math

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, integers, random, run_cuda, run_reference

import numcnn
from numcnn import L1, L2, SGD, PerceptronLoss, Sequential

# the simulator computes with NumPy's numbers, which warn of inf - inf
pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),
]
SIZES = pytest.mark.parametrize("size", [67, 0])


def awkward(dtype, size, seed=0):
    """Return numbers of size 1, and where there is room what kernels tend to get wrong."""
    x = random(dtype, size, seed=seed) * 2
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1000.0, -1000.0, 0.5, -0.5]
    if size > len(special):
        x[: len(special)] = special
    return x


@both_dtypes
@pytest.mark.parametrize("shape", [(2, 3, 5), (7, 1, 4), (3, 2, 1), (0, 2, 3)], ids=str)
def test_prelu(shape, dtype):
    x, dy = integers(dtype, *shape), random(dtype, *shape, seed=1)
    weight = random(dtype, shape[1], seed=2)
    check("prelu_forward", x, weight, Out(shape, dtype), exact=True)
    check("prelu_backward_input", dy, x, weight, Out(shape, dtype), exact=True)
    # where all is on the left: M is the sum over the absolute values, and those pass nothing on
    x = -np.abs(random(dtype, *shape))
    terms = shape[0] * shape[2]
    want = run_reference("prelu_backward_weight", (dy, x, Out(shape[1], dtype)))[2]
    got = run_cuda("prelu_backward_weight", (dy, x, Out(shape[1], dtype)))[2]
    size = np.abs(run_reference("prelu_backward_weight", (abs(dy), x, Out(shape[1], dtype)))[2])
    assert (np.abs(got - want) <= (terms + 1) * np.finfo(dtype).eps * size).all()
    # small whole numbers add up exactly, in any order
    check(
        "prelu_backward_weight",
        integers(dtype, *shape, seed=3),
        integers(dtype, *shape),
        Out(shape[1], dtype),
        exact=True,
    )


@both_dtypes
@SIZES
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_step(low, size, dtype):
    check("step_forward", awkward(dtype, size), low, Out(size, dtype), exact=True)
    check("step_backward_input", awkward(dtype, size), Out(size, dtype), exact=True)


@both_dtypes
@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 2, 1), (0, 2, 3)], ids=str)
def test_maxout(shape, dtype):
    x = integers(dtype, *shape)
    x.reshape(-1)[::7] = np.nan
    outputs = Out(shape[:2], dtype), Out(shape[:2], np.int32)
    check("maxout_forward", x, *outputs, exact=True)
    argmax = run_reference("maxout_forward", (x, *outputs))[2]
    dy = random(dtype, *shape[:2], seed=1)
    check("maxout_backward_input", dy, argmax, Out(shape, dtype), exact=True)


@both_dtypes
@SIZES
def test_hardtanh_and_scale(size, dtype):
    x, dy = awkward(dtype, size), random(dtype, size, seed=1)
    check("hardtanh_forward", x, -0.5, 0.7, Out(size, dtype), exact=True)
    check("hardtanh_backward_input", dy, x, -0.5, 0.7, Out(size, dtype), exact=True)
    check("scale_forward", x, 0.3, Out(size, dtype), exact=True)


@both_dtypes
@pytest.mark.parametrize("size", [0, 1, 67])
@pytest.mark.parametrize("power", [1, 2, 1.5, math.inf])
def test_power_sum(power, size, dtype):
    """The total is float64 for both types, so its bound is 1e-12 of it."""
    x = random(dtype, size)
    check("power_sum_forward", x, power, Out(1, np.float64), linear=True)
    if power != math.inf:
        check("power_sum_backward_input", x, power, 0.3, Out(size, dtype))


@pytest.mark.parametrize("power", [1, 2, 1.5, math.inf])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_power_sum_of_awkward_numbers(value, power):
    x = random(np.float32, 67)
    x[5] = value
    check("power_sum_forward", x, power, Out(1, np.float64), exact=True)


def test_more_numbers_than_partial_sums(monkeypatch):
    from numcnn.kernels.cuda import power_sum

    monkeypatch.setattr(power_sum, "MOST_SUMS", 8)
    x = random(np.float32, 67)
    for power in (2, math.inf):
        check("power_sum_forward", x, power, Out(1, np.float64), linear=True)


@both_dtypes
@SIZES
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_perceptron(low, size, dtype):
    pred, dlosses = awkward(dtype, size), random(dtype, size, seed=1)
    target = np.where(random(dtype, size, seed=2) > 0, 1, low).astype(dtype)
    check("perceptron_forward", pred, target, low, Out(size, dtype), exact=True)
    arguments = (pred, target, low, dlosses)
    check("perceptron_backward_input", *arguments, Out(size, dtype), exact=True)


# ------------------------------------------------------------- what is made of them, on the device


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: numcnn.PReLU(), (3, 4)),
        (lambda: numcnn.PReLU(4), (3, 4, 2)),
        (lambda: numcnn.Step(), (3, 4)),
        (lambda: numcnn.Maxout(4, 2, 3), (2, 3, 4)),
        (lambda: numcnn.Maxout(4, 2, 3, bias=False), (3, 4)),
        (lambda: numcnn.ReLU6(), (3, 4)),
        (lambda: numcnn.LogSigmoid(), (3, 4)),
        (lambda: numcnn.Dropout1d(0.5), (3, 4, 2)),
        (lambda: numcnn.Dropout3d(0.5), (3, 4, 2, 1, 2)),
        (lambda: numcnn.AlphaDropout(0.5), (3, 4)),
        (lambda: numcnn.GaussianDropout(0.5), (3, 4)),
        (lambda: numcnn.GaussianNoise(0.5), (3, 4)),
    ],
)
def test_layers_give_on_the_device_what_they_give_on_the_host(make, shape):
    """Sums of at most 12 products of size 10: 1e-12 is far above rounding, far below mistakes."""
    results = []
    for name in ("reference", "cuda"):
        layer = make().to(name, "float64")
        layer.reseed(3)
        device = layer.device
        y = layer(device.to_device(random(np.float64, *shape)))
        dx = layer.backward(device.to_device(random(np.float64, *y.shape, seed=1)))
        arrays = [y, dx, *(p.grad for p in layer.parameters())]
        results.append([device.to_host(array) for array in arrays])
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("penalty", [L1(0.1), L2(0.1, biases=True)], ids=repr)
def test_fit_with_a_penalty_and_clipped_gradients(penalty):
    x, y = random(np.float64, 6, 4), np.arange(6) % 3
    ends = []
    for device in ("reference", "cuda"):
        model = Sequential(numcnn.Linear(4, 3), device=device, dtype="float64", seed=1)
        optimizer = SGD(model.parameters(), 0.1)
        history = model.fit(
            x,
            y,
            batch_size=4,
            optimizer=optimizer,
            penalty=penalty,
            clip_norm=0.2,
            verbose=False,
        )
        ends.append([*model.state_dict().values(), history["penalty"], history["loss"]])
    for want, got in zip(*ends, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_clipping_to_a_value_and_the_perceptron():
    pred, target = random(np.float64, 3, 2), np.sign(random(np.float64, 3, 2, seed=1))
    results = []
    for name in ("reference", "cuda"):
        layer = numcnn.Linear(4, 2).to(name, "float64")
        layer.reseed(1)
        device = layer.device
        loss = PerceptronLoss("sum").to(name)
        value = loss(device.to_device(pred), device.to_device(target))
        layer(device.to_device(random(np.float64, 3, 4)))
        layer.backward(loss.backward())
        numcnn.clip_grad_value(layer.parameters(), 0.5)
        results.append([value, *(device.to_host(p.grad) for p in layer.parameters())])
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert np.abs(results[1][1]).max() == 0.5
