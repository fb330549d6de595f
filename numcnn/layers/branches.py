"""Layers side by side: their outputs are added, or put one behind another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..kernels.order import flat, is_last
from ..memory import TooLargeError
from ..shapes import ShapeError, as_axis
from .base import Layer, Shape, Window

__all__ = ["Branches", "Concat", "Identity", "Residual"]


class Identity(Layer):
    """Pass everything on: the branch of a `Concat` that keeps the input.

    Parameters
    ----------
    *args, **kwargs
        Accepted for PyTorch's sake, and ignored.
    """

    either_order = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def _forward(self, x: Any) -> Any:
        self.save_for_backward()
        return x

    def _backward(self, dy: Any) -> Any:
        return dy


class Branches(Layer):
    """What `Residual` and `Concat` share: one input for all branches, and one sum of gradients."""

    either_order = True
    joint = ""  # what becomes of the outputs, for the summary

    def branches(self) -> Iterator[tuple[str, Layer]]:
        """Iterate over (name, layer) of what lies side by side."""
        yield from self.children()

    def __repr__(self) -> str:
        inner = ",\n".join(
            f"  {name}: {branch!r}".replace("\n", "\n  ") for name, branch in self.branches()
        )
        return f"{type(self).__name__}(\n{inner}\n)"

    def _shapes(self, shape: Shape) -> list[tuple[str, Shape]]:
        """Return the output shape of every branch, or say which one can't take the input."""
        found = []
        for name, branch in self.branches():
            try:
                found.append((name, branch.output_shape(shape)))
            except ShapeError as error:
                raise ShapeError(f"{type(self).__name__}, {name}: {error}") from None
        return found

    def _need_memory(self, shape: Shape) -> None:
        """Raise `TooLargeError` for the first branch that would take too much."""
        for name, branch in self.branches():
            try:
                branch._need_memory(shape)
            except TooLargeError as error:
                raise TooLargeError(f"{type(self).__name__}, {name}: {error}") from None
            except ShapeError:
                break  # said below, by the branch's name
        self.output_shape(shape)

    def macs(self, shape: Shape) -> int:
        """Return the multiplications of all branches."""
        return sum(branch.macs(shape) for _, branch in self.branches())

    def window(self) -> Window | None:
        """Return the reach of the branch that sees most, and the common stride."""
        windows = [branch.window() for _, branch in self.branches()]
        seen = [window for window in windows if window is not None]
        if len(seen) < len(windows):
            return None
        height, width = (max(reach[axis] for reach, _ in seen) for axis in (0, 1))
        return (height, width), seen[0][1]

    def _add(self, one: Any, other: Any) -> Any:
        total = self.device.like(one)
        self.kernels.add_forward(flat(one), flat(self.device.match(other, one)), flat(total))
        return total


