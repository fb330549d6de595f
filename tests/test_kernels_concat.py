"""Concatenation copies, so the compiled kernels must agree with the reference exactly."""

import numpy as np
import pytest
from checks_kernels import InOut, Out, assert_equal, both_dtypes, normal

SHAPES = [((2, 3, 5), 2, 7), ((1, 1, 1), 0, 1), ((3, 2, 4), 0, 2), ((0, 2, 3), 1, 4)]
each_shape = pytest.mark.parametrize(("shape", "offset", "total"), SHAPES, ids=str)


def calls(shape, offset, total):
    n, _, s = shape
    y = normal(1, n, total, s)
    return {
        "concat_forward": (normal(2, *shape), offset, InOut(y)),
        "concat_backward_input": (y, offset, Out(shape)),
    }


@both_dtypes
@each_shape
def test_concat(shape, offset, total, dtype):
    for name, arguments in calls(shape, offset, total).items():
        assert_equal(name, arguments, dtype)


@each_shape
def test_what_goes_in_comes_back_and_the_rest_stays(shape, offset, total):
    from numcnn.kernels import cpu

    n, c, s = shape
    x, y, dx = normal(2, *shape), normal(1, n, total, s), np.full(shape, np.nan, np.float32)
    before = y.copy()
    cpu.concat_forward(x, offset, y)
    cpu.concat_backward_input(y, offset, dx)
    np.testing.assert_array_equal(dx, x)
    y[:, offset : offset + c] = before[:, offset : offset + c]
    np.testing.assert_array_equal(y, before)


def threaded_cases():
    """Return {name: (function, arguments)}."""
    return {
        f"{name}, {size}": (name, arguments)
        for size in (3, 37)
        for name, arguments in calls((3, 5, size), 2, 9).items()
    }
