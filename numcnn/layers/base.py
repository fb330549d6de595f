"""What every layer shares: parameters, devices, checks, and the promise of a backward pass."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..device import Device, get_device, is_gpu_array
from ..init import generator, next_seed
from ..shapes import ShapeError

__all__ = ["Layer", "Parameter", "no_grad"]

Shape = tuple[int, ...]
Initialiser = Callable[[np.random.Generator, Shape], np.ndarray]

_mode = threading.local()


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Run forward passes without keeping what a backward pass would need (per thread)."""
    before = getattr(_mode, "off", False)
    _mode.off = True
    try:
        yield
    finally:
        _mode.off = before


def as_dtype(dtype: Any) -> np.dtype:
    """Return float32 or float64 as a NumPy dtype; refuse every other type."""
    found = np.dtype(dtype)
    if found not in (np.float32, np.float64):
        raise TypeError(f"numcnn computes in float32 or float64, not in {found}")
    return found


def refuse_masked(x: Any, what: str) -> None:
    """Raise TypeError for a masked array, whose mask would be lost without a word."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array; fill it first, for example with x.filled(0)")


def as_array(x: Any, device: Device, dtype: np.dtype | None, what: str) -> Any:
    """Return `x` as a C-contiguous array of `device`, or say why that can't be.

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
    array = np.asarray(x)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{what} must hold real numbers, got an array of dtype {array.dtype}")
    if dtype is None:
        dtype = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
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
        self.grad: Any = None
        self._initialise = initialise
        self._seed = next_seed()
        self._data: Any = None

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype}, device={self.device.name})"

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def data(self) -> Any:
        """The values, an array of the parameter's device."""
        if self._data is None:
            values = self._initialise(generator(self._seed), self.shape)
            self._data = self.device.to_device(np.asarray(values, self.dtype))
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

    def reseed(self, seed: np.random.SeedSequence) -> None:
        """Forget the values; new ones follow from `seed` alone."""
        self._seed = seed
        self._data = None
        self.grad = None

    def add_grad(self, grad: Any) -> None:
        """Take over a gradient, or add it to the one that is there."""
        if self.grad is None:
            self.grad = grad
            return
        total = self.device.empty(self.shape, self.dtype)  # the user may hold the old one
        self.device.kernels.add_forward(self.grad.reshape(-1), grad.reshape(-1), total.reshape(-1))
        self.grad = total

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def move(self, device: Device, dtype: np.dtype) -> None:
        """Bring the values to another device or precision; the gradient is forgotten."""
        if self._data is not None:
            host = np.array(self.device.to_host(self._data), dtype)
            self._data = device.to_device(host)
        self.device = device
        self.dtype = dtype
        self.grad = None