class Residual(Branches):
    """The sum of a branch and a shortcut: ``branch(x) + shortcut(x)``, or ``branch(x) + x``.

    The gradient of a sum reaches both summands whole, so whatever the branch does, ``dy`` also
    comes through the shortcut undiminished: that is why very deep networks of such blocks can be
    trained (He et al., "Deep residual learning for image recognition", 2016).

    Parameters
    ----------
    branch : Layer
        Usually a `Sequential` of convolutions.
    shortcut : Layer, optional
        What the input passes on the short way, for example a 1×1 convolution where the branch
        changes the number of channels; by default nothing at all.
    names : (str, str)
        How the state dict's keys call the two; an empty name leaves no trace in them.

    Raises
    ------
    ShapeError
        In `forward`, if the two outputs have different shapes.

    Examples
    --------
    >>> from numcnn import BatchNorm2d, Conv2d, ReLU, Residual, Sequential
    >>> block = Residual(Sequential(Conv2d(8, 8, 3, padding=1), BatchNorm2d(8), ReLU()))
    >>> block.output_shape((1, 8, 5, 6))
    (1, 8, 5, 6)
    """

    joint = "sum"
    branch: Layer
    shortcut: Layer | None

    def __init__(
        self,
        branch: Layer,
        shortcut: Layer | None = None,
        *,
        names: tuple[str, str] = ("branch", "shortcut"),
    ) -> None:
        super().__init__()
        for name, layer in (("branch", branch), ("shortcut", shortcut)):
            if not isinstance(layer, Layer) and (layer is not None or name == "branch"):
                raise TypeError(f"the {name} must be a Layer, got {layer!r}")
        if names[0] == names[1]:
            raise ValueError(f"branch and shortcut need two names, got {names[0]!r} for both")
        inner = {names[0]: branch} if shortcut is None else {names[0]: branch, names[1]: shortcut}
        self._children.update(as_named((inner,)))
        object.__setattr__(self, "branch", branch)
        object.__setattr__(self, "shortcut", shortcut)
        refuse_repeated(self)

    def branches(self) -> Iterator[tuple[str, Layer]]:
        """Iterate over the branch and, if there is one, the shortcut."""
        yield "branch", self.branch
        if self.shortcut is not None:
            yield "shortcut", self.shortcut

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the sum."""
        shapes = self._shapes(shape)
        out = shapes[0][1]
        other = shapes[1][1] if len(shapes) > 1 else shape
        if out != other:
            short = "the shortcut gives" if len(shapes) > 1 else "the input, which is added, has"
            hint = ""
            if len(out) == len(other) == 4:
                hint = (
                    f"; a shortcut such as Conv2d({shape[1]}, {out[1]}, 1, stride=...) brings the "
                    f"input to the branch's channels, height and width"
                )
            raise ShapeError(f"Residual: the branch gives {out}, but {short} {other}{hint}")
        return out

    def _forward(self, x: Any) -> Any:
        y = self.branch.forward(x)
        short = x if self.shortcut is None else self.shortcut.forward(x)
        self.save_for_backward()
        return self._add(y, short)

    def _backward(self, dy: Any) -> Any:
        dx = self.branch.backward(dy)
        return self._add(dx, dy if self.shortcut is None else self.shortcut.backward(dy))


class Concat(Branches):
    """The outputs of several branches, one behind another along an axis.

    Every branch gets the same input. Its gradient is the sum of what the branches send back;
    each branch receives its own piece of ``dy`` (Szegedy et al., "Going deeper with
    convolutions", 2015; Huang et al., "Densely connected convolutional networks", 2017).

    Parameters
    ----------
    *branches : Layer, or one mapping of str to Layer
        At least one. With a mapping, the names are those of the state dict's keys.
    dim : int
        The axis; 1 are the channels.

    Raises
    ------
    ShapeError
        In `forward`, if the outputs differ in another axis.

    Examples
    --------
    >>> from numcnn import Concat, Conv2d, Identity
    >>> Concat(Identity(), Conv2d(8, 4, 3, padding=1)).output_shape((1, 8, 5, 6))
    (1, 12, 5, 6)
    """

    joint = "concatenation"

    def __init__(self, *branches: Layer | Mapping[str, Layer], dim: int = 1) -> None:
        super().__init__()
        self.dim = as_axis(dim, "dim")
        self._children.update(as_named(branches))
        if not self._children:
            raise ValueError("Concat needs at least one branch")
        refuse_repeated(self)

    def _axis(self, shape: Shape) -> int:
        if not -len(shape) <= self.dim < len(shape):
            raise ShapeError(f"Concat: there is no axis {self.dim} in a shape of {len(shape)} axes")
        return self.dim % len(shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of everything together."""
        shapes = self._shapes(shape)
        first_name, first = shapes[0]
        axis = self._axis(first)
        for name, other in shapes[1:]:
            if len(other) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(first, other, strict=True)) if i != axis
            ):
                raise ShapeError(
                    f"Concat: branch {first_name} gives {first} and branch {name} gives {other}; "
                    f"they may differ in axis {axis} only"
                )
        return (*first[:axis], sum(out[axis] for _, out in shapes), *first[axis + 1 :])

    def _view(self, array: Any, axis: int) -> Any:
        """Return an array as (axes before, the axis, axes behind)."""
        shape = tuple(array.shape)
        if is_last(array):  # the channels, of every pixel
            return array.transpose(0, 2, 3, 1).reshape(-1, shape[1], 1)
        return array.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))

    def _forward(self, x: Any) -> Any:
        parts = [branch.forward(x) for _, branch in self.branches()]
        shapes = [tuple(part.shape) for part in parts]
        axis = self._axis(shapes[0])
        total = sum(shape[axis] for shape in shapes)
        whole = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
        if axis != 1:  # only channels can be put together as they lie
            parts = [self.device.planes(part) for part in parts]
        y = self.device.like(parts[0], whole)
        begin = 0
        for part in parts:
            part = self.device.match(part, y)
            self.kernels.concat_forward(self._view(part, axis), begin, self._view(y, axis))
            begin += part.shape[axis]
        self.save_for_backward(shapes)
        return y

    def _backward(self, dy: Any) -> Any:
        (shapes,) = self._saved
        axis = self._axis(tuple(dy.shape))
        dy = dy if axis == 1 else self.device.planes(dy)
        begin, dx = 0, None
        for (_, branch), shape in zip(self.branches(), shapes, strict=True):
            dpart = self.device.like(dy, shape)
            self.kernels.concat_backward_input(self._view(dy, axis), begin, self._view(dpart, axis))
            begin += shape[axis]
            own = branch.backward(dpart)
            dx = own if dx is None else self._add(dx, own)
        return dx


def as_named(layers: tuple[Layer | Mapping[str, Layer], ...]) -> dict[str, Layer]:
    """Return layers by name: as the one mapping says, or by their positions.

    Raises
    ------
    TypeError
        If something is no Layer.
    ValueError
        If a name has a dot, which separates names in the state dict's keys.
    """
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        named = {str(name): layer for name, layer in layers[0].items()}
    else:
        named = {str(position): layer for position, layer in enumerate(layers)}  # type: ignore[misc]
    for name, layer in named.items():
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {name} is no Layer but {layer!r}")
        if getattr(layer, "return_indices", False):
            raise ValueError(
                f"layer {name}, {layer!r}, returns two arrays, and layers inside others pass "
                f"one on; leave out return_indices: MaxUnpool2d(..., pool=layer) finds the "
                f"indices of a MaxPool2d without it"
            )
        if "." in name:
            raise ValueError(f"the name of a layer can't have a dot: {name!r}")
    return named


def refuse_repeated(container: Layer) -> None:
    """Raise ValueError if a layer, or a key of the state dict, occurs twice inside `container`."""
    seen: set[int] = set()
    for layer in container.layers():
        if id(layer) in seen:
            raise ValueError(
                f"{layer!r} stands at two places; what a layer keeps for its backward "
                f"pass would be overwritten, so make a second one"
            )
        seen.add(id(layer))
    keys: set[str] = set()
    for key, _, _ in container._named_state():
        if key in keys:
            raise ValueError(
                f"two arrays inside {type(container).__name__} would have the key {key!r} in the "
                f"state dict, and one of them be lost; give the layers other names"
            )
        keys.add(key)
