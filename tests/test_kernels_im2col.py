"""Convolution by columns where its blocks end: test_kernels_cpu.py has the small shapes.

The truth is that of the loops in float64, which test_kernels_cpu.py compares with the reference;
the bound is that of every sum of products (checks_kernels.py).
"""

import functools

import numpy as np
import pytest
from checks_kernels import absolute, assert_near, run
from numba.core import config
from test_kernels_cpu import CONVOLUTIONS, Geometry

from numcnn import Conv2d
from numcnn.kernels.cpu import _gemm, conv2d_im2col, conv2d_loops
from numcnn.kernels.order import empty_last

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="vector registers exist in compiled code only"
)

GEOMETRIES = {
    "outputs-beyond-a-block": Geometry(1, 2, 13, (29, 31), (3, 3), pads=(1, 1, 1, 1)),
    "terms-beyond-a-depth": Geometry(2, 33, 5, (6, 7), (3, 3), pads=(1, 1, 1, 1)),
    "filters-beyond-a-depth": Geometry(1, 3, 261, (5, 6), (2, 2)),
    "stride-and-long-rows": Geometry(1, 3, 5, (19, 97), (3, 5), (2, 2), (1, 2, 1, 2)),
    "first-layer-of-alexnet": Geometry(1, 3, 7, (47, 51), (11, 11), (4, 4), (2, 2, 2, 2)),
    "groups": Geometry(3, 26, 39, (17, 18), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 13),
    "groups-stride-dilation": Geometry(2, 6, 9, (19, 23), (3, 2), (2, 3), (0, 2, 1, 0), (3, 2), 3),
    "nothing-but-padding-in-a-row": Geometry(1, 2, 3, (4, 5), (2, 2), (3, 3), (4, 4, 4, 4)),
}


@functools.cache
def truth(name, function):
    """Return arguments, the exact result and the sum of the absolute terms."""
    arguments, terms = GEOMETRIES[name].calls()[function]
    (expected,) = run(conv2d_loops, function, arguments, np.float64)
    (size,) = run(conv2d_loops, function, absolute(arguments), np.float64)
    return arguments, expected, (terms + 1) * np.finfo(np.float32).eps * size


@pytest.mark.parametrize("function", CONVOLUTIONS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_convolution_is_that_of_the_loops(name, function):
    arguments, expected, bound = truth(name, function)
    (actual,) = run(conv2d_im2col, function, arguments, np.float32)
    assert_near(actual, expected, bound, function)


def test_the_shapes_above_go_beyond_the_blocks():
    shapes = GEOMETRIES.values()
    assert any(np.prod(g.out) > conv2d_im2col.BLOCK for g in shapes)
    assert any(g.channels // g.groups * np.prod(g.kernel) > _gemm.DEPTH for g in shapes)
    assert any(g.filters // g.groups > _gemm.DEPTH for g in shapes)
    assert any(np.prod(g.out) > _gemm.DEPTH and g.stride[1] > 1 for g in shapes)


@pytest.mark.parametrize("function", CONVOLUTIONS)
def test_the_number_of_threads_changes_no_bit(function, threads):
    for name in ("outputs-beyond-a-block", "groups-stride-dilation"):
        arguments, *_ = truth(name, function)
        found = []
        for count in (1, 2, config.NUMBA_NUM_THREADS):
            threads(count)
            found.append(run(conv2d_im2col, function, arguments, np.float32)[0].tobytes())
        assert found[0] == found[1] == found[2]


def test_pictures_may_lie_channels_last():
    geometry = GEOMETRIES["groups-stride-dilation"]
    x, weight, bias, dy = geometry.arrays()
    own_x, own_dy, y, dx = (empty_last(a.shape, np.float32) for a in (x, dy, dy, x))
    own_x[...], own_dy[...] = x, dy
    dweight = np.empty_like(weight)
    conv2d_im2col.conv2d_forward(own_x, weight, bias, *geometry.numbers, y)
    conv2d_im2col.conv2d_backward_input(own_dy, weight, *geometry.numbers, dx)
    conv2d_im2col.conv2d_backward_weight(own_dy, own_x, *geometry.numbers, dweight)
    for function, actual in zip(CONVOLUTIONS, (y, dx, dweight), strict=True):
        arguments, *_ = truth("groups-stride-dilation", function)
        (expected,) = run(conv2d_im2col, function, arguments, np.float32)
        np.testing.assert_array_equal(actual, expected)


def test_float64_is_passed_on_to_the_loops():
    for function in CONVOLUTIONS:
        arguments, expected, _ = truth("groups", function)
        (actual,) = run(conv2d_im2col, function, arguments, np.float64)
        np.testing.assert_array_equal(actual, expected)


def test_a_layer_takes_it_by_name():
    assert Conv2d(3, 4, 7, padding=3, algorithm="im2col")._algorithm() is conv2d_im2col
