"""Winograd's convolution against the loops, within the rounding that its matrices allow.

Its sums run over turned numbers, so the bound is that of the turned sums (`error_bounds`): the
same three steps with the absolute values of every matrix and every number.
"""

import numpy as np
import pytest
from numba.core import config

from numcnn import Conv2d
from numcnn.error_bounds import conv2d_bound, conv2d_exact
from numcnn.kernels.cpu import _winograd_gradient, conv2d, conv2d_direct, conv2d_winograd

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="vector registers exist in compiled code only"
)

SHAPES = {
    "one-tile": (1, 1, 1, (6, 6), (0, 0)),
    "part-of-a-tile": (2, 3, 5, (4, 3), (0, 0)),
    "padding-one": (2, 5, 7, (11, 9), (1, 1)),
    "padding-two-and-none": (1, 4, 3, (7, 10), (2, 0)),
    "more-padding-than-taps": (1, 2, 3, (3, 5), (4, 3)),
    "more-than-a-vector": (2, 17, 33, (9, 10), (1, 0)),
    "more-than-a-block": (5, 3, 2, (17, 16), (1, 1)),
    "batch-0": (0, 2, 3, (6, 6), (0, 0)),
}


def compare(operation, arguments, geometry, shape):
    expected = conv2d_exact(operation, arguments, geometry, shape)
    bound = conv2d_bound("winograd", operation, arguments, geometry, shape)
    actual = np.full(shape, np.nan, np.float32)
    getattr(conv2d_winograd, f"conv2d_{operation}")(*arguments, *geometry, actual)
    assert bound.shape == shape
    assert (np.abs(actual - expected) <= bound).all(), operation


@pytest.mark.parametrize("taps", [3, 4, 5])
@pytest.mark.parametrize(
    ("batch", "channels", "filters", "size", "pad"), SHAPES.values(), ids=SHAPES
)
def test_winograd_is_the_convolution_of_the_loops(batch, channels, filters, size, pad, taps):
    size = tuple(s + taps - 3 for s in size)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, channels, *size)).astype(np.float32)
    weight = rng.normal(size=(filters, channels, taps, taps)).astype(np.float32)
    bias = rng.normal(size=filters).astype(np.float32)
    out = tuple(s + 2 * p - taps + 1 for s, p in zip(size, pad, strict=True))
    dy = rng.normal(size=(batch, filters, *out)).astype(np.float32)
    geometry = (1, 1, *pad, 1, 1, 1)
    assert conv2d_winograd.serves(weight, 1, 1, 1, 1, 1)

    compare("forward", (x, weight, bias), geometry, dy.shape)
    compare("backward_input", (dy, weight), geometry, x.shape)
    compare("backward_weight", (dy, x), geometry, weight.shape)


@pytest.mark.parametrize("taps", [3, 5])
def test_however_the_sums_are_shared_out_their_bits_are_the_same(monkeypatch, taps):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 37, 13, 9)).astype(np.float32)
    dy = rng.normal(size=(2, 70, 14 - taps, 10 - taps)).astype(np.float32)
    expected = np.empty((70, 37, taps, taps), np.float32)
    conv2d_winograd.weight_gradient(dy, None, x, (1, 1, 0, 0), expected)
    assert np.abs(expected).min() > 0
    # tiles at a time, and shares of input and output channels: also more than there are vectors
    for plan in ((1, (1, 1)), (5, (3, 1)), (7, (1, 3)), (1000, (2, 2)), (4, (5, 9))):
        monkeypatch.setattr(_winograd_gradient, "_plan", lambda *_, plan=plan: plan)
        shared = np.full_like(expected, np.nan)
        conv2d_winograd.weight_gradient(dy, None, x, (1, 1, 0, 0), shared)
        np.testing.assert_array_equal(shared, expected, str(plan))


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 64])
def test_there_are_tasks_for_all_threads_while_there_are_channels(monkeypatch, threads):
    monkeypatch.setattr(_winograd_gradient.numba, "get_num_threads", lambda: threads)
    for channels, filters in ((16, 16), (64, 64), (16, 512), (512, 16), (128, 256)):
        tiles, (shares_in, shares_out) = _winograd_gradient._plan(10**6, channels, filters)
        vectors, spans = channels // 16, -(-filters // 32)
        assert tiles > 0
        assert 2 * shares_in * shares_out >= min(threads, 2 * vectors * spans)
        if threads <= 2:
            assert shares_in == shares_out == 1, "each share turns what others turn too"


def test_other_convolutions_are_passed_on():
    x = np.random.default_rng(1).normal(size=(2, 4, 9, 9)).astype(np.float32)
    dy = np.random.default_rng(2).normal(size=(2, 6, 4, 4)).astype(np.float32)
    layers = [Conv2d(4, 6, 3, stride=2, algorithm=name) for name in ("winograd", "direct")]
    layers[1].load_state_dict(layers[0].state_dict())
    results = [(layer(x), layer.backward(dy), layer.weight.grad) for layer in layers]
    for ours, others in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, others)
    double = Conv2d(4, 6, 3, algorithm="winograd", dtype="float64")
    assert double(x.astype(np.float64)).dtype == np.float64


def test_auto_takes_it_where_it_pays():
    y_shape = (16, 64, 14, 14)
    weight = np.zeros((64, 32, 3, 3), np.float32)
    plain = (1, 1, 1, 1, 1)
    assert conv2d.choose(weight, y_shape, *plain) is conv2d_winograd
    large = np.zeros((40, 32, 5, 5), np.float32)
    assert conv2d.choose(large, (2, 40, 14, 14), *plain) is conv2d_winograd
    others = [
        # too few channels to turn for
        conv2d.choose(weight[:, :15], y_shape, *plain),
        conv2d.choose(large[:, :19], y_shape, *plain),
        # half of the tiles' outputs lie outside the picture
        conv2d.choose(weight[:24], (99, 24, 5, 5), *plain),
        # too few tiles to turn the weights for
        conv2d.choose(weight, (1, *y_shape[1:]), *plain),
        conv2d.choose(np.zeros((64, 64, 6, 6), np.float32), y_shape, *plain),
        conv2d.choose(weight[:, :, :, :2], y_shape, *plain),
        conv2d.choose(weight, y_shape, 2, 1, 1, 1, 1),
        conv2d.choose(weight, y_shape, 1, 1, 1, 2, 1),
        conv2d.choose(weight, y_shape, 1, 1, 1, 1, 2),
    ]
    assert others == [conv2d_direct] * len(others)
