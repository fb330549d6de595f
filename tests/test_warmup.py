"""Compiling before the first step, in this process and with the help of others."""

import json
import os
import subprocess
import sys
import threading
from collections import deque

import numpy as np
import pytest
from numba.core import config

import numcnn
from numcnn import warmup
from numcnn.kernels import cpu

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

# Adds up what every kernel of the process has loaded and compiled.
COUNT = """
def count():
    import sys
    from numcnn.kernels.cpu._compiler import Kernel
    found = {"hits": 0, "misses": 0}
    for name, module in list(sys.modules.items()):
        if name.startswith("numcnn.kernels.cpu."):
            for each in vars(module).values():
                for build in (getattr(each, "for_all", None), getattr(each, "for_one", None)):
                    if isinstance(build, Kernel) and build.py_func.__module__ == name:
                        found["hits"] += sum(build.stats.cache_hits.values())
                        found["misses"] += sum(build.stats.cache_misses.values())
    return found
"""
NETWORK = """
import json
import numpy as np
import numcnn

network = numcnn.Sequential(
    numcnn.Flatten(), numcnn.Linear(9, 5), numcnn.ReLU(), numcnn.Dropout(), numcnn.Linear(5, 2),
    seed=3,
)
"""
STEP = """
x, y = np.ones((4, 1, 3, 3), np.float32), np.arange(4) % 2
network.fit(x, y, batch_size=4, optimizer="sgd", verbose=False)
network.predict(x)
print(json.dumps(count()))
"""
COMPILE = """
from numcnn import warmup

told = []
number = warmup.compile_kernels(
    network, (4, 1, 3, 3), numcnn.SGD, jobs={jobs}, tell=lambda *far: told.append(far)
)
print(json.dumps([number, told, count()]))
"""


def run(code, folder):
    """Run code in a process of its own; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMCNN_CACHE_DIR": str(folder), "NUMCNN_CACHE": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@compiled
@pytest.mark.parametrize("jobs", [1, 2])
def test_it_leaves_nothing_to_compile_for_a_step_nor_needs_the_compiler(tmp_path, jobs):
    number, told, counted = run(NETWORK + COUNT + COMPILE.format(jobs=jobs), tmp_path)
    assert number > 5
    assert sorted(map(tuple, told)) == [(done, number) for done in range(number + 1)]
    if jobs == 1:
        assert counted == {"hits": 0, "misses": number}
    else:  # the helper compiled what this process didn't
        assert 0 < counted["misses"] < number
    # from the cache, a step needs nothing of the compiler
    late = ["scipy.linalg", "numba.np.arraymath"]
    step = STEP.replace("count()", f"[count(), [n for n in {late} if n in sys.modules]]")
    found = run("import sys\n" + NETWORK + COUNT + step, tmp_path)
    assert found == [{"hits": number, "misses": 0}, []]
    assert run(NETWORK + COUNT + COMPILE.format(jobs=jobs), tmp_path)[0] == 0


@compiled
def test_importing_compiles_nothing_and_reads_no_more_than_it_needs(tmp_path):
    late = [
        "matplotlib",
        "torch",
        "numba",
        "numba.cuda",
        "scipy",
        "numcnn.lectures",
        "numcnn.bench",
    ]
    code = f"import json, sys, numcnn; print(json.dumps([n for n in {late} if n in sys.modules]))"
    assert run(code, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


class Kernel:
    """What stands for a kernel here: it notes what it was compiled for."""

    def __init__(self, done):
        self.done = done

    def compile(self, types):
        self.done.append(types)


def test_every_kernel_is_compiled_once_and_counted():
    done, told = [], []
    needs = [(Kernel(done), number) for number in range(5)]
    warmup.compile_all(needs, 1, lambda *far: told.append(far))
    assert done == [0, 1, 2, 3, 4]
    assert told == [(number, 5) for number in range(6)]
    warmup.compile_all([], 4)


@compiled
def test_a_helper_that_dies_stops_nobody(monkeypatch):
    monkeypatch.setattr(warmup, "HELPER", "raise SystemExit({path!r}[:0])")
    kernel = cpu.relu_forward.for_one
    waiting, counted = deque([(kernel, 1), (kernel, 2)]), []
    with warmup._helpers(1, waiting, lambda: counted.append(1)):
        pass
    assert (len(waiting), counted) in ((1, []), (0, []))


@compiled
def test_what_a_thread_notes_another_runs():
    x, y = np.array([-1.0, 2.0]), np.full(2, 7.0)
    cpu.leaky_relu_forward(x, 0.5, y)
    with cpu._compiler.noting_kernels() as notes:
        z = np.full(2, 7.0)
        cpu.hardtanh_forward(x.astype(np.float16), 0.0, 1.0, z)
        thread = threading.Thread(target=cpu.elu_forward, args=(x, 1.0, 1.0, y))
        thread.start()
        thread.join()
    assert [kernel for kernel, _ in notes] == [cpu.hardtanh_forward.for_one]
    assert (z == 7).all()
    assert y[1] == 2


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_nothing_of_the_network_changes(device):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1, 3, 3)), rng.integers(0, 2, 8)
    ends = []
    for ready in (False, True):
        network = numcnn.Sequential(
            numcnn.Conv2d(1, 2, 2),
            numcnn.BatchNorm2d(2),
            numcnn.Flatten(),
            numcnn.Dropout(),
            numcnn.Linear(8, 2),
            device=device,
            seed=3,
        )
        if ready:
            warmup.compile_kernels(network, (4, 1, 3, 3), numcnn.Adam)
        network.fit(x, y, epochs=2, batch_size=4, verbose=False)
        ends.append(network.state_dict())
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
