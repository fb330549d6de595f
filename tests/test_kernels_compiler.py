"""The compiler of kernels: machine code of what runs alone, and the same answers as Numba's."""

import numpy as np
import pytest
from numba import njit, prange
from numba.core import config
from numba.core.codegen import JITCodeLibrary

from numcnn.kernels.cpu import _compiler

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT=1: nothing is compiled"
)


def make_halve():
    """Return a helper, and the kernel that calls it, both freshly made."""

    def half(x, i):
        return x[i] / 2

    half = _compiler.compile_helper(half)

    def halve(x, y):
        for i in prange(x.shape[0]):
            y[i] = half(x, i)

    return half, _compiler.compile_kernel(halve, parallel=True)


@pytest.fixture
def emitted(monkeypatch):
    """Return the libraries that became machine code, in a list that grows."""
    found = []
    original = JITCodeLibrary._finalize_specific

    def finalize(self):
        found.append(self)
        original(self)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", finalize)
    return found


def test_only_what_runs_becomes_machine_code(emitted):
    _, halve = make_halve()
    x, y = np.arange(7.0), np.full(7, np.nan)
    halve(x, y)
    assert np.array_equal(y, x / 2)
    late = [library for library in emitted if isinstance(library, _compiler.LateLibrary)]
    assert [library.name.rpartition(".")[2] for library in late] == ["halve"]


def test_other_compiled_functions_are_none_of_its_business(emitted):
    add = njit(lambda a, b: a + b)
    make_halve()[1](np.arange(3.0), np.empty(3))
    emitted.clear()
    assert add(2, 3) == 5
    assert emitted
    assert not any(isinstance(library, _compiler.LateLibrary) for library in emitted)


def test_a_helper_called_from_python_explains_itself():
    half, halve = make_halve()
    for _ in range(2):  # before and after it has been compiled
        with pytest.raises(TypeError, match=r"half is a @helper, which only a kernel can call"):
            half(np.arange(3.0), 1)
        halve(np.arange(3.0), np.empty(3))
    assert half.py_func(np.arange(3.0), 1) == 0.5


def test_an_error_in_a_helper_reaches_the_caller():
    # what an error says lies in the environment of the function that raises it
    def check(x):
        if x[0] < 0:
            raise ValueError("below 0:", x[0])
        return x[0]

    check = _compiler.compile_helper(check)

    def run(x):
        return check(x) + 1

    run = _compiler.compile_kernel(run)
    assert run(np.array([2.0])) == 3
    with pytest.raises(ValueError) as caught:
        run(np.array([-4.0]))
    assert caught.value.args == ("below 0:", -4.0)


def test_a_helper_may_call_helpers_and_serve_two_kernels():
    def square(a):
        return a * a

    square = _compiler.compile_helper(square)

    def fourth(a):
        return square(square(a))

    fourth = _compiler.compile_helper(fourth)

    def powers(x, y):
        for i in prange(x.shape[0]):
            y[i] = fourth(x[i]) + square(x[i])

    def sum_of_powers(x):
        total = 0.0
        for i in range(x.shape[0]):
            total += fourth(x[i])
        return total

    powers = _compiler.compile_kernel(powers, parallel=True)
    x, y = np.arange(5.0), np.empty(5)
    powers(x, y)
    assert np.array_equal(y, x**4 + x**2)
    assert _compiler.compile_kernel(sum_of_powers)(x) == (x**4).sum()
    single = x.astype(np.float32)
    powers(single, y)
    assert np.array_equal(y, x**4 + x**2)