class Layer:
    """Base class of everything that maps an array to an array and a gradient to a gradient.

    A subclass writes ``output_shape``, ``_forward`` and ``_backward``; assigning a `Parameter`
    or another `Layer` to an attribute registers it. ``self.kernels`` is the floor of kernels of
    the layer's device; nothing else in a layer knows where it runs.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`.
    input_gradient : bool
        If False, a layer with parameters may leave its input's gradient out and return None;
        training does so for the first layer, whose input nobody differentiates.
    """

    _parameters: dict[str, Parameter]
    _children: dict[str, Layer]

    def __init__(self, device: str = "cpu", dtype: Any = None) -> None:
        self._parameters = {}
        self._children = {}
        self._saved: Any = None
        self._output: Shape | None = None
        self.training = True
        self.input_gradient = True
        self.device = get_device(device)
        self.dtype = None if dtype is None else as_dtype(dtype)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._parameters[name] = value
        elif isinstance(value, Layer):
            self._children[name] = value
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Return the arguments to show between the parentheses of the repr."""
        return ""

    # ---- the two passes -------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """Return ``self.forward(x)``."""
        return self.forward(x)

    def forward(self, x: Any) -> Any:
        """Return the layer's output for `x`, and keep what `backward` will need.

        Raises
        ------
        ShapeError
            If `x` doesn't fit; the text names the layer, what was expected and what came.
        TypeError
            If `x` doesn't hold real numbers, or lies on another device.
        """
        x = as_array(x, self.device, self.dtype, f"the input of {self!r}")
        self._saved = None
        self.output_shape(tuple(x.shape))
        y = self._forward(x)
        self._output = tuple(y.shape)
        return y

    def backward(self, dy: Any) -> Any:
        """Return the gradient of the input; each parameter gets its gradient in ``.grad``.

        Parameters
        ----------
        dy : array
            Gradient of the loss with respect to the output of the last `forward`.

        Raises
        ------
        RuntimeError
            If no `forward` went before.
        ShapeError
            If `dy` doesn't have the shape of that output.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward was called before forward; it needs what the forward pass "
                f"kept, and predict, evaluate and no_grad keep nothing"
            )
        dy = as_array(dy, self.device, self._saved_dtype(), f"the gradient given to {self!r}")
        if tuple(dy.shape) != self._output:
            raise ShapeError(
                f"{self!r}: the gradient has shape {tuple(dy.shape)}, but the output of the "
                f"last forward pass had shape {self._output}"
            )
        return self._backward(dy)

    def _saved_dtype(self) -> np.dtype | None:
        if self.dtype is not None:
            return self.dtype
        for value in self._saved if isinstance(self._saved, tuple) else ():
            if getattr(value, "dtype", None) in (np.float32, np.float64):
                return np.dtype(value.dtype)
        return None

    def save_for_backward(self, *values: Any) -> None:
        """Keep `values` in ``self._saved`` for the backward pass, unless `no_grad` is on."""
        self._saved = None if getattr(_mode, "off", False) else values

    def _forward(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _forward(self, x)")

    def _backward(self, dy: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _backward(self, dy)")

    # ---- what the layer says of itself ------------------------------------------------------

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`, or raise `ShapeError`."""
        return shape

    def macs(self, shape: Shape) -> int:
        """Return the multiplications with a weight that an input of `shape` takes."""
        return 0

    def window(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Return (reach, stride) of the window that slides over the picture; None: sees all."""
        return (1, 1), (1, 1)

    def unused(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Return the rows and columns of an input of `shape` that no window sees."""
        return [], []

    # ---- parameters -------------------------------------------------------------------------

    @property
    def kernels(self) -> Any:
        """The module of loops for the layer's device."""
        return self.device.kernels

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Iterate over (name, layer) of the layers inside this one."""
        yield from self._children.items()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Iterate over (name, parameter), with the names PyTorch would give."""
        for name, parameter in self._parameters.items():
            yield prefix + name, parameter
        for name, child in self.children():
            yield from child.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over all parameters, those of inner layers included."""
        for _, parameter in self.named_parameters():
            yield parameter

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def layers(self) -> Iterator[Layer]:
        """Iterate over this layer and every layer inside it."""
        yield self
        for _, child in self.children():
            yield from child.layers()

    def reseed(self, seed: int | np.random.SeedSequence) -> None:
        """Make every random choice, initial values included, follow from `seed` alone."""
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        for layer in self.layers():
            layer._reseed_own(root)

    def _reseed_own(self, root: np.random.SeedSequence) -> None:
        for parameter in self._parameters.values():
            parameter.reseed(root.spawn(1)[0])

    def train(self, mode: bool = True) -> Layer:
        """Switch to training (dropout drops); return self."""
        for layer in self.layers():
            layer.training = mode
        return self

    def eval(self) -> Layer:
        """Switch to evaluation (dropout passes everything on); return self."""
        return self.train(False)

    def to(self, device: Any = None, dtype: Any = None) -> Layer:
        """Move to another device or precision, and return self.

        Parameters
        ----------
        device : {"cpu", "cuda", "reference"}, optional
            A dtype may stand here too, as in ``layer.to("float64")``.
        dtype : {"float32", "float64"}, optional
        """
        if dtype is None and device is not None and str(device) not in ("cpu", "cuda", "reference"):
            with contextlib.suppress(TypeError):
                device, dtype = None, as_dtype(device)
        for layer in list(self.layers()):
            layer._move_own(
                layer.device if device is None else get_device(device),
                layer.dtype if dtype is None else as_dtype(dtype),
            )
        return self

    def _move_own(self, device: Device, dtype: np.dtype | None) -> None:
        self.device = device
        self.dtype = dtype
        self._saved = None
        for parameter in self._parameters.values():
            parameter.move(device, parameter.dtype if dtype is None else dtype)

    # ---- weights by name ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of every parameter by name, as NumPy arrays."""
        return {
            name: np.array(parameter.device.to_host(parameter.data))
            for name, parameter in self.named_parameters()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over parameters by name: all of them, or none and an error.

        Parameters
        ----------
        state : mapping of str to array
            Names and shapes as `state_dict` gives them. PyTorch's tensors work too.

        Raises
        ------
        ValueError
            If something is missing, unexpected or of another shape; the text lists it all, and
            the layer is as it was.
        """
        own = dict(self.named_parameters())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        problems = [f"missing: {name} {p.shape}" for name, p in own.items() if name not in arrays]
        problems += [f"unexpected: {n} {a.shape}" for n, a in arrays.items() if n not in own]
        problems += [
            f"{name} has shape {arrays[name].shape}, expected {p.shape}"
            for name, p in own.items()
            if name in arrays and arrays[name].shape != p.shape
        ]
        problems += [
            f"{name} holds {a.dtype}, expected real numbers"
            for name, a in arrays.items()
            if name in own and (a.dtype.kind not in "fiu" or a.dtype.itemsize > 8)
        ]
        if problems:
            raise ValueError(
                "the weights don't fit, nothing was loaded:\n  " + "\n  ".join(problems)
            )
        for name, parameter in own.items():
            parameter.data = arrays[name]
