"""Every layer that takes pictures takes them in either order of memory, with the same results.

Where a kernel works one way only, its layer turns the pictures; which numbers come out must not
depend on it. Sums may be added in another order, so float32 results are compared within bounds.
"""

import copy

import numpy as np
import pytest
from checks_kernels import channels_last, normal

from numcnn import (
    GELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    Flatten,
    GroupNorm,
    Identity,
    LayerNorm,
    LocalResponseNorm,
    MaxPool2d,
    MaxUnpool2d,
    PixelShuffle,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    Upsample,
    ZeroPad2d,
)

SHAPE = (3, 12, 6, 8)
LAYERS = {
    "max-pool": lambda: MaxPool2d(2),
    "max-pool-overlapping": lambda: MaxPool2d(3, 2, 1),
    "max-pool-whole": lambda: MaxPool2d((6, 8)),
    "avg-pool": lambda: AvgPool2d(2),
    "avg-pool-overlapping": lambda: AvgPool2d(3, 2, 1, count_include_pad=False),
    "global-avg-pool": lambda: AdaptiveAvgPool2d(1),
    "adaptive-avg-pool": lambda: AdaptiveAvgPool2d((4, 3)),
    "adaptive-max-pool": lambda: AdaptiveMaxPool2d((4, 3)),
    "unpool": lambda: unpooling(),
    "upsample": lambda: Upsample(scale_factor=2),
    "bilinear": lambda: Upsample(scale_factor=2, mode="bilinear"),
    "shuffle": lambda: PixelShuffle(2),
    "pad": lambda: ZeroPad2d((1, 2, 0, 1)),
    "batch-norm": lambda: BatchNorm2d(12),
    "group-norm": lambda: GroupNorm(3, 12),
    "layer-norm": lambda: LayerNorm((12, 6, 8)),
    "local-response-norm": lambda: LocalResponseNorm(5, 0.1),
    "conv": lambda: Conv2d(12, 5, 3, padding=1),
    "conv-reflect": lambda: Conv2d(12, 5, 3, padding=1, padding_mode="reflect"),
    "conv-transpose": lambda: ConvTranspose2d(12, 5, 3, 2),
    "relu": ReLU,
    "tanh": Tanh,
    "gelu": GELU,
    "prelu": lambda: PReLU(12),
    "softmax": lambda: Softmax(1),
    "dropout": lambda: Dropout(0.4),
    "dropout-2d": lambda: Dropout2d(0.4),
    "residual": lambda: Residual(Sequential(BatchNorm2d(12), ReLU())),
    "concat": lambda: Concat(Identity(), AvgPool2d(3, 1, 1), MaxPool2d(3, 1, 1)),
    "flatten": Flatten,
}


def unpooling():
    pool = MaxPool2d(2)
    return Sequential(pool, Tanh(), MaxUnpool2d(2, pool=pool))


def run(layer, x, dy):
    """Return output, gradient of the input and gradients of the parameters."""
    y = layer(x)
    dx = layer.backward(dy)
    return [y, dx, *(parameter.grad for parameter in layer.parameters())]


def prepared(name, device="cpu", dtype="float32"):
    layer = LAYERS[name]()
    layer.reseed(1)
    return layer.to(device, dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_same_in_either_order(name, training):
    exact = prepared(name, "reference", "float64").train(training)
    x = normal(1, *SHAPE)
    dy = normal(2, *exact.output_shape(SHAPE))
    truth = run(exact, x.astype(np.float64), dy.astype(np.float64))
    last = channels_last(dy) if dy.ndim > 2 else dy
    for given, grad in ((x, dy), (channels_last(x), last), (x, last), (channels_last(x), dy)):
        layer = prepared(name).train(training)
        before = given.copy(), grad.copy()
        for got, want in zip(run(layer, given, grad), truth, strict=True):
            assert got.dtype == np.float32
            assert got.shape == want.shape
            size = max(1, np.abs(want).max())
            # sums of at most 3 * 48 * 12 products, most of them of far fewer
            np.testing.assert_allclose(got, want, rtol=0, atol=400 * np.finfo("f4").eps * size)
        np.testing.assert_array_equal(given, before[0])
        np.testing.assert_array_equal(grad, before[1])


@pytest.mark.parametrize("make", [lambda: MaxPool2d(2, 2, 0, 1, True), lambda: MaxPool2d(3, 2, 1)])
def test_indices_are_the_same_in_either_order(make):
    x = np.clip(np.rint(normal(3, *SHAPE)), -1, 1)  # with ties
    found = []
    for given in (x, channels_last(x)):
        layer = copy.copy(make())
        layer.keep_indices = True
        layer(given)
        assert layer.indices.dtype == np.int64
        found.append(layer.indices)
    np.testing.assert_array_equal(*found)
    assert found[0].max() > 8


@pytest.mark.parametrize("name", ["max-pool", "avg-pool", "global-avg-pool", "batch-norm"])
def test_pictures_stay_channels_last_between_layers(name):
    layer = prepared(name)
    x = channels_last(normal(4, *SHAPE))
    y = layer(x)
    dx = layer.backward(channels_last(normal(5, *y.shape)))
    for array in (y, dx):
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous
