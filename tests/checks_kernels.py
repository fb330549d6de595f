"""How the compiled kernels are compared with the reference: running, and how near is near.

Let u = eps / 2 be the rounding unit of the dtype, K the number of terms of a sum and M the same
sum over the absolute values of its terms. Any order of summing, with or without fused
multiply-adds, is within (K + 1) u M of the exact sum. The reference runs in float64 on the same
numbers (all inputs are float32 numbers), so what is allowed is (K + 1) eps M: twice the bound for
float64, where the reference has an error of its own. M is computed by the reference too, from the
absolute values of the inputs. Where exp, log, tanh or sqrt take part, 4 units in the last place
are added for each; what M is then stands with the case.

Outputs are filled with NaN (integers with -77) beforehand. Inputs must come out as they went in.

Pictures may lie in either order (``kernels/order.py``): `both_orders` says in which, and `lay` puts
the arrays of a call that way. What a kernel writes is compared by index, whatever the order.

Each kernel is compiled for all cores and for one, in float32 and in float64: four times, which is
most of what tests take. By default float32 is for all cores, as in trainings, and float64 for one,
as in gradient checks (`FOR_ONE_CORE`, set in conftest.py). The other two are compared with these
in test_kernels_threads.py: float32 for one core by default, float64 for all by ``pytest -m long``.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from numcnn.kernels import cpu, reference
from numcnn.kernels.cpu import _jit

FOR_ONE_CORE: list[np.dtype] = []  # types whose kernels `run` takes from the build for one core

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


repeatable = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Out(NamedTuple):
    """An output to be overwritten."""

    shape: tuple
    dtype: type = None

    def fresh(self, dtype):
        dtype = np.dtype(self.dtype or dtype)
        return np.full(self.shape, np.nan if dtype.kind == "f" else -77, dtype)


class LastOut(Out):
    """An output whose channels lie last in memory."""

    def fresh(self, dtype):
        return channels_last(super().fresh(dtype))


class InOut(NamedTuple):
    """An array to be updated in place."""

    values: np.ndarray

    def fresh(self, dtype):
        return self.values.astype(dtype)


both_orders = pytest.mark.parametrize("order", ["planes", "last"])


def channels_last(array):
    """Return a copy of an array (N, C, ...) whose channels lie last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def lay(arguments, order):
    """Return the arguments with every array (N, C, ...) in the order asked for."""
    if order == "planes":
        return arguments
    laid = []
    for argument in arguments:
        if isinstance(argument, Out) and len(argument.shape) > 2:
            laid.append(LastOut(*argument))
        elif isinstance(argument, np.ndarray) and argument.ndim > 2:
            laid.append(channels_last(argument))
        else:
            laid.append(argument)
    return tuple(laid)


def run(module, name, arguments, dtype):
    """Call a kernel with fresh arrays of `dtype`; return what it wrote."""
    given, outputs, inputs = [], [], []
    for argument in arguments:
        if isinstance(argument, Out | InOut):
            given.append(argument.fresh(dtype))
            outputs.append(given[-1])
        elif isinstance(argument, np.ndarray):
            given.append(argument if argument.dtype.kind != "f" else argument.astype(dtype))
            inputs.append((given[-1], given[-1].copy()))
        else:
            given.append(argument)
    with np.errstate(all="ignore"), _cores_for(dtype):
        assert getattr(module, name)(*given) is None
    for now, before in inputs:
        np.testing.assert_array_equal(now, before, f"{name} changed an input")
    return outputs


@contextlib.contextmanager
def _cores_for(dtype):
    before = _jit.SMALL
    if np.dtype(dtype) in FOR_ONE_CORE:
        _jit.SMALL = 2**62
    try:
        yield
    finally:
        _jit.SMALL = before


def absolute(arguments):
    return [
        np.abs(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments
    ]


def assert_near(actual, expected, bound, message=""):
    """Assert |actual - expected| <= bound; NaN and infinities must stand in the same places."""
    assert actual.shape == expected.shape, message
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        near = np.abs(actual.astype(np.float64) - expected) <= bound
    wrong = np.argwhere(~(same | near))
    assert wrong.size == 0, (
        f"{message}: {len(wrong)} of {expected.size} differ, first at {wrong[0].tolist()}: "
        f"{actual[tuple(wrong[0])]!r} instead of {expected[tuple(wrong[0])]!r}"
    )


def assert_sum(module, name, arguments, dtype, terms):
    """Compare an operation that is a sum of products of its inputs."""
    expected = run(reference, name, arguments, np.float64)
    sizes = run(reference, name, absolute(arguments), np.float64)
    actual = run(module, name, arguments, dtype)
    for got, want, size in zip(actual, expected, sizes, strict=True):
        assert got.dtype == dtype
        assert np.isfinite(want).all(), "the case itself must be finite"
        assert_near(got, want, (terms + 1) * np.finfo(dtype).eps * size, name)


def assert_equal(name, arguments, dtype):
    """Compare an operation that adds in the reference's order: bit for bit, zeros' signs apart."""
    expected = run(reference, name, arguments, dtype)
    actual = run(cpu, name, arguments, dtype)
    for got, want in zip(actual, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want, name)


def normal(seed, *shape):
    """Return numbers that float32 and float64 hold alike."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
