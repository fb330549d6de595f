"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ..memory import TooLargeError
from ..shapes import ShapeError
from .activation import ReLU
from .base import Layer, Pair, Shape, Window, is_grad_enabled
from .batch_norm import BatchNorm2d
from .branches import as_named, refuse_repeated
from .conv import Conv2d

__all__ = ["Chain"]

CHANNELS = ("in_channels", "out_channels")
WIDTHS = {
    "Conv2d": CHANNELS,
    "ConvTranspose2d": CHANNELS,
    "Linear": ("in_features", "out_features"),
    "LocallyConnected2d": CHANNELS,
}
PASS_ON = {
    "AlphaDropout",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "CircularPad2d",
    "ConstantPad2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "ELU",
    "GELU",
    "Identity",
    "GroupNorm",
    "LayerNorm",
    "LeakyReLU",
    "LocalResponseNorm",
    "GaussianDropout",
    "GaussianNoise",
    "Hardtanh",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2d",
    "PReLU",
    "MaxUnpool2d",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Tanh",
    "ZeroPad2d",
    "Upsample",
}


class Chain(Layer):
    """Layers in a row: forward from first to last, backward from last to first.

    A `ReLU` that follows a layer which can compute it along (`Layer.fuses_relu`) takes no pass of
    its own; what comes out is the same. Where nothing is kept for a backward pass (`no_grad`, and
    so in `predict` and `evaluate`), a `BatchNorm2d` in evaluation goes into the weights of the
    `Conv2d` before it; what comes out is the same to rounding.

    The parts of `numcnn.Sequential` that need nothing but layers.

    Parameters
    ----------
    *layers : Layer, or one mapping of str to Layer
        At least one; the same object can't stand in two places. With a mapping, the names are
        those of the state dict's keys; else the positions are.

    Raises
    ------
    ShapeError
        If two neighbours can't fit, whatever the input; the text names both and their sizes.
    """

    either_order = True

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        super().__init__()
        self._children.update(as_named(layers))
        self._fitting: Shape | None = None  # the last shape that was checked
        refuse_repeated(self)
        self._check_neighbours()

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, place: int | str) -> Layer:
        if isinstance(place, str):
            return self._children[place]
        return list(self._children.values())[place]

    def __iter__(self) -> Any:
        return iter(self._children.values())

    def __repr__(self) -> str:
        inner = ",\n".join(
            f"  {'' if name.isdigit() else f'{name}: '}{layer!r}".replace("\n", "\n  ")
            for name, layer in self._children.items()
        )
        return f"{type(self).__name__}(\n{inner}\n)" if inner else f"{type(self).__name__}()"

    def _check_neighbours(self) -> None:
        """Compare the widths of layers that have weights, where all between keeps the width."""
        before: tuple[str, Layer] | None = None
        for name, layer in self._children.items():
            kind = type(layer).__name__
            if kind in WIDTHS:
                takes, gives = WIDTHS[kind]
                if before and WIDTHS[type(before[1]).__name__] == (takes, gives):
                    out, into = getattr(before[1], gives), getattr(layer, takes)
                    if out != into:
                        raise ShapeError(
                            f"layer {before[0]}, {before[1]!r}, gives {out} {gives[4:]}, but "
                            f"layer {name}, {layer!r}, takes {into}"
                        )
                before = (name, layer)
            elif kind not in PASS_ON:
                before = None

    def _locate(self, error: ShapeError, position: int, shape: Shape) -> ShapeError:
        """Return the error of one layer with the place where it happened."""
        names = list(self._children)
        if position == 0:
            return ShapeError(f"layer {names[0]}: {error}")
        return ShapeError(
            f"layer {names[position]}: {error}. Layer {names[position - 1]} before it, "
            f"{self[position - 1]!r}, gives {shape}"
        )

    def _check_shape(self, shape: Shape) -> None:
        """Raise `ShapeError` before the first layer has run, unless all layers fit `shape`.

        What fitted a moment ago is let through; each layer looks at its own input anyway.
        """
        if shape != self._fitting:
            self._need_memory(shape)
            self._fitting = shape

    def _need_memory(self, shape: Shape) -> None:
        """Raise `TooLargeError` for the first layer that would take too much."""
        self.output_shape(shape)  # what doesn't fit at all is said first
        for position, layer in enumerate(self):
            try:
                layer._need_memory(shape)
            except TooLargeError as error:
                raise TooLargeError(str(self._locate(error, position, shape))) from None
            shape = layer.output_shape(shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the last layer's output for an input of `shape`."""
        for position, layer in enumerate(self):
            try:
                shape = layer.output_shape(shape)
            except ShapeError as error:
                raise self._locate(error, position, shape) from None
        return shape

    def macs(self, shape: Shape) -> int:
        """Return the multiplications of all layers for an input of `shape`."""
        total = 0
        for layer in self:
            total += layer.macs(shape)
            shape = layer.output_shape(shape)
        return total

    def window(self) -> Window | None:
        """Return reach and stride of all layers together."""
        reach: Pair = (1, 1)
        stride: Pair = (1, 1)
        for layer in self:
            inner = layer.window()
            if inner is None:
                return None
            (h, w), (sh, sw) = inner
            reach = reach[0] + (h - 1) * stride[0], reach[1] + (w - 1) * stride[1]
            stride = stride[0] * sh, stride[1] * sw
        return reach, stride

    def _forward(self, x: Any) -> Any:
        layers = list(self._children.values())
        fused = frozenset(place for place, pair in enumerate(pairwise(layers)) if _can_fuse(*pair))
        self.save_for_backward(fused)
        if not is_grad_enabled():
            return _infer(layers, fused, x)
        for place, layer in enumerate(layers):
            if place in fused:
                x = layer.forward_relu(x)
            elif place - 1 in fused:
                assert isinstance(layer, ReLU)
                layer.take_output(x)
            else:
                x = layer.forward(x)
        return x

    def _backward(self, dy: Any) -> Any:
        layers = list(self._children.values())
        fused = {place for place in self._saved[0] if _ran_fused(*layers[place : place + 2])}
        for place, layer in reversed(list(enumerate(layers))):
            if place in fused:
                dy = layer.backward_relu(dy)
            elif place - 1 not in fused:
                dy = layer.backward(dy)
            if dy is None and not any(True for each in layers[:place] for _ in each.parameters()):
                return None
        return dy

    def _first_learner(self) -> Layer:
        layers = list(self._children.values())
        learners = (layer for layer in layers if any(True for _ in layer.parameters()))
        first = next(learners, layers[0] if layers else None)
        return self if first is None else first._first_learner()


def _infer(layers: list[Layer], fused: frozenset[int], x: Any) -> Any:
    """Return the last layer's output; nothing is kept for a backward pass."""
    done = 0
    for place, layer in enumerate(layers):
        if place < done:
            layer.save_for_backward()  # it forgets what it kept of an earlier pass
            continue
        norm, relu = [*layers[place + 1 : place + 3], None, None][:2]
        if isinstance(layer, Conv2d) and isinstance(norm, BatchNorm2d) and _can_fold(layer, norm):
            rectify = relu is not None and type(relu) is ReLU and _alike(layer, relu)
            x = layer.forward_affine(x, *norm.as_affine(), rectify)
            done = place + (3 if rectify else 2)
        elif place in fused:
            x = layer.forward_relu(x)
            done = place + 2
        else:
            x = layer.forward(x)
    return x


def _can_fold(layer: Conv2d, norm: BatchNorm2d) -> bool:
    """Return whether `layer` can take the normalisation behind it into its weights."""
    return layer.fuses_relu() and norm.folds() and _alike(layer, norm)


def _can_fuse(layer: Layer, after: Layer) -> bool:
    """Return whether `layer` can compute the layer behind it along, and nobody misses a call."""
    return type(after) is ReLU and layer.fuses_relu() and _alike(layer, after)


def _alike(layer: Layer, after: Layer) -> bool:
    """Return whether two layers compute in one place, with nobody's functions in between."""
    alike = after.device is layer.device and (after.dtype is None or after.dtype == layer.dtype)
    return alike and _untouched(layer, after)


def _ran_fused(layer: Layer, after: Layer) -> bool:
    """Return whether what both kept is of one pass; either may have run by itself since then."""
    kept = [each._saved[-1] if each._saved else None for each in (layer, after)]
    return kept[0] is not None and kept[0] is kept[1] and _untouched(layer, after)


def _untouched(*layers: Layer) -> bool:
    """Return whether nobody put functions of his own in the place of a layer's."""
    passes = {"forward", "backward", "_forward", "_backward"}
    return all(passes.isdisjoint(vars(layer)) for layer in layers)
