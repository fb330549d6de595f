"""Compile the kernels of a network before its first step, in two processes.

The compiler works on one kernel at a time in each process. So while this process goes through
the layers from the first to the last, a second one goes from the last to the first; what one has
compiled, the other finds in the cache (``kernels/cpu/_cache.py``), until they meet.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .device import Device
from .layers.base import Layer
from .losses import CrossEntropyLoss
from .model import Sequential
from .optim import Optimizer
from .training import without_input_gradient

__all__ = ["compile_kernels"]

Maker = Callable[[Any], Optimizer]


def compile_kernels(
    network: Sequential, shape: tuple[int, ...], make_optimizer: Maker, helped: bool = False
) -> None:
    """Do what a training step does, so that every kernel it needs is compiled.

    Nothing of the network changes, neither weights nor the state of anything random.

    Parameters
    ----------
    network : Sequential
    shape : tuple of int
        Shape of a training batch; the number of pictures has a say in which kernels serve.
    make_optimizer : callable
        Makes the optimizer from parameters.
    helped : bool
        Let a second process compile the other half. A script that asks for it must be one that
        can be imported (``if __name__ == "__main__":``).
    """
    helper = _helper(network, shape, make_optimizer) if helped else contextlib.nullcontext()
    with helper, _without_garbage_collection():
        _visit_all(network, shape, make_optimizer)


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
def _helper(network: Sequential, shape: tuple[int, ...], make_optimizer: Maker) -> Iterator[Any]:
    """Run `_help` in a second process, and hang up when there is nothing left to do."""
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit locks of our threads
    theirs, ours = spawn.Pipe(duplex=False)
    task = pickle.dumps((network, shape, make_optimizer))
    process = spawn.Process(target=_help, args=(task, theirs), name="numcnn compiler")
    process.start()
    try:
        yield process
    finally:
        ours.close()
        process.terminate()  # what it is just compiling has been compiled here; the cache is safe


def _help(task: bytes, line: Connection) -> None:
    """Compile from the last layer on, until all are compiled or the line is cut."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    os.environ["NUMBA_NUM_THREADS"] = "1"  # its other threads would take time from the compilers
    with contextlib.suppress(Exception):  # whatever fails here is reported where it is needed
        network, shape, make_optimizer = pickle.loads(task)
        with _without_garbage_collection():
            _visit_all(network, shape, make_optimizer, backwards=True, unwanted=line.poll)


def _visit_all(
    network: Sequential,
    shape: tuple[int, ...],
    make_optimizer: Maker,
    backwards: bool = False,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """Run layers, loss and optimizer one by one, each on zeros, until it is `unwanted`."""
    network = network.copy()
    network.train()
    visits: list[Callable[[], None]] = []
    for layer in network:
        visits.append(functools.partial(_visit, layer, network.device, shape))
        shape = layer.output_shape(shape)
    visits.append(functools.partial(_visit_loss, network.device, shape))
    visits.append(functools.partial(_visit_optimizer, network, make_optimizer))
    with without_input_gradient(network):
        for visit in reversed(visits) if backwards else visits:
            if unwanted():
                break
            visit()


def _visit(layer: Layer, device: Device, shape: tuple[int, ...]) -> None:
    y = layer.forward(_zeros(device, shape))
    layer.backward(_zeros(device, y.shape))


def _visit_loss(device: Device, shape: tuple[int, ...]) -> None:
    loss = CrossEntropyLoss().to(device.name)
    loss(_zeros(device, shape), np.zeros(shape[:1] + shape[2:], np.int64))
    loss.backward()


def _visit_optimizer(network: Sequential, make_optimizer: Maker) -> None:
    for parameter in network.parameters():
        parameter.add_grad(_zeros(network.device, parameter.shape))
    make_optimizer(network.parameters()).step()


def _zeros(device: Device, shape: tuple[int, ...]) -> Any:
    return device.to_device(np.zeros(shape, np.float32))
