"""How the CUDA kernels are compared with the reference, on a GPU or in Numba's simulator.

Importing this skips the test file where neither is there.

How near is near. Let u be the rounding unit of the dtype, K the number of terms of a sum, and M
the same sum over the absolute values of its terms. Any order of summing, with or without
fused multiply-adds, is within (K + 1) u M of the exact sum; so two of them differ by at most
2 (K + 1) u M = (K + 1) eps M. The tests allow (K + 8) eps M in float32: the 8 covers exp, log,
tanh and sqrt, a few units each. In float64 they allow 1e-12 M. Where the operation isn't
linear, M is max(1, |result|), the inputs being of size 1. Pooling, ReLU, dropout and the like
add in the reference's order, without a product before a sum: they must agree bit for bit.
"""

import inspect
import sys

import numpy as np
import pytest

from numcnn.kernels import cuda as kernels
from numcnn.kernels import reference
from numcnn.kernels.cuda import _cuda

if (reason := _cuda.availability()) is not None:
    pytest.skip(
        f"{reason} Or set NUMBA_ENABLE_CUDASIM=1 to run these tests in Numba's simulator.",
        allow_module_level=True,
    )

if _cuda.SIMULATED:  # each thread of a block is a Python thread, and barriers wait for their turns
    from numba.cuda.simulator.cudadrv.devicearray import FakeWithinKernelCUDAArray

    sys.setswitchinterval(5e-5)
    # in a kernel ``x.shape`` looks through dir(x) first, which takes half as long as the thread
    FakeWithinKernelCUDAArray.__getattr__ = lambda self, name: getattr(self._item._ary, name)

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


class Out:
    """An output to be overwritten: filled with NaN (integers: -77) beforehand."""

    def __init__(self, shape, dtype):
        self.host = np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -77, dtype)


class InOut:
    """An array to be updated in place."""

    def __init__(self, host):
        self.host = host


def run_reference(name, arguments, prepare=lambda host: host):
    """Call the reference; return what it wrote, as {argument position: array}."""
    prepared = {}
    for position, argument in enumerate(arguments):
        if isinstance(argument, Out | InOut):
            prepared[position] = prepare(argument.host.copy())
        elif isinstance(argument, np.ndarray):
            prepared[position] = prepare(argument)
        else:
            prepared[position] = argument
    with np.errstate(all="ignore"):
        getattr(reference, name)(*prepared.values())
    return {p: prepared[p] for p, a in enumerate(arguments) if isinstance(a, Out | InOut)}


def run_cuda(name, arguments, module=kernels):
    """Call the CUDA function; return what it wrote. Inputs must come out as they went in."""
    on_device = []
    for argument in arguments:
        if isinstance(argument, Out | InOut):
            on_device.append(_cuda.to_device(argument.host))
        elif isinstance(argument, np.ndarray):
            on_device.append(_cuda.to_device(argument))
        else:
            on_device.append(argument)
    assert getattr(module, name)(*on_device) is None
    written = {}
    for position, (argument, array) in enumerate(zip(arguments, on_device, strict=True)):
        if isinstance(argument, Out | InOut):
            written[position] = _cuda.to_host(array)
        elif isinstance(argument, np.ndarray):
            np.testing.assert_array_equal(_cuda.to_host(array), argument)
    return written


def check(name, *arguments, terms=0, linear=False, exact=False, module=kernels):
    """Assert that CUDA writes what the reference writes, within the bound of the module."""
    want = run_reference(name, arguments)
    got = run_cuda(name, arguments, module)
    sizes = {}
    if linear:
        sizes = run_reference(name, arguments, lambda a: np.abs(a) if a.dtype.kind == "f" else a)
    labels = list(inspect.signature(getattr(reference, name)).parameters)
    for position, expected in want.items():
        actual = got[position]
        message = f"{name}, {labels[position]}"
        assert actual.dtype == expected.dtype, message
        assert actual.shape == expected.shape, message
        if exact or expected.dtype.kind != "f":
            np.testing.assert_array_equal(actual, expected, message)
            continue
        size = sizes.get(position, np.maximum(1, np.abs(expected)))
        relative = 1e-12
        if expected.dtype == np.float32:
            relative = (terms + 8) * np.finfo(np.float32).eps
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        with np.errstate(invalid="ignore"):
            near = np.abs(actual.astype(float) - expected) <= relative * size
        wrong = [tuple(index) for index in np.argwhere(~(same | near)).tolist()]
        assert not wrong, (
            f"{message}: {len(wrong)} of {expected.size} differ, first at {wrong[0]}: "
            f"{actual[wrong[0]]} instead of {expected[wrong[0]]}"
        )


def random(dtype, *shape, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(dtype)


def integers(dtype, *shape, seed=0):
    """Return few different values, so that there are ties."""
    rng = np.random.default_rng([seed, *shape])
    return rng.integers(-2, 3, shape).astype(dtype)
