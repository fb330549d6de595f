"""What several test files share."""

import checks_kernels
import numba
import numpy as np
import pytest
from numba.core import config

from numcnn.kernels.cpu import _jit


@pytest.fixture(autouse=True)
def all_cores(request, monkeypatch):
    """Have kernels' own tests run what is compiled for all cores, however small their arrays.

    But float64 for one core, unless the test is a long one (checks_kernels.py says why).
    Everywhere else the sizes decide, as they do for users, and small arrays take one thread.
    """
    if request.path.stem.startswith("test_kernels"):
        monkeypatch.setattr(_jit, "SMALL", 0)
        if request.node.get_closest_marker("long") is None:
            monkeypatch.setattr(checks_kernels, "FOR_ONE_CORE", [np.dtype(np.float64)])


@pytest.fixture
def one_thread():
    """Run kernels in one thread.

    A test that calls thousands of tiny kernels spends its time waking a second thread for each,
    many times over on a machine that is busy. That results don't depend on the number of threads
    is tested on its own (tests/test_kernels_cpu.py, tests/test_training.py).
    """
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture
def threads():
    """Return set_num_threads; afterwards the number is what it was."""
    if config.DISABLE_JIT:
        pytest.skip("with NUMBA_DISABLE_JIT=1 the kernels run in one thread anyway")
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads; this machine, or NUMBA_NUM_THREADS, allows one")
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)
