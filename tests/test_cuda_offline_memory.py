"""The pool's arrays as the real CUDA packages make them, with addresses but without a GPU.

The simulator has arrays of its own, so what it shows of the pool says nothing of Numba's handles:
who counts the views of an array, and when the memory comes back. Here a made-up address stands for
what the driver would have given. Runs with Numba's own CUDA, and by ``tox -e cudacheck`` with
NVIDIA's.
"""

import contextlib
import gc
import re
import types
from pathlib import Path

import numpy as np
import pytest

from numcnn.kernels.cuda import _cuda, _graph, _memory, _recording, _tape

pytestmark = pytest.mark.skipif(
    _cuda.SIMULATED or _cuda.cuda is None, reason="needs CUDA's real arrays, not the simulator's"
)
FIRST = 0x7F0000000000


@pytest.fixture
def pool(monkeypatch):
    """Return a pool whose blocks lie at made-up addresses."""
    driver = _cuda.cuda.cudadrv.driver
    modern = getattr(_cuda.cuda, "implementation", None) == "NVIDIA" or driver.USE_NV_BINDING
    pointer = driver.binding.CUdeviceptr if modern else driver.drvapi.cu_device_ptr
    made = []

    def device_array(size, dtype):
        assert np.dtype(dtype).itemsize == 1
        made.append(size)
        context = types.SimpleNamespace()
        where = pointer(FIRST + sum(made[:-1]))
        return types.SimpleNamespace(
            gpu_data=types.SimpleNamespace(context=context, device_pointer=where)
        )

    monkeypatch.setattr(_cuda.cuda, "device_array", device_array)
    return _memory.Pool()


address = _cuda.address_of


def test_arrays_lie_in_their_blocks(pool):
    first, second = pool.empty((2, 3, 4), np.float64), pool.empty(7, np.int32)
    assert (first.shape, first.strides, first.dtype) == ((2, 3, 4), (96, 32, 8), np.float64)
    assert (second.shape, second.strides) == ((7,), (4,))
    assert (address(first), address(second)) == (FIRST, FIRST + 512)
    assert first.is_c_contiguous()
    assert address(first.reshape(24)) == FIRST


def test_memory_comes_back_with_the_last_view(pool):
    array = pool.empty((4, 4), np.float32)
    flat = array.reshape(16)
    half = flat.gpu_data.view(32, 64)  # what a slice asks for, which itself wants a driver
    assert address(half) == FIRST + 32
    del array, flat
    gc.collect()
    other = pool.empty((4, 4), np.float32)
    assert (pool.asked, address(other)) == (2, FIRST + 512)
    del half
    gc.collect()
    again = pool.empty((4, 4), np.float32)
    assert (pool.asked, address(again)) == (2, FIRST)


def test_a_thousand_steps_ask_once(pool):
    for _ in range(1000):
        a = pool.empty((3, 5), np.float32)
        b = a.reshape(15)
        del a, b
    gc.collect()
    assert pool.asked == 1


def test_numbers_of_a_tape_lie_in_its_table(pool, monkeypatch):
    """Slices of the table as the real arrays make them; the context that they enter is made up."""
    monkeypatch.setattr(_memory, "POOL", pool)
    monkeypatch.setattr(
        _cuda.cuda.cudadrv.devices._runtime, "ensure_context", contextlib.nullcontext
    )
    tape, asked = _tape.Tape(), []
    with _recording.writing(tape):
        (first,) = tape.numbers(lambda: (2.5,))
        one = _recording.changing(lambda number, x: (number(x),), np.float32, first)
        call = _recording.changing(lambda number, *x: tuple(map(number, x)), np.uint64, 3, 4)
    assert [(a.shape, a.dtype.name) for a in (one, call)] == [((1,), "float32"), ((2,), "uint64")]
    assert [address(a) - FIRST for a in (one, call)] == [0, _tape.APART]
    monkeypatch.setattr(_memory, "send", lambda host, array: asked.append((host.copy(), array)))
    tape.fill()
    ((table, target),) = asked
    assert address(target) == FIRST
    assert table[:4].view(np.float32) == 2.5
    assert table[_tape.APART :][:16].view(np.uint64).tolist() == [3, 4]


@pytest.mark.skipif(_graph.problem() is not None, reason=str(_graph.problem()))
def test_the_driver_has_what_a_graph_asks_for():
    """By name: the functions that ``_graph.py`` calls, in the binding that numba-cuda has."""
    text = Path(_graph.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r"\bcu[A-Z]\w+", text))
    driver = _cuda.cuda.cudadrv.driver
    assert len(names) == 8
    for name in names:
        assert callable(getattr(driver.binding, name)), name
    assert driver.binding.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED == 2
    assert driver.binding.CUstream_flags.CU_STREAM_NON_BLOCKING == _graph.NON_BLOCKING
    assert isinstance(driver.driver, driver.Driver)
    assert callable(_cuda.cuda.external_stream)
    assert callable(_cuda.cuda.defer_cleanup)
