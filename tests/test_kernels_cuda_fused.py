"""CUDA operations with the ReLU behind them against the reference; bounds: checks_cuda.py.

The kernels are those of the single operations, tested in other files: here it is shown that they
cut off right, with the bits of the two operations one behind the other and fewer launches, and that
a NaN passes where the reference lets it pass.
"""

from collections import Counter

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, random
from checks_cuda_offline import name_of
from test_kernels_cuda import CONVOLUTIONS, out_size
from test_kernels_cuda_tiles import TINY

from numcnn import BatchNorm2d, Conv2d, ReLU, Sequential
from numcnn.kernels.cuda import _cuda, _recording, _tiles, conv2d_winograd
from numcnn.kernels.cuda.relu import relu_forward

# the simulator computes with NumPy's numbers, which warn of inf - inf
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

EPS = 1e-5
# an algorithm, and the files of the kernels that it launches forward
KERNELS_OF = {
    "loops": {"conv2d_loops"},
    "implicit_gemm": {"_correlation"},
    "winograd": {"_winograd_turns", "_product"},
}
CASES = ("padded", "stride leaves a rest", "depthwise", "everything", "no pictures")


def files_of(launched):
    """Return how many launches there were of each file's kernels."""
    return Counter(name_of(launch[0]).partition(".")[0] for launch in launched)


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
    blind = x.copy()
    blind[0, 1, 0] = np.nan
    for each in (x, blind):
        check("batch_norm_relu_forward", each, weight, bias, EPS, sums, sums, Out(shape, dtype))
    y = np.maximum(random(dtype, *shape, seed=6), 0)
    y[tuple(np.argwhere(y == 0)[0])] = np.nan
    dy[tuple(np.argwhere(y == 0)[0])] = np.nan
    mean = random(np.float64, shape[1], seed=4)
    var = np.abs(random(np.float64, shape[1], seed=5)) + 0.5
    outputs = Out((shape[1],), dtype), Out((shape[1],), dtype), Out(shape, dtype)
    # dx takes the two sums as they were rounded to float32
    name = "batch_norm_relu_backward_input"
    check(name, dy, y, x, weight, mean, var, EPS, *outputs, terms=8)


@pytest.mark.parametrize("algorithm", KERNELS_OF)
def test_a_convolution_cuts_off_what_it_writes_with_the_bits_of_the_two(algorithm, monkeypatch):
    monkeypatch.setattr(_tiles, "choose", lambda rows, tensor_cores: TINY)
    monkeypatch.setattr(conv2d_winograd, "TOGETHER", 16)
    layer = Conv2d(2, 3, 3, padding=1, algorithm=algorithm, device="cuda")
    x = random(np.float32, 2, 2, 5, 6)
    x[0, 1, 4, 5] = np.nan
    with _recording.listening() as launched:
        y = _cuda.to_host(layer.forward_relu(_cuda.to_device(x)))
    z = layer(_cuda.to_device(x))
    expected = _cuda.empty(z.shape, z.dtype)
    with _recording.listening() as unit:
        relu_forward(z.reshape(-1), expected.reshape(-1))
    assert list(files_of(unit)) == ["relu"]
    assert set(files_of(launched)) == KERNELS_OF[algorithm]
    expected = _cuda.to_host(expected)
    assert np.isnan(expected).any() and (expected == 0).any() and (expected > 0).any()
    assert y.tobytes() == expected.tobytes()


def make_network(device, dtype="float64"):
    layers = Conv2d(2, 3, 2), ReLU(), Conv2d(3, 2, 2, stride=2), BatchNorm2d(2), ReLU()
    return Sequential(*layers, device=device, dtype=dtype, seed=1)


def test_a_network_on_the_gpu_fuses_and_does_what_the_reference_does():
    slow, model = make_network("reference"), make_network("reference").to("cuda")
    x, dy = random(np.float64, 2, 2, 4, 5), random(np.float64, 2, 2, 1, 2, seed=1)
    expected = slow(x)
    y = model(_cuda.to_device(x))
    assert [layer.fuses_relu() for layer in model] == [True, False, True, True, False]
    assert not any(layer.fuses_relu() for layer in slow)
    dx = model.backward(_cuda.to_device(dy))
    near = {"rtol": 0, "atol": 1e-12}  # sums of at most 12 numbers of size 10
    np.testing.assert_allclose(_cuda.to_host(y), expected, **near)
    np.testing.assert_allclose(_cuda.to_host(dx), slow.backward(dy), **near)
    for own, other in zip(model.parameters(), slow.parameters(), strict=True):
        np.testing.assert_allclose(_cuda.to_host(own.grad), other.grad, **near)


def test_a_fused_step_launches_less_and_has_the_bits_of_layers_one_by_one():
    model, plain = make_network("cuda", "float32"), make_network("cuda", "float32")
    for layer in plain:
        layer.fuses_relu = lambda: False
    x, dy = random(np.float32, 2, 2, 4, 5), random(np.float32, 2, 2, 1, 2, seed=1)
    launches, results = [], []
    for each in (model, plain):
        with _recording.listening() as launched:
            y = each(_cuda.to_device(x))
            dx = each.backward(_cuda.to_device(dy))
        launches.append(files_of(launched))
        grads = (parameter.grad for parameter in each.parameters())
        results.append([_cuda.to_host(array) for array in (y, dx, *grads)])
    # a unit forward for each of the two pairs, and one backward for that behind the normalisation
    assert launches[1] - launches[0] == Counter({"relu": 3})
    assert launches[0] - launches[1] == Counter()
    assert launches[0]["relu"] == 1, "behind the convolution dz is written once"
    for own, other in zip(*results, strict=True):
        assert own.tobytes() == other.tobytes()


def test_in_evaluation_the_gpu_folds_nothing_and_its_convolution_still_fuses():
    slow, model = make_network("reference"), make_network("reference").to("cuda")
    x = random(np.float64, 2, 2, 4, 5)
    expected = slow.eval().predict(x)
    model.eval()
    assert [layer.fuses_relu() for layer in model] == [True, False, True, False, False]
    with _recording.listening() as launched:
        y = model.predict(x)
    # sums of at most 12 numbers of size 10
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    assert files_of(launched) == {"conv2d_loops": 2, "batch_norm_eval": 1, "relu": 1}
