"""Threads and processes that compute at once: all right, or an error that says what to do.

What may end a process runs in one of its own (checks_concurrency.py).
"""

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numba.core import config

from numcnn import (
    CrossEntropyLoss,
    Dropout,
    EarlyStopping,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    Sequential,
)
from numcnn.kernels.cpu import _jit, _threads
from numcnn.layers import Parameter

compiled = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT=1: kernels don't use Numba's threads"
)
METHODS = [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()]


def has(layer):
    """Return whether Numba can load a threading layer on this machine."""
    code = "import numba; f = numba.njit(parallel=True)(lambda: None); numba.set_num_threads(1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_THREADING_LAYER": layer},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def run(layer, *jobs, timeout=280):
    """Run jobs in a process with a threading layer; return what each of them found."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("checks_concurrency.py")), *jobs],
        env=os.environ | {"NUMBA_THREADING_LAYER": layer},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{jobs} ended with {done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert [each.pop("layer") for each in found.values()] == [layer] * len(jobs)
    return found


@pytest.fixture(params=["omp", "workqueue", "tbb"], scope="module")
def threading_layer(request):
    if not has(request.param):
        pytest.skip(f"Numba can't load the threading layer {request.param} here")
    return request.param


@pytest.fixture(scope="module")
def found(threading_layer):
    """Return what a process found that did all there is to do, one after the other."""
    jobs = [f"children:{method}" for method in METHODS]
    return run(threading_layer, "threads:5", *jobs, *["forks:4"] * hasattr(os, "fork"))


# ---- threads ------------------------------------------------------------------------------------


def check_six_threads(found, rounds):
    assert found["wrong"] == []
    assert found["answers"] == 6 * rounds
    assert found["training again"]


@compiled
def test_six_threads_train_and_predict_as_one_by_one(found):
    check_six_threads(found["threads:5"], 5)


@compiled
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_six_threads_train_and_predict_for_a_minute(threading_layer):
    found = run(threading_layer, "threads:200", timeout=1400)["threads:200"]
    print(threading_layer, found)
    check_six_threads(found, 200)


def in_another_thread(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


class Waits(Layer):
    """Stands still in its forward pass, until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.seen = []

    def _forward(self, x):
        self.inside.set()
        assert self.go_on.wait(60)
        self.seen.append(self.training)
        self.save_for_backward()
        return x

    def _backward(self, dy):
        return dy


def test_a_thread_that_predicts_leaves_the_mode_of_others_alone():
    # Once, the first thread to end its prediction switched the other's dropout on again.
    waits = Waits()
    network = Sequential(waits, Dropout(0.5), seed=0)
    x = np.ones((4, 1000), np.float32)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(network.predict, x)
        assert waits.inside.wait(60)
        assert network.training and waits.training  # here nobody predicts
        waits.go_on.set()
        network.predict(x)
        assert (slow.result() == x).all()
    assert waits.seen == [False, False]
    assert all(layer.training for layer in network.layers())


def test_a_layer_may_choose_its_own_mode_inside_predict():
    class AlwaysDrops(Dropout):
        def _forward(self, x):
            self.training = True
            return super()._forward(x)

    network = Sequential(AlwaysDrops(0.5), seed=0).eval()
    assert (network.predict(np.ones((4, 1000), np.float32)) == 0).any()
    assert not network[0].training


def test_predicting_leaves_alone_what_another_thread_needs_for_backward():
    network = Sequential(Flatten(), Linear(12, 3), seed=0)
    x = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    dy = np.ones((5, 3), np.float32)
    network.forward(x)
    expected = network.backward(dy)
    network.forward(x)
    in_another_thread(network.predict, np.zeros((7, 12), np.float32))
    np.testing.assert_array_equal(network.backward(dy), expected)
    network.predict(x)  # of this thread: what was kept is out of date
    with pytest.raises(RuntimeError, match="predict, evaluate and no_grad keep nothing"):
        network.backward(dy)


def test_threads_that_use_a_parameter_first_get_one_array():
    barrier = threading.Barrier(2, timeout=2)

    def draw(rng, shape):
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait()  # both threads would meet here
        return rng.standard_normal(shape)

    linear = Linear(3, 4)
    parameter = Parameter((3,), draw, linear.device, np.float32)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: parameter.data, range(2))
    assert first is second


