"""Where arrays live and which floor of kernels works on them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .kernels import order

__all__ = ["Device", "DeviceError", "get_device"]

NAMES = ("cpu", "cuda", "reference")


class DeviceError(RuntimeError):
    """A device can't be used; the text says why and what would help."""


@functools.cache
def _algorithms(folder: Path, op: str) -> tuple[str, ...]:
    return "auto", *sorted(path.stem.removeprefix(f"{op}_") for path in folder.glob(f"{op}_*.py"))


class Device:
    """A floor of kernels and the arrays it works on.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"cuda"`` or ``"reference"``.
    kernels : module
        ``numcnn.kernels.cpu``, ``.cuda`` or ``.reference``; all three have the same functions.
    """

    def __init__(self, name: str, kernels: ModuleType) -> None:
        self.name = name
        self.kernels = kernels

    def __repr__(self) -> str:
        return f"Device({self.name!r})"

    def __deepcopy__(self, memo: dict) -> Device:
        return self

    def __reduce__(self) -> tuple:
        return get_device, (self.name,)

    def algorithm(self, op: str, name: str) -> ModuleType:
        """Return the module that computes `op` by the algorithm `name`; "auto" chooses by itself.

        Raises
        ------
        ValueError
            If this device has no such algorithm; the text lists those it has.
        """
        if name == "auto":
            return self.kernels
        known = self.algorithms(op)
        if name not in known:
            raise ValueError(
                f"device {self.name!r} computes {op} by {', '.join(known)}, not by {name!r}"
            )
        return importlib.import_module(f"{self.kernels.__name__}.{op}_{name}")

    def algorithms(self, op: str) -> tuple[str, ...]:
        """Return what the algorithms for `op` are called here: its files, and "auto"."""
        return _algorithms(Path(str(self.kernels.__file__)).parent, op)

    def owns(self, array: Any) -> bool:
        """Return whether `array` lives where this device's kernels can reach it."""
        return isinstance(array, np.ndarray)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array whose contents are not yet defined."""
        return np.empty(shape, dtype)

    def pictures(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array (N, C, H, W) that lies as this device's convolution likes it."""
        return self.empty(shape, dtype)

    def like(self, x: Any, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
        """Return a new array that lies in memory as `x` does, by default also of its shape."""
        return self.empty(tuple(x.shape) if shape is None else shape, dtype or x.dtype)

    def match(self, array: Any, x: Any) -> Any:
        """Return `array`, or a copy of it, such that it lies in memory as `x` does."""
        return array

    def takes_last(self, array: np.ndarray, dtype: Any) -> bool:
        """Return whether layers of this device may be handed `array` as it lies, channels last."""
        return False

    def planes(self, array: Any) -> Any:
        """Return `array`, or a copy of it, in NumPy's own order."""
        return array

    def to_device(self, array: np.ndarray) -> Any:
        """Return the host's `array` as an array of this device."""
        return np.asarray(array, order="C")

    def to_host(self, array: Any) -> np.ndarray:
        """Return an array of this device as a NumPy array."""
        return array

    def constant(self, value: float, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array that holds one number everywhere, and that nobody may write to."""
        return np.full(shape, value, dtype)

    def filled(self, value: float, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array that holds one number everywhere, another at each call perhaps."""
        return np.full(shape, value, dtype)

    def send(self, array: Any, dtype: Any) -> Any:
        """Start to bring a host's array here, as numbers of `dtype`; `receive` returns it.

        On the host it is there already, and layers convert what they must.
        """
        return array

    def receive(self, sent: Any) -> Any:
        """Return the array that `send` has sent."""
        return sent

    def numbers(self, make: Callable[[], tuple]) -> tuple:
        """Return what ``make()`` returns: numbers for a kernel that differ from step to step.

        Where the GPU repeats a step of a training, `make` is asked before each repetition. It
        must change nothing.
        """
        return make()

    def repeat(self, action: Callable[[], Any]) -> None:
        """Call `action`, which the host does in every step; also where the GPU repeats one."""
        action()

    def update_all(self, name: str, numbers: tuple, jobs: list[tuple]) -> None:
        """Move parameters, each by the kernel `name` and the same numbers.

        Parameters
        ----------
        jobs : list of (array, tuple of array)
            Of each parameter the gradient, and what the kernel moves: the values and what the
            optimizer keeps; arrays of one axis.
        """
        update = getattr(self.kernels, name)
        for grad, moved in jobs:
            update(grad, *numbers, *moved)

    def feed(self, make: Callable[[], np.ndarray], dtype: Any) -> Any:
        """Return the host's array ``make()`` as one of this device, made anew in every step."""
        return self.receive(self.send(make(), dtype))

    def begin_figures(
        self, losses: Any, scores: Any = None, labels: Any = None, ignore_index: int | None = None
    ) -> Any:
        """Return what `end_figures` makes the sum of the losses and the number of hits of.

        Parameters
        ----------
        losses : array
        scores, labels : array, shapes (N, C, P) and (N, P), optional
            A hit is a label whose class has the highest score; without them there are none.
        ignore_index : int, optional
            Label that counts for nothing.
        """
        hits = 0
        if scores is not None:
            right = scores.argmax(axis=1) == labels
            hits = int((right & (labels != ignore_index)).sum())
        return float(losses.sum(dtype=np.float64)), hits

    def end_figures(self, begun: Any) -> tuple[float, int]:
        """Return (sum of the losses, hits), on the GPU once it has come to that."""
        return begun

    def begin_reading(self, array: Any) -> Any:
        """Return what `end_reading` makes a list of the numbers of `array` of; one axis."""
        return array

    def end_reading(self, begun: Any) -> list[float]:
        """Return the numbers, on the GPU once it has come to them."""
        return begun.tolist()


class CpuDevice(Device):
    """Compiled loops; float32 pictures lie channels last between layers (``kernels/order.py``)."""

    def __init__(self, kernels: ModuleType) -> None:
        super().__init__("cpu", kernels)
        self._order = importlib.import_module(f"{kernels.__name__}._order")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array whose contents are not yet defined."""
        return order.empty(shape, dtype)

    def pictures(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array (N, C, H, W); in float32 it lies channels last."""
        return (order.empty_last if dtype == np.float32 else order.empty)(shape, dtype)

    def like(self, x: Any, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
        """Return a new array that lies in memory as `x` does, by default also of its shape."""
        make = order.empty_last if order.is_last(x) else order.empty
        return make(tuple(x.shape) if shape is None else shape, dtype or x.dtype)

    def match(self, array: Any, x: Any) -> Any:
        """Return `array`, or a copy of it, such that it lies in memory as `x` does."""
        if order.is_last(x):
            return self._order.as_last(array).transpose(0, 3, 1, 2)
        return self._order.as_planes(array)

    def takes_last(self, array: np.ndarray, dtype: Any) -> bool:
        """Return whether layers of this device may be handed `array` as it lies, channels last."""
        return bool(array.dtype == dtype and array.flags.aligned and order.is_last(array))

    def planes(self, array: Any) -> Any:
        """Return `array`, or a copy of it, in NumPy's own order."""
        return self._order.as_planes(array)


class CudaDevice(Device):
    """The GPU: arrays stay there until `to_host` is called.

    Attributes
    ----------
    graphs : bool
        Whether `fit` has the GPU repeat training steps as CUDA graphs; by default, it does.
    """

    def __init__(self, kernels: ModuleType, cuda: ModuleType) -> None:
        super().__init__("cuda", kernels)
        self._cuda = cuda
        self._memory = importlib.import_module(f"{kernels.__name__}._memory")
        self._clip = importlib.import_module(f"{kernels.__name__}._clip")
        self._figures = importlib.import_module(f"{kernels.__name__}._figures")
        self._constants: dict[tuple, Any] = {}
        self._precision = importlib.import_module(f"{kernels.__name__}._precision")
        self._recording = importlib.import_module(f"{kernels.__name__}._recording")
        self._updates = importlib.import_module(f"{kernels.__name__}._updates")
        self.graphs = True

    @property
    def allow_tf32(self) -> bool:
        """Whether tensor cores may round the factors of float32 products; by default, no.

        Convolutions and linear layers then multiply numbers of 10 binary digits instead of 23,
        with errors near 1e-3, on every model of this device. PyTorch's
        ``torch.backends.cudnn.allow_tf32``.
        """
        return bool(self._precision.tf32_allowed())

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        self._precision.allow_tf32(allowed)

    def owns(self, array: Any) -> bool:
        """Return whether `array` lives on the GPU."""
        return bool(self._cuda.is_device_array(array))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new GPU array whose contents are not yet defined."""
        return self._memory.empty(shape, dtype)

    def to_device(self, array: np.ndarray) -> Any:
        """Copy the host's `array` to the GPU."""
        return self._memory.to_device(array)

    def to_host(self, array: Any) -> np.ndarray:
        """Copy a GPU array to the host."""
        return self._cuda.to_host(array)

    def constant(self, value: float, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array that holds one number everywhere; it is copied to the GPU once."""
        key = value, tuple(shape), np.dtype(dtype)
        if key not in self._constants:
            self._constants[key] = self.to_device(np.full(shape, value, dtype))
        return self._constants[key]

    def filled(self, value: float, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a new array that holds one number everywhere; nothing is copied."""
        array = self.empty(shape, dtype)
        ones = self.constant(1.0, shape, dtype)
        self.kernels.scale_forward(ones.reshape(-1), value, array.reshape(-1))
        return array

    def send(self, array: Any, dtype: Any) -> Any:
        """Start to copy the host's `array` to the GPU, which goes on computing meanwhile."""
        return array if self.owns(array) else self._memory.Parcel(array, dtype)

    def receive(self, sent: Any) -> Any:
        """Return the array that was sent; kernels wait for it, the host doesn't."""
        return sent if self.owns(sent) else sent.receive()

    def numbers(self, make: Callable[[], tuple]) -> tuple:
        """Return what ``make()`` returns; in a step that is written down, what stands for it."""
        tape = self._recording.tape()
        return make() if tape is None else tape.numbers(make)

    def repeat(self, action: Callable[[], Any]) -> None:
        """Call `action`; in a step that is written down, behind each repetition instead."""
        tape = self._recording.tape()
        if tape is None:
            action()
        else:
            tape.repeat(action)

    def update_all(self, name: str, numbers: tuple, jobs: list[tuple]) -> None:
        """Move parameters, each by the kernel `name` and the same numbers; by one launch if it can.

        `Device.update_all` describes the arguments.
        """
        left = self._updates.update_together(name, numbers, jobs)
        super().update_all(name, numbers, left)

    def feed(self, make: Callable[[], np.ndarray], dtype: Any) -> Any:
        """Return the host's array ``make()`` as one of the GPU, made anew in every step."""
        tape = self._recording.tape()
        return super().feed(make, dtype) if tape is None else tape.feed(make, dtype)

    def begin_figures(
        self, losses: Any, scores: Any = None, labels: Any = None, ignore_index: int | None = None
    ) -> Any:
        """Have the losses added up and the hits counted, and sent to the host when done."""
        ignored = -1 if ignore_index is None else ignore_index  # no class has a number below 0
        return self.begin_reading(self._figures.add_up(losses, scores, labels, ignored))

    def end_figures(self, begun: Any) -> tuple[float, int]:
        """Return (sum of the losses, hits); the host waits for them here."""
        total, hits = self.end_reading(begun)
        return total, int(hits)

    def begin_reading(self, array: Any) -> Any:
        """Have numbers sent to the host when they are there; in a step that is written down, None.

        There each repetition begins a reading of its own.
        """
        tape = self._recording.tape()
        return self._memory.Reading(array) if tape is None else tape.read(array)

    def end_reading(self, begun: Any) -> list[float]:
        """Return the numbers; the host waits for them here."""
        return begun.wait()

    def clipped(self, arrays: list, max_norm: float) -> list:
        """Return arrays times min(1, max_norm / (their common norm + 1e-6)); nobody waits."""
        return self._clip.clipped(arrays, max_norm)


@functools.cache
def get_device(name: str) -> Device:
    """Return the device called `name`.

    Parameters
    ----------
    name : {"cpu", "cuda", "reference"}
        Compiled loops on every core, loops on an NVIDIA GPU, or plain Python.

    Raises
    ------
    ValueError
        If there is no such device.
    DeviceError
        If ``"cuda"`` can't be used here; the text names the cause and the remedy.
    """
    if name not in NAMES:
        raise ValueError(f"there is no device {name!r}; choose one of {', '.join(NAMES)}")
    if name == "reference":
        return Device(name, importlib.import_module("numcnn.kernels.reference"))
    if name == "cpu":
        return CpuDevice(importlib.import_module("numcnn.kernels.cpu"))
    try:
        cuda = importlib.import_module("numcnn.kernels.cuda._cuda")
        problem = cuda.availability()
    except ImportError as error:
        problem = f"{error}; install numcnn[cuda12] or numcnn[cuda13]"
    if problem:
        raise DeviceError(f"device 'cuda' can't be used: {problem}")
    return CudaDevice(importlib.import_module("numcnn.kernels.cuda"), cuda)


def is_gpu_array(array: Any) -> bool:
    """Return whether `array` is an array of some GPU library, without importing any."""
    marks = ("__cuda_array_interface__", "__cuda_ndarray__")  # the simulator has the latter alone
    return not isinstance(array, np.ndarray) and any(hasattr(array, mark) for mark in marks)
