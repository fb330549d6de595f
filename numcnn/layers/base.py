"""What every layer shares: parameters, devices, checks, and the promise of a backward pass."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from ..device import Device, get_device
from ..shapes import ShapeError
from .parameter import Parameter, Shape, as_array, as_dtype, is_ready
from .room import need_room, too_large

__all__ = ["Layer", "Pair", "Parameter", "Shape", "Window", "is_grad_enabled", "no_grad"]

Pair = tuple[int | Fraction, int | Fraction]
Window = tuple[Pair, Pair]
Self = TypeVar("Self", bound="Layer")  # typing.Self came with Python 3.11

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


def is_grad_enabled() -> bool:
    """Return whether forward passes keep what a backward pass needs; `no_grad` turns that off."""
    return not getattr(_mode, "off", False)


@contextlib.contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    """Let `model` and all layers inside it evaluate, in this thread alone and for a while.

    Threads that share a network would otherwise set each other's layers back to training. What
    this thread sets in the meantime is forgotten afterwards.
    """
    before = getattr(_mode, "training", {})
    layers = list(model.layers())  # held, so that no other object gets the id of one of them
    _mode.training = before | dict.fromkeys(map(id, layers), False)
    try:
        yield
    finally:
        _mode.training = before


class Layer:
    """Base class of everything that maps an array to an array and a gradient to a gradient.

    A subclass writes ``output_shape``, ``_forward`` and ``_backward``; assigning a `Parameter`
    or another `Layer` to an attribute registers it. ``self.kernels`` is the floor of kernels of
    the layer's device; nothing else in a layer knows where it runs.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`; False in a thread that is inside `predict` or `evaluate`.
    input_gradient : bool
        If False, a layer with parameters may leave its input's gradient out and return None;
        training does so for the first layer, whose input nobody differentiates.
    either_order : bool
        A class that sets it gets pictures (N, C, H, W) in either order of memory, as they come;
        ``device.like(x)``, ``device.match(a, x)`` and `flat` help to deal with it. Others get
        C-contiguous arrays.
    keeps_for_others : bool
        Whether a forward pass leaves something on the layer that another layer will read, as a
        pooling its indices for `MaxUnpool2d`. `predict` then lets in one thread at a time.
    """

    either_order = False
    keeps_for_others = False
    _parameters: dict[str, Parameter]
    _buffers: list[str]
    _children: dict[str, Layer]
    _saver: int | None = None  # the thread whose forward pass kept what is in _saved

    def __init__(self, device: str | None = "cpu", dtype: Any = None) -> None:
        self._parameters = {}
        self._buffers = []
        self._children = {}
        self._saved: Any = None
        self._output: tuple[Shape, Any] = (), None  # shape and dtype of the last output
        self.training = True
        self.input_gradient = True
        self.device = get_device("cpu" if device is None else device)
        self.dtype = None if dtype is None else as_dtype(dtype)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._parameters[name] = value
        elif isinstance(value, Layer):
            self._children[name] = value
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along: not what a backward pass was to use.

        A copy made in the middle of a training step, which spares the first layer's input
        gradient, has that gradient again.
        """
        return self.__dict__ | {"_saved": None, "_saver": None, "input_gradient": True}

    @property
    def training(self) -> bool:  # noqa: D102  described with the class
        return getattr(_mode, "training", {}).get(id(self), self.__dict__["training"])

    @training.setter
    def training(self, mode: bool) -> None:
        here = getattr(_mode, "training", {})
        if id(self) in here:
            here[id(self)] = mode
        else:
            self.__dict__["training"] = mode

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
        return self._run(self._forward, x)

    def _run(self, forward: Callable[[Any], Any], x: Any) -> Any:
        """Return ``forward(x)`` after checking x; note what a backward pass will be checked by."""
        if not is_ready(x, self.device, self.dtype):
            what = f"the input of {self!r}"
            x = as_array(x, self.device, self.dtype, what, self.either_order)
        noted = self.__dict__  # not by attribute: `__setattr__` costs more than all else here
        if self._lent():
            self._check_shape(tuple(x.shape))
            return forward(x)
        noted["_saved"] = None
        self._check_shape(tuple(x.shape))
        try:
            y = forward(x)
        except MemoryError as error:
            raise too_large(self, error, x) from error
        noted["_output"] = tuple(y.shape), y.dtype
        return y

    def _lent(self) -> bool:
        """Return whether this thread, in `no_grad`, must leave alone what another one has kept."""
        return getattr(_mode, "off", False) and self._saver not in (None, threading.get_ident())

    def forward_relu(self, x: Any) -> Any:
        """Return ``relu(self.forward(x))`` in one pass; where `fuses_relu` says that it can.

        The output is the last of what is kept for `backward_relu`.
        """
        return self._run(self._forward_relu, x)

    def backward_relu(self, dy: Any) -> Any:
        """Return the gradient of the input of `forward_relu`, as `backward` does."""
        return self._backward_relu(self._checked_gradient(dy))

    def fuses_relu(self) -> bool:
        """Return whether a `ReLU` that follows this layer can be computed in the same pass."""
        return False

    def _check_shape(self, shape: Shape) -> None:
        """Raise `ShapeError` unless an input of `shape` fits, and so does what follows from it."""
        self._need_memory(shape)

    def _need_memory(self, shape: Shape) -> None:
        """Raise `TooLargeError` if parameters or output would take more memory than is free."""
        need_room(self, self._parameters.values(), shape)

    def backward(self, dy: Any, input_gradient: bool = True) -> Any:
        """Return the gradient of the input; each parameter gets its gradient in ``.grad``.

        Parameters
        ----------
        dy : array
            Gradient of the loss with respect to the output of the last `forward`.
        input_gradient : bool
            If False, None is returned, and what only the input's gradient needs is left out, as
            PyTorch does for an input that doesn't require a gradient. For the first convolution
            of a network that is often as much work as the gradient of its weights.

        Raises
        ------
        RuntimeError
            If no `forward` went before.
        ShapeError
            If `dy` doesn't have the shape of that output.
        """
        if not input_gradient:
            with self.without_input_gradient():
                self.backward(dy)
            return None
        dy = self._checked_gradient(dy)
        try:
            return self._backward(dy)
        except MemoryError as error:
            raise too_large(self, error, dy) from error

    @contextlib.contextmanager
    def without_input_gradient(self) -> Iterator[None]:
        """Spare, meanwhile, the gradient that a training step throws away: that of the input."""
        first = self._first_learner()
        before = first.input_gradient
        first.input_gradient = False
        try:
            yield
        finally:
            first.input_gradient = before

    def _first_learner(self) -> Layer:
        """Return the layer at which a backward pass may end; all before it learn nothing."""
        return self

    def _checked_gradient(self, dy: Any) -> Any:
        """Return `dy` as an array that `_backward` can take, or say why that can't be."""
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward was called before forward; it needs what the forward pass "
                f"kept, and predict, evaluate and no_grad keep nothing"
            )
        shape, dtype = self._output
        if not is_ready(dy, self.device, dtype):
            what = f"the gradient given to {self!r}"
            dy = as_array(dy, self.device, dtype, what, self.either_order)
        if tuple(dy.shape) != shape:
            raise ShapeError(
                f"{self!r}: the gradient has shape {tuple(dy.shape)}, but the output of the "
                f"last forward pass had shape {shape}"
            )
        return dy

    def save_for_backward(self, *values: Any) -> None:
        """Keep `values` in ``self._saved`` for the backward pass, unless `no_grad` is on."""
        if is_grad_enabled():
            self.__dict__["_saver"] = threading.get_ident()
            self.__dict__["_saved"] = values
        elif not self._lent():
            self.__dict__["_saved"] = None

    def _forward(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _forward(self, x)")

    def _forward_relu(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__} can't compute a ReLU in the same pass")

    def _backward_relu(self, dy: Any) -> Any:
        raise TypeError(f"{type(self).__name__} can't compute a ReLU in the same pass")

    def _backward(self, dy: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _backward(self, dy)")

    # ---- what the layer says of itself ------------------------------------------------------

    def host_work(self) -> str | None:
        """Return what the host does in every pass, in words, if the GPU can't repeat one alone."""
        return None

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`, or raise `ShapeError`."""
        return shape

    def macs(self, shape: Shape) -> int:
        """Return the multiplications with a weight that an input of `shape` takes."""
        return 0

    def window(self) -> Window | None:
        """Return (reach, stride) of the window that slides over the picture; None: sees all.

        So many outputs in a row see at most ``reach + (outputs - 1) * stride`` pixels. Where
        outputs lie closer together than pixels, both are fractions, and a part of a pixel is none.
        """
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
        """Iterate over (name, layer) of the layers inside this one, in PyTorch's order."""
        yield from self._children.items()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Iterate over (name, parameter), with the names PyTorch would give."""
        for name, parameter in self._parameters.items():
            yield prefix + name, parameter
        for name, child in self.children():
            yield from child.named_parameters(_join(prefix, name))

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over all parameters, those of inner layers included."""
        for _, parameter in self.named_parameters():
            yield parameter

    def register_buffer(self, name: str, values: np.ndarray) -> None:
        """Keep `values` as attribute `name`: part of the state dict, but nothing that is learned.

        Floating-point arrays move with the layer to its device and precision; others, which
        count something, stay on the host.
        """
        self._buffers.append(name)
        setattr(self, name, values)

    def _move_buffer(self, name: str, device: Device, dtype: np.dtype | None) -> None:
        values = getattr(self, name)
        if values.dtype.kind == "f":
            host = np.array(self.device.to_host(values), dtype or values.dtype)
            setattr(self, name, device.to_device(host))

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
        if isinstance(seed, np.random.SeedSequence):  # a new one, since each counts its children
            root = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
        else:
            root = np.random.SeedSequence(seed)
        for layer in self.layers():
            layer._reseed_own(root)

    def _reseed_own(self, root: np.random.SeedSequence) -> None:
        for parameter in self._parameters.values():
            parameter.reseed(root.spawn(1)[0])

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to training (dropout drops); return self."""
        for layer in self.layers():
            layer.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch to evaluation (dropout passes everything on); return self."""
        return self.train(False)

    def to(self: Self, device: Any = None, dtype: Any = None) -> Self:
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
        for name in self._buffers:
            self._move_buffer(name, device, dtype)
        self.device = device
        self.dtype = dtype
        self._saved = None
        for parameter in self._parameters.values():
            parameter.move(device, parameter.dtype if dtype is None else dtype)

    # ---- weights by name ----------------------------------------------------------------------

    def _named_state(self, prefix: str = "") -> Iterator[tuple[str, Layer, str]]:
        """Iterate over (name, layer, attribute) of parameters and buffers, in PyTorch's order."""
        for name in (*self._parameters, *self._buffers):
            yield prefix + name, self, name
        for name, child in self.children():
            yield from child._named_state(_join(prefix, name))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of every parameter and buffer by name, as NumPy arrays."""
        return {name: layer._read(own) for name, layer, own in self._named_state()}

    def _read(self, name: str) -> np.ndarray:
        values = getattr(self, name)
        if name in self._parameters:
            return np.array(self.device.to_host(values.data))
        return np.array(self.device.to_host(values) if values.dtype.kind == "f" else values)

    def _write(self, name: str, values: np.ndarray) -> None:
        if name in self._parameters:
            self._parameters[name].data = values
            return
        old = getattr(self, name)
        values = np.array(values, old.dtype)
        setattr(self, name, self.device.to_device(values) if old.dtype.kind == "f" else values)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over parameters and buffers by name: all of them, or none and an error.

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
        if not isinstance(state, Mapping):
            raise TypeError(f"weights come as a mapping of names to arrays, got {state!r:.80}")
        problems = self.misfits(state)
        if problems:
            raise ValueError(
                "the weights don't fit, nothing was loaded:\n  " + "\n  ".join(problems)
            )
        for name, layer, key in self._named_state():
            layer._write(key, np.asarray(state[name]))

    def misfits(self, state: Mapping[str, Any]) -> list[str]:
        """Return what keeps a state dict from being that of this layer, a sentence each."""
        own = {name: (layer, key) for name, layer, key in self._named_state()}
        shapes = {name: tuple(getattr(layer, key).shape) for name, (layer, key) in own.items()}
        arrays = {name: np.asarray(value) for name, value in state.items()}
        problems = [f"missing: {name} {s}" for name, s in shapes.items() if name not in arrays]
        problems += [f"unexpected: {n} {a.shape}" for n, a in arrays.items() if n not in own]
        problems += [
            f"{name} has shape {arrays[name].shape}, expected {shape}"
            for name, shape in shapes.items()
            if name in arrays and arrays[name].shape != shape
        ]
        problems += [
            f"{name} holds {a.dtype}, expected real numbers"
            for name, a in arrays.items()
            if name in own and (a.dtype.kind not in "fiu" or a.dtype.itemsize > 8)
        ]
        return problems


def _join(prefix: str, name: str) -> str:
    """Return the prefix of an inner layer's keys; a layer without a name leaves no trace."""
    return f"{prefix}{name}." if name else prefix
