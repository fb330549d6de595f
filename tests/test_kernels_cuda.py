"""The CUDA kernels against the reference, on a GPU or in Numba's simulator.

``NUMBA_ENABLE_CUDASIM=1 pytest tests/test_kernels_cuda.py`` runs them without a GPU: every
thread of a launch becomes a Python thread, so shapes are tiny. The simulator checks the logic
(who owns what, which terms belong to it, the borders); it can't check types or speed. Bounds:
checks_cuda.py.
"""

import types

import numpy as np
import pytest
from checks_cuda import InOut, Out, both_dtypes, check, integers, kernels, random, run_reference

from numcnn.kernels.cuda import _cuda

# the simulator computes with NumPy's numbers, which warn of inf - inf
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")


def out_size(size, kernel, stride, pads, dilation):
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


# ---------------------------------------------------------------------------------------- conv2d

CONVOLUTIONS = {
    # name: (N, Cin, H, W), (Cout, KH, KW), stride, (top, left, bottom, right), dilation, groups
    "plain": ((2, 3, 4, 5), (4, 3, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "padded": ((1, 3, 4, 5), (2, 3, 2), (1, 1), (1, 2, 1, 2), (1, 1), 1),
    "stride leaves a rest": ((1, 2, 8, 7), (3, 3, 2), (2, 3), (1, 0, 1, 0), (1, 1), 1),
    "stride over the filter": ((1, 2, 7, 8), (3, 1, 2), (3, 4), (0, 1, 0, 1), (1, 1), 1),
    "dilation": ((1, 2, 7, 8), (3, 3, 2), (1, 1), (1, 2, 1, 2), (2, 3), 1),
    "groups": ((1, 4, 5, 3), (6, 2, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2),
    "depthwise": ((1, 3, 5, 6), (6, 3, 2), (2, 1), (1, 0, 1, 0), (1, 1), 3),
    "four-sided padding": ((1, 2, 4, 5), (3, 3, 4), (1, 2), (2, 0, 1, 3), (1, 1), 1),
    "filter larger than picture": ((1, 2, 2, 3), (2, 5, 4), (1, 1), (2, 1, 2, 2), (1, 1), 1),
    "everything": ((2, 4, 7, 6), (2, 3, 2), (2, 3), (3, 1, 2, 2), (2, 3), 2),
    "no pictures": ((0, 2, 5, 4), (3, 3, 2), (1, 1), (1, 0, 1, 0), (1, 1), 1),
}


@both_dtypes
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d(case, dtype):
    (n, c, h, w), (co, kh, kw), stride, pads, dilation, groups = CONVOLUTIONS[case]
    oh = out_size(h, kh, stride[0], pads[0::2], dilation[0])
    ow = out_size(w, kw, stride[1], pads[1::2], dilation[1])
    x = random(dtype, n, c, h, w)
    weight = random(dtype, co, c // groups, kh, kw, seed=1)
    bias = random(dtype, co, seed=2)
    dy = random(dtype, n, co, oh, ow, seed=3)
    geometry = (*stride, *pads[:2], *dilation, groups)
    taps = c // groups * kh * kw

    def out(like):
        return Out(like.shape, dtype)

    check("conv2d_forward", x, weight, bias, *geometry, out(dy), terms=taps + 1, linear=True)
    check(
        "conv2d_backward_input",
        dy,
        weight,
        *geometry,
        out(x),
        terms=co // groups * kh * kw,
        linear=True,
    )
    check("conv2d_backward_weight", dy, x, *geometry, out(weight), terms=n * oh * ow, linear=True)
    check("conv2d_backward_bias", dy, out(bias), terms=n * oh * ow, linear=True)


# --------------------------------------------------------------------------------------- pooling

POOLINGS = {
    # name: (N, C, H, W), window, stride, (top, left), dilation, (OH, OW)
    "plain": ((2, 3, 6, 4), (3, 2), (3, 2), (0, 0), (1, 1), (2, 2)),
    "overlapping": ((1, 2, 6, 7), (3, 4), (1, 2), (1, 2), (1, 1), (6, 4)),
    "stride leaves a rest": ((1, 2, 8, 7), (3, 2), (2, 3), (1, 0), (1, 1), (4, 2)),
    "stride over the window": ((1, 2, 7, 8), (1, 2), (3, 5), (0, 1), (1, 1), (3, 2)),
    "last window hangs over": ((1, 2, 5, 6), (2, 3), (2, 3), (0, 1), (1, 1), (3, 3)),
    "ceil and padding": ((2, 1, 6, 7), (4, 3), (3, 2), (1, 1), (1, 1), (3, 4)),
    "one window": ((2, 1, 3, 5), (3, 5), (3, 5), (0, 0), (1, 1), (1, 1)),
    "no pictures": ((0, 2, 5, 4), (2, 3), (1, 1), (1, 0), (1, 1), (5, 2)),
}
DILATED = {
    "dilation": ((1, 2, 7, 9), (3, 2), (1, 2), (1, 0), (2, 3), (5, 3)),
    "dilation and stride": ((1, 2, 9, 8), (2, 3), (3, 2), (1, 1), (3, 2), (3, 3)),
}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(random, np.float32), (random, np.float64), (integers, np.float32)],
    ids=["f32", "f64", "ties"],
)
@pytest.mark.parametrize("case", POOLINGS | DILATED)
def test_max_pool2d(case, values, dtype):
    shape, window, stride, pad, dilation, out = (POOLINGS | DILATED)[case]
    x = values(dtype, *shape)
    geometry = (*window, *stride, *pad, *dilation)
    y = Out((*shape[:2], *out), dtype)
    argmax = Out(y.host.shape, np.int32)
    check("max_pool2d_forward", x, *geometry, y, argmax, exact=True)

    winners = run_reference("max_pool2d_forward", (x, *geometry, y, argmax))[len(geometry) + 2]
    dy = random(dtype, *winners.shape, seed=1)
    check("max_pool2d_backward_input", dy, winners, *geometry, Out(shape, dtype), exact=True)


@both_dtypes
def test_max_pool2d_nan_wins_and_the_first_of_two(dtype):
    x = random(dtype, 1, 2, 6, 5)
    x[0, 0, 2, 3] = x[0, 0, 3, 1] = np.nan
    x[0, 1, :2, :2] = -np.inf
    y = Out((1, 2, 4, 3), dtype)
    check("max_pool2d_forward", x, 3, 3, 1, 1, 0, 0, 1, 1, y, Out((1, 2, 4, 3), np.int32))


@both_dtypes
@pytest.mark.parametrize("divisor", ["padding counts", "padding does not", "override"])
@pytest.mark.parametrize("case", POOLINGS)
def test_avg_pool2d(case, divisor, dtype):
    shape, window, stride, pad, _, out = POOLINGS[case]
    counts = (int(divisor == "padding counts"), 5 if divisor == "override" else 0)
    x = random(dtype, *shape)
    dy = random(dtype, *shape[:2], *out, seed=1)
    geometry = (*window, *stride, *pad, *counts)
    check("avg_pool2d_forward", x, *geometry, Out(dy.shape, dtype), exact=True)
    check("avg_pool2d_backward_input", dy, *geometry, Out(shape, dtype), exact=True)


# ---------------------------------------------------------------------------------------- linear


@both_dtypes
@pytest.mark.parametrize("size", [(3, 5, 7), (1, 1, 1), (13, 9, 2), (0, 4, 3)])
def test_linear(size, dtype):
    n, ci, co = size
    x = random(dtype, n, ci)
    weight = random(dtype, co, ci, seed=1)
    bias = random(dtype, co, seed=2)
    dy = random(dtype, n, co, seed=3)
    check("linear_forward", x, weight, bias, Out((n, co), dtype), terms=ci + 1, linear=True)
    check("linear_backward_input", dy, weight, Out((n, ci), dtype), terms=co, linear=True)
    check("linear_backward_weight", dy, x, Out((co, ci), dtype), terms=n, linear=True)
    check("linear_backward_bias", dy, Out((co,), dtype), terms=n, linear=True)


# ---------------------------------------------------------------------------- element by element

ELEMENTWISE_SIZES = pytest.mark.parametrize("size", [67, 0])


def awkward(dtype, size, seed=0):
    """Return numbers of size 1, and where there is room what kernels tend to get wrong."""
    x = random(dtype, size, seed=seed) * 2
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1000.0, -1000.0, 1e-30, -1e-30]
    if size > len(special):
        x[: len(special)] = special
    return x


@both_dtypes
@ELEMENTWISE_SIZES
def test_relu(size, dtype):
    y = awkward(dtype, size, seed=1)
    check("relu_forward", awkward(dtype, size), Out(size, dtype), exact=True)
    check("relu_backward_input", random(dtype, size), y, Out(size, dtype), exact=True)


@both_dtypes
@ELEMENTWISE_SIZES
@pytest.mark.parametrize("op", ["sigmoid", "tanh"])
def test_sigmoid_and_tanh(op, size, dtype):
    y = np.tanh(random(dtype, size, seed=1))
    check(f"{op}_forward", awkward(dtype, size), Out(size, dtype))
    check(f"{op}_backward_input", random(dtype, size), y, Out(size, dtype))


@both_dtypes
@ELEMENTWISE_SIZES
@pytest.mark.parametrize(
    ("op", "numbers"),
    [
        ("leaky_relu", (0.2,)),
        ("elu", (0.7, 1.3)),
        ("gelu", (0,)),
        ("gelu", (1,)),
        ("silu", ()),
        ("softplus", (2.0, 5.0)),
        ("softsign", ()),
    ],
)
def test_activations_of_their_input(op, numbers, size, dtype):
    x = awkward(dtype, size)
    check(f"{op}_forward", x, *numbers, Out(size, dtype))
    check(f"{op}_backward_input", random(dtype, size, seed=1), x, *numbers, Out(size, dtype))


@both_dtypes
@ELEMENTWISE_SIZES
def test_add(size, dtype):
    a = random(dtype, size)
    b = random(dtype, size, seed=1)
    check("add_forward", a, b, Out(size, dtype), exact=True)


def test_add_may_write_into_its_own_argument():
    a = random(np.float32, 70)
    b = random(np.float32, 70, seed=1)
    on_device = _cuda.to_device(a)
    kernels.add_forward(on_device, _cuda.to_device(b), on_device)
    np.testing.assert_array_equal(_cuda.to_host(on_device), a + b)


@both_dtypes
@ELEMENTWISE_SIZES
def test_mse(size, dtype):
    pred = random(dtype, size)
    target = random(dtype, size, seed=1)
    dlosses = random(dtype, size, seed=2)
    check("mse_forward", pred, target, Out(size, dtype))
    check("mse_backward_input", pred, target, dlosses, Out(size, dtype))


@both_dtypes
@pytest.mark.parametrize("shape", [(7, 1), (5, 27), (0, 3)])
def test_dropout(shape, dtype):
    x = random(dtype, *shape)
    x[::2] *= np.nan  # a dropped NaN is 0, a kept one is NaN
    mask = np.where(np.arange(shape[0]) % 3 == 0, 0, 1 / 0.7).astype(dtype)
    check("dropout_forward", x, mask, Out(shape, dtype), exact=True)
    check("dropout_backward_input", x, mask, Out(shape, dtype), exact=True)


# ------------------------------------------------------------------------------- along the classes

COLUMNS = pytest.mark.parametrize("shape", [(4, 5, 1), (3, 4, 7), (2, 1, 3), (0, 3, 2)])


def scores(dtype, shape):
    """Return scores; where there is room also huge ones, equal ones, infinities and a NaN."""
    x = random(dtype, *shape) * 3
    if shape == (3, 4, 7):
        x[0, :, 0] += 1000
        x[0, :, 1] = -1000
        x[0, 2, 2] = np.nan
        x[1, 0, 3] = np.nan
        x[1, 1, 4] = np.inf
        x[1, 1, 5] = -np.inf
        x[2, :, 6] = -np.inf
    return x


def classes(shape):
    n, c, p = shape
    return np.random.default_rng(5).integers(0, c, (n, p))


@both_dtypes
@COLUMNS
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_softmax_and_log_softmax(op, shape, dtype):
    c = shape[1]
    out = Out(shape, dtype)
    check(f"{op}_forward", scores(dtype, shape), out, terms=c)
    x = random(dtype, *shape)
    y = run_reference(f"{op}_forward", (x, out))[1]
    dy = random(dtype, *shape, seed=1)
    check(f"{op}_backward_input", dy, y, out, terms=c)


@both_dtypes
@COLUMNS
def test_nll(shape, dtype):
    n, c, p = shape
    target = classes(shape)
    plain = (np.ones(c, dtype), -100)
    dlosses = random(dtype, n, p, seed=1)
    check("nll_forward", random(dtype, *shape), target, *plain, Out((n, p), dtype), exact=True)
    check("nll_backward_input", target, *plain, dlosses, Out(shape, dtype), exact=True)


@both_dtypes
@COLUMNS
def test_softmax_cross_entropy(shape, dtype):
    n, c, p = shape
    target = classes(shape)
    losses = Out((n, p), dtype)
    out = Out(shape, dtype)
    name = "softmax_cross_entropy"
    plain = (np.ones(c, dtype), -100, 0.0)
    check(f"{name}_forward", scores(dtype, shape), target, *plain, losses, out, terms=c)
    logits = random(dtype, *shape)
    probabilities = run_reference(f"{name}_forward", (logits, target, *plain, losses, out))[6]
    dlosses = random(dtype, n, p, seed=1)
    check(f"{name}_backward_input", probabilities, target, *plain, dlosses, out)


# ------------------------------------------------------------------------------------ optimizers


@both_dtypes
@pytest.mark.parametrize("first_step", [0, 1])
@pytest.mark.parametrize(
    ("momentum", "dampening", "weight_decay", "nesterov"),
    [(0, 0, 0, 0), (0, 0, 0.1, 0), (0.9, 0, 0.01, 0), (0.8, 0.3, 0, 0), (0.9, 0, 0.1, 1)],
)
def test_sgd(momentum, dampening, weight_decay, nesterov, first_step, dtype):
    grad = random(dtype, 40)
    param = InOut(random(dtype, 40, seed=1))
    velocity = InOut(random(dtype, 40, seed=2))
    if first_step or momentum == 0:
        velocity.host[:] = np.nan  # must not be read
    rates = (0.05, momentum, dampening, weight_decay, nesterov, first_step)
    check("sgd_update", grad, *rates, param, velocity)


@both_dtypes
@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("amsgrad", [0, 1])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0, 0), (0.1, 0), (0.1, 1)])
def test_adam(weight_decay, decoupled, amsgrad, step, dtype):
    grad = random(dtype, 40)
    grad[:3] = 0
    param = InOut(random(dtype, 40, seed=1))
    mean = InOut(random(dtype, 40, seed=2) * (step > 1))
    square = InOut(random(dtype, 40, seed=3) ** 2 * (step > 1))
    largest = InOut(random(dtype, 40, seed=4) ** 2)
    numbers = (1e-2, 0.9, 0.999, 1e-8, weight_decay, decoupled, amsgrad, step)
    check("adam_update", grad, *numbers, param, mean, square, largest)


