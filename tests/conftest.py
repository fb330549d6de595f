"""What several test files share."""

import numba
import pytest


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
