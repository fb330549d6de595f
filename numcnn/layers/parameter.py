"""Parameters: arrays that training changes; and how arrays of others are taken in."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Device, get_device, is_gpu_array
from ..init import generator, next_seed
from ..memory import need_memory
from ..shapes import ShapeError

__all__ = ["Parameter", "as_array", "as_dtype", "is_ready", "refuse_masked"]

Shape = tuple[int, ...]
Initialiser = Callable[[np.random.Generator, Shape], np.ndarray]
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_drawing = threading.RLock()  # two threads that use a parameter first must get one array


def as_dtype(dtype: Any) -> np.dtype:
    """Return float32 or float64 as a NumPy dtype, float32 for None; refuse every other type."""
    found = np.dtype(np.float32 if dtype is None else dtype)  # NumPy's own None is float64
    if found not in (np.float32, np.float64):
        raise TypeError(f"numcnn computes in float32 or float64, not in {found}")
    return found


def refuse_masked(x: Any, what: str) -> None:
    """Raise TypeError for a masked array, whose mask would be lost without a word."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it first, for example with x.filled(0)")


def is_ready(x: Any, device: Device, dtype: np.dtype | None) -> bool:
    """Return whether `as_array` would return `x` itself, where that is seen at a glance.

    Most arrays come from another layer, and a small network would spend more time on asking than
    on computing.
    """
    if type(x) is not np.ndarray or device.name == "cuda":
        return False
    if x.dtype is not dtype and (dtype is not None or x.dtype not in (FLOAT32, FLOAT64)):
        return False
    flags = x.flags
    return flags.c_contiguous and flags.aligned


def as_array(
    x: Any, device: Device, dtype: np.dtype | None, what: str, either_order: bool = False
) -> Any:
    """Return `x` as a C-contiguous array of `device`, or say why that can't be.

    With `either_order`, pictures that lie channels last (``kernels/order.py``) stay so.

    Numbers of other types are converted to `dtype` (when that is None: float64 stays, all else
    becomes float32). Between host and GPU nothing is copied unasked.
    """
    if device.name == "cuda":
        if not device.owns(x):
            raise TypeError(
                f"{what} is on the host and the layer on the GPU; nothing is copied unasked: "
                f"use layer.device.to_device(x), or model.predict(x), which does it for you"
            )
        if dtype is not None and x.dtype != dtype:
            raise TypeError(f"{what} is {x.dtype} and the layer is {dtype}; convert before copying")
        return x
    if is_gpu_array(x):
        raise TypeError(f"{what} is on the GPU and the layer on the {device.name}")
    refuse_masked(x, what)
    try:
        array = np.asarray(x)
    except ValueError as error:  # such as rows of different lengths
        raise ValueError(f"{what} is no array of numbers: {error}") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{what} must hold real numbers, got an array of dtype {array.dtype}")
    if dtype is None:
        dtype = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
    if device.takes_last(array, dtype):
        return array if either_order else device.planes(array)
    if array.dtype != dtype or not array.flags.c_contiguous:
        need_memory(
            array.size * dtype.itemsize,
            f"{what}, turned into {array.size:,} numbers of {dtype} one behind the other,",
            "give fewer examples at a time",
        )
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


class Parameter:
    """An array that training changes, and its gradient.

    The numbers are made at their first use, so a network of any size is described for free.

    Attributes
    ----------
    data : array
        The values. Assigning an array of the same shape replaces them.
    grad : array or None
        The gradient of the last backward passes, added up; None before the first and after
        `zero_grad`.
    shape : tuple of int
    dtype : numpy.dtype
    """

    def __init__(self, shape: Shape, initialise: Initialiser, device: Device, dtype: Any) -> None:
        self.shape = shape
        self.dtype = as_dtype(dtype)
        self.device = device
        self._grad: Any = None
        self._initialise = initialise
        self._seed = next_seed()
        self._data: Any = None

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype}, device={self.device.name})"

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def data(self) -> Any:
        """The values, an array of the parameter's device."""
        if self._data is None:
            with _drawing:
                if self._data is None:
                    self.need_memory()
                    self._data = self.device.to_device(self.initial())
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        if self.device.owns(values) and self.device.name == "cuda":
            host = self.device.to_host(values)
        else:
            host = as_array(values, get_device("reference"), self.dtype, "data")
        if host.shape != self.shape:
            raise ShapeError(f"the parameter has shape {self.shape}, the new values {host.shape}")
        self._data = self.device.to_device(np.array(host, self.dtype))

    @property
    def grad(self) -> Any:
        """The gradient, an array of the parameter's device, or None."""
        return self._grad

    @grad.setter
    def grad(self, values: Any) -> None:
        if values is not None:  # an optimizer's kernel would read past the end of a smaller one
            values = as_array(values, self.device, self.dtype, f"the gradient of {self!r}")
            if tuple(values.shape) != self.shape:
                raise ShapeError(
                    f"the parameter has shape {self.shape}, the gradient {tuple(values.shape)}"
                )
        self._grad = values

    def need_memory(self) -> None:
        """Raise `TooLargeError` if the values are still to be made, and there is no room."""
        if self._data is None:
            what = f"a parameter of shape {self.shape}, {self.size:,} numbers,"
            need_memory(self.size * self.dtype.itemsize, what, "make the layer smaller")

    @property
    def drawn(self) -> bool:
        """Whether the values exist; until then they are `initial`."""
        return self._data is not None

    def initial(self) -> np.ndarray:
        """Return the values that follow from the seed, on the host, whatever `data` is by now."""
        return np.asarray(self._initialise(generator(self._seed), self.shape), self.dtype)

    def draw_from(self, initialise: Initialiser) -> None:
        """Forget the values; at their first use they will come from `initialise`.

        Parameters
        ----------
        initialise : callable
            ``initialise(rng, shape)`` returns an array. The functions of `numcnn.init` fill at
            once instead, which for a large network that is only looked at would be a waste.
        """
        self._initialise = initialise
        self._data = None

    def reseed(self, seed: np.random.SeedSequence) -> None:
        """Forget the values; new ones follow from `seed` alone."""
        self._seed = seed
        self._data = None
        self._grad = None

    def add_grad(self, grad: Any) -> None:
        """Take over a gradient, or add it to the one that is there."""
        if self._grad is None:
            self._grad = grad
            return
        total = self.device.empty(self.shape, self.dtype)  # the user may hold the old one
        self.device.kernels.add_forward(self._grad.reshape(-1), grad.reshape(-1), total.reshape(-1))
        self._grad = total

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._grad = None

    def move(self, device: Device, dtype: np.dtype) -> None:
        """Bring the values to another device or precision; the gradient is forgotten."""
        if self._data is not None:
            host = np.array(self.device.to_host(self._data), dtype)
            self._data = device.to_device(host)
        self.device = device
        self.dtype = dtype
        self._grad = None