@both_dtypes
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("centered", [0, 1])
def test_rmsprop(centered, momentum, weight_decay, dtype):
    grad = random(dtype, 40)
    param, velocity = (InOut(random(dtype, 40, seed=seed)) for seed in (1, 2))
    square = random(dtype, 40, seed=3) ** 2 + 1
    mean = InOut(0.5 * random(dtype, 40, seed=4).clip(-1, 1))
    numbers = (1e-2, 0.9, 1e-8, weight_decay, momentum, centered)
    check("rmsprop_update", grad, *numbers, param, InOut(square), mean, velocity)


@both_dtypes
@pytest.mark.parametrize(("lr_decay", "weight_decay", "step"), [(0, 0, 1), (0.1, 0.1, 7)])
def test_adagrad(lr_decay, weight_decay, step, dtype):
    grad = random(dtype, 40)
    grad[:3] = 0
    param, total = InOut(random(dtype, 40, seed=1)), InOut(random(dtype, 40, seed=2) ** 2)
    check("adagrad_update", grad, 1e-2, lr_decay, weight_decay, 1e-10, step, param, total)


@both_dtypes
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adadelta(weight_decay, dtype):
    grad = random(dtype, 40)
    grad[:3] = 0
    param = InOut(random(dtype, 40, seed=1))
    square, moved = (InOut(random(dtype, 40, seed=seed) ** 2) for seed in (2, 3))
    check("adadelta_update", grad, 1.0, 0.9, 1e-6, weight_decay, param, square, moved)


