"""Compiling before the first step, in this process and with a second one's help."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core import config

import numcnn
from numcnn import warmup

HELPER_ALONE = """
import numcnn
from numcnn import warmup
from numcnn.kernels.cpu import _cache

if __name__ == "__main__":
    network = numcnn.Sequential(numcnn.Linear(9, 2), numcnn.ReLU(), seed=3)
    before = len(list(_cache.folder().iterdir()))
    with warmup._helper(network, (4, 9), numcnn.SGD) as process:
        process.join()
    print(before, process.exitcode, *sorted(path.name for path in _cache.folder().iterdir()))
"""


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_the_second_process_hands_its_kernels_over(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(HELPER_ALONE)
    environment = {**os.environ, "NUMCNN_CACHE_DIR": str(tmp_path), "NUMCNN_CACHE": "1"}
    result = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    before, status, *kernels = result.stdout.split()
    assert (before, status) == ("0", "0"), result.stderr
    for name in ("linear_forward", "relu_forward", "relu_backward", "sgd_update", "entropy"):
        assert any(name in kernel for kernel in kernels), (name, kernels)


def test_it_stops_where_nobody_waits():
    network = numcnn.Sequential(numcnn.Linear(9, 2, device="reference"), device="reference")
    asked = []

    def unwanted():
        asked.append(True)
        return len(asked) > 1

    def maker(parameters):
        asked.append("optimizer")
        return numcnn.SGD(parameters)

    warmup._visit_all(network, (4, 9), maker, backwards=True, unwanted=unwanted)
    assert asked == [True, "optimizer", True]


@pytest.mark.parametrize("helped", [False, True])
def test_nothing_of_the_network_changes(helped):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1, 3, 3)), rng.integers(0, 2, 8)
    ends = []
    for compiled in (False, True):
        network = numcnn.Sequential(
            numcnn.Flatten(), numcnn.Dropout(), numcnn.Linear(9, 2), device="reference", seed=3
        )
        if compiled:
            warmup.compile_kernels(network, (4, 1, 3, 3), numcnn.Adam, helped)
        network.fit(x, y, epochs=2, batch_size=4, verbose=False)
        ends.append(network.state_dict())
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
