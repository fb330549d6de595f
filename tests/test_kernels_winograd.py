"""Winograd's convolution against the loops, within the rounding that its matrices allow.

Its sums run over turned numbers, so the bound is that of the turned sums: the same three steps
with the absolute values of every matrix and every number.
"""

import numpy as np
import pytest
from numba.core import config

from numcnn import Conv2d
from numcnn.kernels.cpu import _winograd, conv2d, conv2d_direct, conv2d_loops, conv2d_winograd

G = np.abs(_winograd.G)
POINTS = [0, _winograd.P, -_winograd.P, _winograd.Q, -_winograd.Q]
INPUT = np.zeros((6, 6))  # |Bᵀ|: the coefficients of the polynomials that are 0 at the others
for row, point in enumerate(POINTS):
    INPUT[row, :5] = np.abs(np.poly([other for other in POINTS if other != point]))[::-1]
INPUT[5] = np.abs(np.poly(POINTS))[::-1]
OUTPUT = np.abs(np.vander(POINTS, 4, increasing=True).T)  # |Aᵀ|: the points' powers
OUTPUT = np.column_stack([OUTPUT, [0, 0, 0, 1]])
STEPS = 40  # roundings of one number outside the sums: two axes, two turns, at most 8 each

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


def tiles(x, pad, reach, out):
    """Return |x| cut into tiles of `reach`, 4 apart: (N, TH, TW, C, reach, reach)."""
    down, across = (-(-size // 4) * 4 + reach for size in out)
    framed = np.zeros((*x.shape[:2], max(down, x.shape[2] + pad[0]), across + x.shape[3] + pad[1]))
    framed[:, :, pad[0] : pad[0] + x.shape[2], pad[1] : pad[1] + x.shape[3]] = np.abs(x)
    windows = np.lib.stride_tricks.sliding_window_view(framed, (reach, reach), (2, 3))
    return windows[:, :, : out[0] : 4, : out[1] : 4].transpose(0, 2, 3, 1, 4, 5)


def forward_size(x, weight, pad, out):
    """Return the sum of the absolute values that meet in each output."""
    turned = INPUT @ tiles(x, pad, 6, out) @ INPUT.T
    factors = G @ np.abs(weight) @ G.T
    y = OUTPUT @ np.einsum("nabcij,kcij->nabkij", turned, factors) @ OUTPUT.T
    n, th, tw, k = y.shape[:4]
    return y.transpose(0, 3, 1, 4, 2, 5).reshape(n, k, th * 4, tw * 4)[:, :, : out[0], : out[1]]


def weight_size(x, dy, pad):
    """Return the sum of the absolute values that meet in each weight's gradient."""
    out = dy.shape[2:]
    turned = INPUT @ tiles(x, pad, 6, out) @ INPUT.T
    gradient = OUTPUT.T @ tiles(dy, (0, 0), 4, out) @ OUTPUT
    return G.T @ np.einsum("nabcij,nabkij->kcij", turned, gradient) @ G


def compare(name, arguments, geometry, shape, size, terms):
    expected = np.full(shape, np.nan)
    wide = [array.astype(np.float64) for array in arguments]
    getattr(conv2d_loops, name)(*wide, *geometry, expected)
    actual = np.full(shape, np.nan, np.float32)
    getattr(conv2d_winograd, name)(*arguments, *geometry, actual)
    bound = (terms + STEPS) * np.finfo(np.float32).eps * size
    assert (np.abs(actual - expected) <= bound).all(), name


@pytest.mark.parametrize(
    ("batch", "channels", "filters", "size", "pad"), SHAPES.values(), ids=SHAPES
)
def test_winograd_is_the_convolution_of_the_loops(batch, channels, filters, size, pad):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, channels, *size)).astype(np.float32)
    weight = rng.normal(size=(filters, channels, 3, 3)).astype(np.float32)
    bias = rng.normal(size=filters).astype(np.float32)
    out = tuple(s + 2 * p - 2 for s, p in zip(size, pad, strict=True))
    dy = rng.normal(size=(batch, filters, *out)).astype(np.float32)
    geometry = (1, 1, *pad, 1, 1, 1)
    assert conv2d_winograd.serves(weight, 1, 1, 1, 1, 1)

    sums = forward_size(x, weight, pad, out) + np.abs(bias)[:, None, None]
    compare("conv2d_forward", (x, weight, bias), geometry, dy.shape, sums, channels)

    # where the padding is more than 2, the first outputs of all see nothing but padding
    cut = dy[:, :, max(0, pad[0] - 2) :, max(0, pad[1] - 2) :]
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    sums = forward_size(cut, turned, (max(0, 2 - pad[0]), max(0, 2 - pad[1])), size)
    compare("conv2d_backward_input", (dy, weight), geometry, x.shape, sums, filters)

    places = batch * out[0] * out[1]
    sums = weight_size(x, dy, pad)
    compare("conv2d_backward_weight", (dy, x), geometry, weight.shape, sums, places)


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
    y_shape = (16, 32, 14, 14)
    weight = np.zeros((32, 16, 3, 3), np.float32)
    plain = (1, 1, 1, 1, 1)
    assert conv2d.choose(weight, y_shape, *plain) is conv2d_winograd
    others = [
        conv2d.choose(weight[:, :8], y_shape, *plain),  # too few channels to turn for
        conv2d.choose(weight, (1, *y_shape[1:]), *plain),  # too few tiles to turn the weights for
        conv2d.choose(weight[:, :, :, :2], y_shape, *plain),
        conv2d.choose(weight, y_shape, 2, 1, 1, 1, 1),
        conv2d.choose(weight, y_shape, 1, 1, 1, 2, 1),
        conv2d.choose(weight, y_shape, 1, 1, 1, 1, 2),
    ]
    assert others == [conv2d_direct] * len(others)