# ------------------------------------------------------------------------------------- the floor


def test_array_of_the_host_is_refused():
    y = _cuda.empty(3, np.float32)
    with pytest.raises(TypeError, match=r"argument 0 of _forward .*relu.* shape \(3,\)"):
        kernels.relu_forward(np.zeros(3, np.float32), y)


def test_arrays_travel_there_and_back():
    host = random(np.float32, 3, 4).T
    on_device = _cuda.to_device(host)
    assert _cuda.is_device_array(on_device)
    assert not _cuda.is_device_array(host)
    assert on_device.shape == (4, 3)
    assert on_device.strides == (12, 4)
    np.testing.assert_array_equal(_cuda.to_host(on_device), host)
    fresh = _cuda.empty((2, 5), np.int32)
    assert fresh.shape == (2, 5)
    assert fresh.dtype == np.int32


def test_no_warning_about_small_launches(recwarn):
    kernels.relu_forward(_cuda.to_device(np.ones(3)), _cuda.empty(3, float))
    assert [w for w in recwarn if "occupancy" in str(w.message)] == []


@pytest.mark.parametrize(
    ("available", "error", "part"),
    [
        (True, None, None),
        (False, None, "numcnn[cuda13]"),
        (False, "CUDA driver library cannot be found.\n", "No NVIDIA driver"),
        (False, "Call to cuInit results in CUDA_ERROR_NO_DEVICE (100)", "finds no GPU"),
        (False, "CUDA is disabled due to\n NUMBA_DISABLE_CUDA=1.", "due to NUMBA_DISABLE_CUDA=1."),
    ],
)
def test_availability_names_cause_and_remedy(available, error, part, monkeypatch):
    fake = types.SimpleNamespace(
        is_available=lambda: available, cuda_error=lambda: error, gpus=["one"]
    )
    monkeypatch.setattr(_cuda, "SIMULATED", False)
    monkeypatch.setattr(_cuda, "cuda", fake)
    if part is None:
        assert _cuda.availability() is None
    else:
        assert part in _cuda.availability()
        assert "\n" not in _cuda.availability()


def test_availability_without_any_cuda_package(monkeypatch):
    monkeypatch.setattr(_cuda, "SIMULATED", False)
    monkeypatch.setattr(_cuda, "cuda", None)
    assert "pip install 'numcnn[cuda13]'" in _cuda.availability()
