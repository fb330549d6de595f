"""What threads must not change: not one bit of any kernel's result.

The cases of every operation are written beside its other tests, as ``threaded_cases()``.
"""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from checks_kernels import run
from numba.core import config

from numcnn.kernels import cpu

# the files that hold cases; each kernel must be in one of them
FAMILIES = (
    "test_kernels_cpu",
    "test_kernels_norms",
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


@pytest.mark.parametrize("case", THREADED)
def test_the_number_of_threads_changes_no_bit(case, threads):
    function, arguments = THREADED[case]
    for dtype in (np.float32, np.float64):
        found = []
        for count in (1, 2, config.NUMBA_NUM_THREADS):
            threads(count)
            found.append([array.tobytes() for array in run(cpu, function, arguments, dtype)])
        assert found[0] == found[1] == found[2]


TWO_CALLERS = """
import threading
import numpy as np
from numcnn.kernels import cpu

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
