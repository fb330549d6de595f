"""Compile the kernels of a network before its first step, in several processes.

First every layer is called with kernels that only note what they are called with. That takes a
moment, and leaves a list of what must be compiled. Then this process and its helpers take kernels
from that list, the largest first, until none is left: the compiler works on one kernel at a time in
each process. What a helper has compiled is found in the cache (``kernels/cpu/_cache.py``).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .device import Device
from .layers import no_grad
from .layers.base import Layer
from .losses import CrossEntropyLoss
from .model import Sequential
from .optim import Optimizer

__all__ = ["compile_all", "compile_kernels", "largest_first", "missing_kernels", "name_of"]

Maker = Callable[[Any], Optimizer]
Need = tuple[Any, Any]  # a kernel, and the types of its arguments
Tell = Callable[[int, int], object]
HELPER = "import sys; sys.path[:] = {path!r}; from numcnn import warmup; warmup._serve()"


def compile_kernels(
    network: Sequential,
    shape: tuple[int, ...],
    make_optimizer: Maker,
    jobs: int = 1,
    tell: Tell | None = None,
) -> int:
    """Compile what a step of training, and one of evaluation, need and the cache doesn't have.

    Nothing of the network changes, neither weights nor the state of anything random.

    Parameters
    ----------
    network : Sequential
    shape : tuple of int
        Shape of a training batch; the number of pictures has a say in which kernels serve.
    make_optimizer : callable
        Makes the optimizer from parameters.
    jobs : int
        How many processes compile; more than one needs a cache that can be written.
    tell : callable, optional
        Called as ``tell(done, total)`` at the beginning and after each kernel.

    Returns
    -------
    int
        The number of kernels that were compiled; 0 on a device whose kernels can't be counted.
    """
    if network.device.name != "cpu":
        for visit in _visits(network, shape, make_optimizer):
            visit()
        return 0
    needs = missing_kernels(network, shape, make_optimizer)
    compile_all(needs, jobs, tell)
    return len(needs)


# ---- what must be compiled --------------------------------------------------------------------


def missing_kernels(
    network: Sequential, shape: tuple[int, ...], make_optimizer: Maker
) -> list[Need]:
    """Return the kernels that `compile_kernels` would compile, largest first."""
    from numba import config

    from .kernels.cpu import _compiler

    settings: Any = config
    if settings.DISABLE_JIT:
        return []
    found: dict[Need, None] = {}
    for visit in _visits(network, shape, make_optimizer):
        with _compiler.noting_kernels() as notes:
            visit()
        found.update(dict.fromkeys(notes))
    return largest_first((k, t) for k, t in found if not k.is_ready(t))


def largest_first(needs: Iterable[Need]) -> list[Need]:
    """Return kernels so that the last to be compiled are quickly done."""
    return sorted(needs, key=lambda need: need[0].size, reverse=True)


def name_of(kernel: Any) -> str:
    """Return a kernel's name as its file calls it: max_pool2d.max_pool2d_forward."""
    return f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}"


def _visits(
    network: Sequential, shape: tuple[int, ...], make_optimizer: Maker
) -> Iterator[Callable[[], None]]:
    """Yield functions that run layers, loss and optimizer one by one, each on zeros."""
    network = network.copy()
    network.train()
    with network.without_input_gradient(), np.errstate(all="ignore"):
        for layer in network:
            yield functools.partial(_visit, layer, network.device, shape)
            shape = layer.output_shape(shape)
        yield functools.partial(_visit_loss, network.device, shape)
        yield functools.partial(_visit_optimizer, network, make_optimizer)


def _visit(layer: Layer, device: Device, shape: tuple[int, ...]) -> None:
    y = layer.forward(_zeros(device, shape))
    layer.backward(_zeros(device, y.shape))
    layer.eval()
    with no_grad():
        layer.forward(_zeros(device, shape))
    layer.train()


def _visit_loss(device: Device, shape: tuple[int, ...]) -> None:
    loss = CrossEntropyLoss().to(device.name)
    loss(_zeros(device, shape), np.zeros(shape[:1] + shape[2:], np.int64))
    loss.backward()


def _visit_optimizer(network: Sequential, make_optimizer: Maker) -> None:
    for parameter in network.parameters():
        parameter.zero_grad()
        parameter.add_grad(_zeros(network.device, parameter.shape))
    make_optimizer(network.parameters()).step()


def _zeros(device: Device, shape: tuple[int, ...]) -> Any:
    return device.to_device(np.zeros(shape, np.float32))


# ---- who compiles it --------------------------------------------------------------------------


def compile_all(needs: Iterable[Need], jobs: int = 1, tell: Tell | None = None) -> None:
    """Compile kernels in this process and `jobs` - 1 others, and tell how far it is."""
    waiting = deque(needs)
    total = len(waiting)
    lock = threading.Lock()
    done = 0

    def count(by: int = 1) -> None:
        nonlocal done
        with lock:
            done += by
            if tell is not None:
                tell(done, total)

    count(0)
    with _helpers(min(jobs, total) - 1, waiting, count), _without_garbage_collection():
        while waiting:
            with contextlib.suppress(IndexError):  # a helper was quicker
                kernel, types = waiting.popleft()
                kernel.compile(types)
                count()


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep Python from walking through the compiler's many objects, a twentieth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextlib.contextmanager
def _helpers(number: int, waiting: deque[Need], count: Callable[[], None]) -> Iterator[None]:
    """Run other processes, each with a thread here that hands it one kernel after the other."""
    processes = [_start_helper() for _ in range(number)]
    threads = [
        threading.Thread(target=_feed, args=(process, waiting, count), daemon=True)
        for process in processes
    ]
    try:
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()
    finally:
        for process in processes:
            process.kill()  # it has nothing to do, or nobody waits; entries are written whole
            process.communicate()


def _start_helper() -> subprocess.Popen[bytes]:
    # one thread: others would take time from those who compile
    return subprocess.Popen(
        [sys.executable, "-c", HELPER.format(path=sys.path)],
        env=os.environ | {"NUMBA_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _feed(process: Any, waiting: deque[Need], count: Callable[[], None]) -> None:
    """Hand kernels to a helper, until none is left or the helper is gone."""
    with contextlib.suppress(IndexError, OSError):
        while True:
            kernel, types = waiting.popleft()
            address = kernel.py_func.__module__, kernel.py_func.__name__, kernel.build
            process.stdin.write(pickle.dumps((*address, types)))
            process.stdin.flush()
            if not process.stdout.readline():
                return  # what it was at is compiled when it is needed
            count()


def _serve() -> None:
    """Compile, as a helper, what comes down the line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    with _without_garbage_collection(), contextlib.suppress(EOFError):
        while True:
            module, name, build, types = pickle.load(sys.stdin.buffer)
            with contextlib.suppress(Exception):  # is reported where the kernel is needed
                kernel = getattr(importlib.import_module(module), name)
                getattr(kernel, build).compile(types)
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
