"""Running a network up to one of its layers and back, and leaving it as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from ..layers import Chain, Layer
from ..layers.base import Shape
from ..layers.parameter import refuse_masked
from ..shapes import ShapeError

__all__ = ["Prefix", "flat", "looking_into", "one_picture", "picture_shape"]


def flat(chain: Chain, before: str = "") -> list[tuple[str, Layer]]:
    """Return (name, layer) in the order in which data passes, rows inside rows unrolled."""
    if not isinstance(chain, Chain):
        raise TypeError(f"the network must be a Sequential, got {type(chain).__name__}")
    found: list[tuple[str, Layer]] = []
    for name, layer in chain.children():
        inside = f"{before}{name}." if name else before
        inner = flat(layer, inside) if isinstance(layer, Chain) else []
        found += inner or [(inside.rstrip("."), layer)]
    return found


def _locate(model: Chain, layer: int | str) -> tuple[str, list[tuple[str, Layer]]]:
    """Return a layer's name, and all layers from the first one to it."""
    rows = flat(model)
    name = str(layer)
    if isinstance(layer, Integral) and not isinstance(layer, bool) and int(layer) < 0:
        name = str(len(model) + int(layer))
    ends = [i for i, (row, _) in enumerate(rows) if row == name or row.startswith(f"{name}.")]
    if not ends:
        known = ", ".join(f"{row} {type(found).__name__}" for row, found in rows)
        raise ValueError(f"the network has no layer {layer!r}; its layers are {known}")
    return name, rows[: ends[-1] + 1]


class Prefix:
    """The first layers of a network, to and including one; arrays are those of the host.

    Parameters
    ----------
    model : Sequential
    layer : int or str
        Position, from the end if negative; or a name as in the state dict, ``"3.1"`` for
        position 1 of a Sequential that stands at position 3.

    Attributes
    ----------
    name : str
        The layer's position or name.
    layer : Layer
    rows : list of (str, Layer)
        Names and layers of the prefix.

    Raises
    ------
    ValueError
        If there is no such layer; the text lists those there are.
    """

    def __init__(self, model: Chain, layer: int | str) -> None:
        self.name, self.rows = _locate(model, layer)
        self.layer = self.rows[-1][1]
        self.model = model
        self.chain = Chain(*(found for _, found in self.rows))
        # Not by .to(), which would move the parameters and forget their gradients.
        self.chain.device, self.chain.dtype = model.device, model.dtype

    @property
    def title(self) -> str:
        """What to call the layer in a picture."""
        return f"layer {self.name} ({type(self.layer).__name__})"

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the layer's output for an input of `shape`."""
        return self.chain.output_shape(shape)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the layer's output for `x`."""
        device = self.model.device
        host = np.asarray(x, self.model.dtype or np.float32)
        return device.to_host(self.chain.forward(device.to_device(host)))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return the gradient of the last input; parameters keep theirs of this pass only."""
        device = self.model.device
        self.model.zero_grad()  # or passes would be added up, which takes time and memory
        host = np.asarray(dy, self.model.dtype or np.float32)
        return device.to_host(self.chain.backward(device.to_device(host)))


@contextlib.contextmanager
def looking_into(model: Layer, training: bool = False) -> Iterator[None]:
    """Switch to evaluation, or training, for a while; afterwards everything is as it was.

    That goes for modes, gradients, running averages, the count of dropout's masks, and for what
    a forward pass kept: a backward pass that was due may follow.
    """
    layers = list(model.layers())
    attributes = [dict(vars(layer)) for layer in layers]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [
        (layer, name, layer._read(name))
        for layer in layers
        for name in layer._buffers
        if training  # evaluation changes none
    ]
    try:
        model.zero_grad()
        model.train(training)
        for layer in layers:
            layer.input_gradient = True
        yield
    finally:
        for layer, was in zip(layers, attributes, strict=True):
            vars(layer).clear()
            vars(layer).update(was)
        for layer, name, values in buffers:
            layer._write(name, values)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def one_picture(x: Any, what: str = "x") -> np.ndarray:
    """Return one picture as a batch of one, (1, C, H, W), or say what came instead."""
    refuse_masked(x, what)
    array = np.asarray(x)
    batch = array[None] if array.ndim == 3 else array
    if batch.ndim != 4 or len(batch) != 1:
        hint = f"; take one of them, {what}[0]" if batch.ndim == 4 else ""
        raise ShapeError(
            f"{what} must be one picture of shape (C, H, W) or (1, C, H, W), "
            f"got shape {array.shape}{hint}"
        )
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"{what} must hold finite real numbers")
    return batch


def picture_shape(model: Chain, shape: tuple[int, ...] | None) -> tuple[int, int, int]:
    """Return (C, H, W): `shape` without its batch axis, by default what the model saw last."""
    found = shape or getattr(model, "input_shape", None)
    if found is None:
        raise ValueError("the size of a picture isn't known; say input_shape=(1, 28, 28) or so")
    if len(found) not in (3, 4):
        raise ShapeError(f"input_shape must be (C, H, W), got {tuple(found)}")
    channels, height, width = found[-3:]
    return int(channels), int(height), int(width)