def test_what_a_pooling_leaves_for_its_unpooling_belongs_to_one_thread():
    pool, waits = MaxPool2d(2), Waits()
    waits.go_on.set()
    network = Sequential(pool, waits, MaxUnpool2d(2, pool=pool))
    x = np.random.default_rng(0).standard_normal((2, 1, 3, 4, 4)).astype(np.float32)
    expected = [network.predict(part) for part in x]
    waits.go_on.clear()
    waits.inside.clear()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(network.predict, x[0])
        assert waits.inside.wait(60)
        second = threads.submit(network.predict, x[1])
        assert not second.done()
        waits.go_on.set()
        for part, want in zip((first, second), expected, strict=True):
            np.testing.assert_array_equal(part.result(), want)


@pytest.mark.parametrize("shared", ["network", "a layer", "loss", "callback"])
def test_trainings_at_once_that_share_what_they_write_to_are_refused(shared):
    x, y = np.ones((4, 6), np.float32), np.arange(4)
    waits, loss, stop = Waits(), CrossEntropyLoss(), EarlyStopping("loss")
    network = Sequential(waits, Linear(6, 4), seed=0)
    other = {
        "network": network,
        "a layer": Sequential(network[1]),
    }.get(shared, Sequential(Linear(6, 4), seed=1))
    own_loss = loss if shared == "loss" else CrossEntropyLoss()
    callbacks = [stop] if shared == "callback" else []
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(network.fit, x, y, loss=loss, callbacks=[stop], verbose=False)
        assert waits.inside.wait(60)
        with pytest.raises(RuntimeError, match=r"at work in another thread.*model\.copy"):
            other.fit(x, y, loss=own_loss, callbacks=callbacks, verbose=False)
        if shared == "loss":
            with pytest.raises(RuntimeError, match=r"CrossEntropyLoss.* at work in another"):
                other.evaluate(x, y, loss=loss)
        waits.go_on.set()
        assert len(first.result().epochs) == 1
    other.fit(x, y, loss=own_loss, callbacks=callbacks, verbose=False)  # it is free again


# ---- children -----------------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("method", METHODS)
def test_a_child_predicts_what_its_parent_does(threading_layer, found, method):
    found = found[f"children:{method}"]
    assert found["parent goes on"]
    lost = threading_layer == "omp" and method == "fork" and found["told"]
    if lost:  # GNU's OpenMP
        (told,) = found["told"]  # once, though it predicts twice
        assert told == f"RuntimeWarning: {_threads.FORKED}"
        assert "multiprocessing.get_context('spawn')" in told
        assert found["off"] < 1e-5
    else:
        assert found["told"] == []
        assert found["off"] == 0


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
def test_a_fork_in_the_middle_of_kernels_and_compiling_leaves_a_child_that_works(found):
    assert found["forks:4"]["codes"] == [0] * 4


@compiled
@pytest.mark.parametrize("layer", ["omp", "tbb", "workqueue"])
def test_threads_wait_for_each_other_only_where_the_threading_layer_needs_it(layer, monkeypatch):
    @_jit.kernel
    def double(x, y):
        for i in _jit.prange(x.size):
            y[i] = 2 * x[i]

    x, y = np.ones(9), np.empty(9)
    monkeypatch.setattr(_jit, "SMALL", 0)
    monkeypatch.setattr(_threads, "free", False)
    monkeypatch.setattr(_threads, "_layer", lambda: layer)
    double(x, y)
    with ThreadPoolExecutor(1) as pool, _threads._turn:  # as if this thread were inside a kernel
        other = pool.submit(double, x, y)
        time.sleep(0.2)
        assert other.done() == (layer != "workqueue")
    assert other.result() is None


@compiled
def test_kernels_that_are_called_first_by_two_threads_count_their_arrays_once(monkeypatch):
    # Counted twice, arrays would pass for large ones, and the sums' last digits would be others.
    chosen = []
    both = threading.Barrier(2, timeout=60)

    class Meets:
        @property
        def __class__(self):  # which isinstance asks for
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait()
            return Meets

    def compile_kernel(function, **options):
        return lambda *args: chosen.append("all" if "parallel" in options else "one")

    monkeypatch.setattr(_jit, "compile_kernel", compile_kernel)
    monkeypatch.setattr(_jit, "attach", lambda dispatcher, options: dispatcher)
    monkeypatch.setattr(_jit, "SMALL", 10)
    kernel = _jit.kernel(lambda meets, x: None)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(kernel, [Meets(), Meets()], [np.empty(9)] * 2))
    kernel(None, np.empty(9))
    assert chosen == ["one"] * 3
