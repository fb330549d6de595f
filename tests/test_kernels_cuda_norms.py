"""The normalisations' CUDA kernels against the reference; bounds: checks_cuda.py.

In float32 all sums are float64 on both sides, so nothing is allowed for their length.
"""

import numpy as np
import pytest
from checks_cuda import InOut, Out, both_dtypes, check, random

import numcnn
from numcnn.kernels.cuda import _cuda

EPS = 1e-5


def positive(dtype, *shape, seed=0):
    return np.abs(random(dtype, *shape, seed=seed)) + dtype(0.5)


# (N, C, S): every size different, one number per row, one row, no examples
BATCHES = [(3, 2, 5), (5, 4, 1), (2, 1, 3), (1, 2, 7)]


@both_dtypes
@pytest.mark.parametrize("away", [0, 1000], ids=["near", "far"])
@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch_norm(shape, away, dtype):
    x, dy = random(dtype, *shape) + dtype(away), random(dtype, *shape, seed=1)
    weight, bias = (random(dtype, shape[1], seed=seed) for seed in (2, 3))
    channel = Out((shape[1],), np.float64)
    check("batch_norm_forward", x, weight, bias, EPS, channel, channel, Out(shape, dtype))
    mean = away + random(np.float64, shape[1], seed=4)
    var = positive(np.float64, shape[1], seed=5)
    outputs = Out((shape[1],), dtype), Out((shape[1],), dtype), Out(shape, dtype)
    # dx takes the two sums as they were rounded to float32
    check("batch_norm_backward_input", dy, x, weight, mean, var, EPS, *outputs, terms=8)
    check("batch_norm_backward_weight", dy, x, mean, var, EPS, Out((shape[1],), dtype))
    check("batch_norm_backward_bias", dy, Out((shape[1],), dtype))


@both_dtypes
@pytest.mark.parametrize("shape", [*BATCHES, (0, 3, 2)], ids=str)
def test_batch_norm_eval(shape, dtype):
    x, dy = random(dtype, *shape), random(dtype, *shape, seed=1)
    weight, bias, mean = (random(dtype, shape[1], seed=seed) for seed in (2, 3, 4))
    var = positive(dtype, shape[1], seed=5)
    check("batch_norm_eval_forward", x, weight, bias, mean, var, EPS, Out(shape, dtype))
    check("batch_norm_eval_backward_input", dy, weight, var, EPS, Out(shape, dtype))
    check("batch_norm_backward_weight", dy, x, mean, var, EPS, Out((shape[1],), dtype))


@both_dtypes
@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0])
def test_batch_norm_update(momentum, dtype):
    mean, var = random(np.float64, 70), positive(np.float64, 70, seed=1)  # more than one block
    running = InOut(random(dtype, 70, seed=2)), InOut(positive(dtype, 70, seed=3))
    check("batch_norm_update", mean, var, 5, momentum, *running)


@both_dtypes
@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1), (2, 67), (0, 3)], ids=str)
def test_layer_norm(shape, dtype):
    x, dy = random(dtype, *shape), random(dtype, *shape, seed=1)
    weight, bias = (random(dtype, shape[1], seed=seed) for seed in (2, 3))
    row = Out((shape[0],), np.float64)
    check("layer_norm_forward", x, weight, bias, EPS, row, row, Out(shape, dtype))
    mean, var = random(np.float64, shape[0], seed=4), positive(np.float64, shape[0], seed=5)
    column = Out((shape[1],), dtype)
    # a sum of K products of size 1 is added to numbers of size 1
    check("layer_norm_backward_input", dy, x, weight, mean, var, EPS, Out(shape, dtype), terms=8)
    check("layer_norm_backward_weight", dy, x, mean, var, EPS, column)
    check("layer_norm_backward_bias", dy, column)


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 6, 3), 2), ((3, 4, 1), 1), ((1, 3, 5), 3), ((0, 4, 3), 2)], ids=str
)
def test_group_norm(shape, groups, dtype):
    x, dy = random(dtype, *shape), random(dtype, *shape, seed=1)
    weight, bias = (random(dtype, shape[1], seed=seed) for seed in (2, 3))
    kept = shape[0], groups
    group = Out(kept, np.float64)
    check("group_norm_forward", x, weight, bias, EPS, group, group, Out(shape, dtype))
    mean, var = random(np.float64, *kept, seed=4), positive(np.float64, *kept, seed=5)
    channel = Out((shape[1],), dtype)
    check("group_norm_backward_input", dy, x, weight, mean, var, EPS, Out(shape, dtype), terms=8)
    check("group_norm_backward_weight", dy, x, mean, var, EPS, channel)
    check("group_norm_backward_bias", dy, channel)


