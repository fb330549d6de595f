"""What threads must not change: not one bit of any kernel's result.

The cases of every operation are written beside its other tests, as ``threaded_cases()``.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks_kernels import run
from numba.core import config

from numcnn.kernels import cpu
from numcnn.kernels.cpu import _jit

# the files that hold cases
FAMILIES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("test_kernels_*.py")
    if "\ndef threaded_cases(" in path.read_text(encoding="utf-8")
)


def all_cases():
    cases = {}
    for family in FAMILIES:
        own = importlib.import_module(family).threaded_cases()
        assert not set(cases) & set(own), "two cases of one name"
        cases |= own
    return cases


THREADED = all_cases()


def test_every_kernel_is_among_the_threaded_cases():
    assert {function for function, _ in THREADED.values()} == set(cpu.__all__)


# float64 for all cores is compiled for these tests alone
each_type = pytest.mark.parametrize(
    "dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.long)], ids=["f32", "f64"]
)


@each_type
@pytest.mark.parametrize("case", THREADED)
def test_the_number_of_threads_changes_no_bit(case, dtype, threads):
    function, arguments = THREADED[case]
    found = []
    for count in (1, 2, config.NUMBA_NUM_THREADS):
        threads(count)
        found.append([array.tobytes() for array in run(cpu, function, arguments, dtype)])
    assert found[0] == found[1] == found[2]


def test_on_a_processor_with_slow_roots_the_number_of_threads_changes_no_bit(threads):
    # There a quotient of roots, and a row of products and quotients, once depended on whether an
    # element was among a thread's whole vectors or left over. `tox -e generic` tries all kernels.
    chosen = "changes_no_bit and f32 and (adadelta_update or bce-row)"
    done = subprocess.run(
        # -I: what was installed is imported, not what lies in this folder
        [sys.executable, "-I", "-m", "pytest", "-qp", "no:cacheprovider", __file__, "-k", chosen],
        env=os.environ | {"NUMBA_CPU_NAME": "generic"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " 4 passed" in done.stdout.replace("\n", " ")


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT=1: both are one function")
@each_type
@pytest.mark.parametrize("case", THREADED)
def test_what_small_arrays_are_given_to_computes_the_same(case, dtype, monkeypatch):
    # Compiled for one thread and for all, a kernel may add up in another order: sums of at most
    # some hundred numbers, and 4000 roundings are many times what that can change.
    function, arguments = THREADED[case]
    found = []
    for small in (0, 2**62):
        monkeypatch.setattr(_jit, "SMALL", small)
        found.append(run(cpu, function, arguments, dtype))
    for many, one in zip(*found, strict=True):
        scale = np.abs(many[np.isfinite(many)]).max(initial=1.0)
        atol = 4000 * np.finfo(dtype).eps * scale
        np.testing.assert_allclose(one, many, rtol=0, atol=atol)


def test_sizes_alone_decide_whether_all_cores_work(threads, monkeypatch):
    monkeypatch.setattr(_jit, "SMALL", 9)
    compiled = []

    @_jit.kernel
    def double(x, factor, y):
        for i in _jit.prange(x.size):
            y[i] = factor * x[i]

    for count in (1, 2):
        threads(count)
        for numbers in (4, 5):
            y = np.full(numbers, np.nan)
            double(np.arange(float(numbers)), 2.0, y)
            assert (y == 2 * np.arange(numbers)).all()
            compiled.append((len(double.for_one.signatures), len(double.for_all.signatures)))
    assert compiled == [(1, 0), (1, 1), (1, 1), (1, 1)]


TWO_CALLERS = """
import threading
import numpy as np
from numcnn.kernels import cpu
from numcnn.kernels.cpu import _jit

a = np.arange(20_000.0)
wrong = []

def call():
    for _ in range(100):
        y = np.full_like(a, np.nan)
        cpu.add_forward(a, a, y)
        if not (y == 2 * a).all():
            wrong.append(y)

threads = [threading.Thread(target=call) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("wrong:", len(wrong))
"""


def test_two_python_threads_may_call_kernels_at_once():
    done = subprocess.run(
        [sys.executable, "-c", TWO_CALLERS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "wrong: 0\n"), done.stderr
