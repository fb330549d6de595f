"""CUDA operations with the ReLU behind them against the reference; bounds: checks_cuda.py.

The kernels are those of the single operations, tested in other files: here it is shown that they
are put together right, and that a NaN passes where the reference lets it pass.
"""

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, random
from test_kernels_cuda import CONVOLUTIONS, out_size

from numcnn import BatchNorm2d, Conv2d, ReLU, Sequential
from numcnn.kernels.cuda import _cuda

# the simulator computes with NumPy's numbers, which warn of inf - inf
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

EPS = 1e-5
CASES = ("padded", "stride leaves a rest", "depthwise", "everything", "no pictures")


@both_dtypes
@pytest.mark.parametrize("case", CASES)
def test_convolution_and_relu(case, dtype):
    (n, c, h, w), (co, kh, kw), stride, pads, dilation, groups = CONVOLUTIONS[case]
    oh = out_size(h, kh, stride[0], pads[0::2], dilation[0])
    ow = out_size(w, kw, stride[1], pads[1::2], dilation[1])
    x, dy = random(dtype, n, c, h, w), random(dtype, n, co, oh, ow, seed=3)
    weight, bias = random(dtype, co, c // groups, kh, kw, seed=1), random(dtype, co, seed=2)
    y = np.maximum(random(dtype, *dy.shape, seed=4), 0)
    if n:
        y[tuple(np.argwhere(y == 0)[0])] = np.nan
        dy[tuple(np.argwhere(y == 0)[0])] = np.nan
    geometry = (*stride, *pads[:2], *dilation, groups)
    taps, places = kh * kw, n * oh * ow

    def compare(operation, *arguments, like, terms):
        out = Out(like.shape, dtype)
        check(f"conv_relu2d_{operation}", *arguments, out, terms=terms, linear=True)

    compare("forward", x, weight, bias, *geometry, like=dy, terms=c // groups * taps + 1)
    terms = co // groups * taps
    compare("backward_input", dy, y, weight, *geometry, like=x, terms=terms)
    compare("backward_weight", dy, y, x, *geometry, like=weight, terms=places)
    compare("backward_bias", dy, y, like=bias, terms=places)


@both_dtypes
@pytest.mark.parametrize("shape", [(3, 2, 5), (5, 4, 1), (1, 2, 7)], ids=str)
def test_batch_norm_and_relu(shape, dtype):
    x, dy = random(dtype, *shape), random(dtype, *shape, seed=1)
    weight, bias = (random(dtype, shape[1], seed=seed) for seed in (2, 3))
    sums = Out((shape[1],), np.float64)
    check("batch_norm_relu_forward", x, weight, bias, EPS, sums, sums, Out(shape, dtype))
    y = np.maximum(random(dtype, *shape, seed=6), 0)
    y[tuple(np.argwhere(y == 0)[0])] = np.nan
    dy[tuple(np.argwhere(y == 0)[0])] = np.nan
    mean = random(np.float64, shape[1], seed=4)
    var = np.abs(random(np.float64, shape[1], seed=5)) + 0.5
    outputs = Out((shape[1],), dtype), Out((shape[1],), dtype), Out(shape, dtype)
    # dx takes the two sums as they were rounded to float32
    name = "batch_norm_relu_backward_input"
    check(name, dy, y, x, weight, mean, var, EPS, *outputs, terms=8)


def test_a_network_on_the_gpu_runs_layer_by_layer_and_does_what_the_reference_does():
    def make():
        layers = Conv2d(2, 3, 2), ReLU(), Conv2d(3, 2, 2, stride=2), BatchNorm2d(2), ReLU()
        return Sequential(*layers, device="reference", dtype="float64", seed=1)

    slow, model = make(), make().to("cuda")
    x, dy = random(np.float64, 2, 2, 4, 5), random(np.float64, 2, 2, 1, 2, seed=1)
    expected = slow(x)
    y = model(_cuda.to_device(x))
    assert not any(layer.fuses_relu() for layer in [*model, *slow])
    dx = model.backward(_cuda.to_device(dy))
    near = {"rtol": 0, "atol": 1e-12}  # sums of at most 12 numbers of size 10
    np.testing.assert_allclose(_cuda.to_host(y), expected, **near)
    np.testing.assert_allclose(_cuda.to_host(dx), slow.backward(dy), **near)
    for own, other in zip(model.parameters(), slow.parameters(), strict=True):
        np.testing.assert_allclose(_cuda.to_host(own.grad), other.grad, **near)