@both_dtypes
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 1, 2), (0, 2, 3)], ids=str)
def test_local_response_norm(shape, size, dtype):
    x, dy, y = (random(dtype, *shape, seed=seed) for seed in range(3))
    base = positive(dtype, *shape, seed=3)
    outputs = Out(shape, dtype), Out(shape, dtype)
    check("local_response_norm_forward", x, size, 0.7, 0.75, 1.5, *outputs, terms=size)
    numbers = (size, 0.7, 0.75, outputs[0])
    # products of numbers up to 4, divided by 0.5 at least
    check("local_response_norm_backward_input", dy, x, y, base, *numbers, terms=8 * size)


@both_dtypes
@pytest.mark.parametrize("shape", [(1, 3, 7), (4, 2, 3), (3, 1, 1), (1, 67, 2)], ids=str)
def test_weight_norm(shape, dtype):
    v, dw = random(dtype, *shape), random(dtype, *shape, seed=1)
    g = random(dtype, shape[1], seed=2)
    check("weight_norm_forward", v, g, Out(shape, dtype))
    check("weight_norm_backward_weight", dw, v, Out(g.shape, dtype))
    check("weight_norm_backward_input", dw, v, g, Out(shape, dtype), terms=8)


# ---- layers on the GPU ------------------------------------------------------------------------

LAYERS = {
    "BatchNorm1d": (lambda: numcnn.BatchNorm1d(3), (4, 3)),
    "BatchNorm1d, no batch statistics kept": (
        lambda: numcnn.BatchNorm1d(3, affine=False, track_running_stats=False),
        (2, 3, 4),
    ),
    "BatchNorm2d": (lambda: numcnn.BatchNorm2d(2, momentum=None), (3, 2, 2, 3)),
    "LayerNorm": (lambda: numcnn.LayerNorm((3, 2), bias=False), (4, 3, 2)),
    "GroupNorm": (lambda: numcnn.GroupNorm(2, 4), (2, 4, 3)),
    "LocalResponseNorm": (lambda: numcnn.LocalResponseNorm(3, alpha=0.5), (2, 4, 1, 3)),
    "weight_norm": (lambda: numcnn.weight_norm(numcnn.Linear(4, 3)), (2, 4)),
    "weight_norm, one length": (
        lambda: numcnn.weight_norm(numcnn.Conv2d(1, 2, 2), dim=None),
        (1, 1, 3, 3),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_the_gpu_do_what_the_reference_does(name):
    """Two steps in training and one in evaluation; weights there and back; float64."""
    make, shape = LAYERS[name]
    slow = make().to("reference", "float64")
    slow.reseed(1)
    for parameter in slow.parameters():
        parameter.data = parameter.data + random(np.float64, *parameter.shape, seed=7)
    layer = make().to("cuda", "float64")
    layer.load_state_dict(slow.state_dict())
    for step in range(3):
        for each in (layer, slow):
            each.train(step < 2)
        x = random(np.float64, *shape, seed=step)
        expected = slow(x)
        y = layer(_cuda.to_device(x))
        dy = random(np.float64, *expected.shape, seed=step + 3)
        dx = layer.backward(_cuda.to_device(dy))
        # sums of at most 16 numbers of size 10
        near = {"rtol": 0, "atol": 1e-12}
        np.testing.assert_allclose(_cuda.to_host(y), expected, **near)
        np.testing.assert_allclose(_cuda.to_host(dx), slow.backward(dy), **near)
        for own, other in zip(layer.parameters(), slow.parameters(), strict=True):
            assert own.grad.shape == own.shape
            np.testing.assert_allclose(_cuda.to_host(own.grad), other.grad, **near)
    state = layer.state_dict()
    for own, values in slow.state_dict().items():
        assert state[own].shape == values.shape
        np.testing.assert_allclose(state[own], values, rtol=0, atol=1e-12, err_msg=own)
    back = layer.to("cpu")
    for own, values in state.items():
        np.testing.assert_array_equal(back.state_dict()[own], values, own)
