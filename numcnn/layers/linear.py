"""Fully connected layer, and the flattening that leads to it."""

from __future__ import annotations

import math
from typing import Any

from ..init import Uniform
from ..shapes import ShapeError, as_axis, as_count
from .base import Layer, Parameter, Shape

__all__ = ["Flatten", "Linear"]


def need_features(layer: Layer, wanted: int, shape: Shape) -> None:
    """Raise `ShapeError` unless the last axis of `shape` has `wanted` features."""
    if not shape or shape[-1] != wanted:
        hint = ""
        if len(shape) > 2 and math.prod(shape[1:]) == wanted:
            sizes = "*".join(map(str, shape[1:]))
            hint = f"; {sizes} = {wanted}, so put Flatten() before it"
        elif len(shape) > 2:
            sizes = "*".join(map(str, shape[1:]))
            hint = (
                f"; pictures must be flattened first, which would give "
                f"{sizes} = {math.prod(shape[1:])} features"
            )
        got = f"{shape[-1]}" if shape else "a single number"
        raise ShapeError(
            f"{layer!r} expects {wanted} features (last axis), got {got}: "
            f"input of shape {shape}{hint}"
        )


class Linear(Layer):
    """Fully connected layer, ``y = x Wᵀ + b``, on the last axis of the input.

    Parameters
    ----------
    in_features, out_features : int
        Size of the last axis of input and output.
    bias : bool
        Whether a learnable number is added to each output.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None
        Both drawn from ±1/√in_features, PyTorch's default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.in_features = as_count(in_features, "in_features")
        self.out_features = as_count(out_features, "out_features")
        draw = Uniform(1 / math.sqrt(self.in_features))
        self.weight = Parameter((self.out_features, self.in_features), draw, self.device, dtype)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter((self.out_features,), draw, self.device, dtype)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias else ", bias=False")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (..., out_features) for an input of `shape` (..., in_features)."""
        need_features(self, self.in_features, shape)
        return (*shape[:-1], self.out_features)

    def macs(self, shape: Shape) -> int:
        """Return in_features × out_features per row."""
        return math.prod(shape) * self.out_features

    def window(self) -> None:
        """Return None: every output sees the whole input."""
        return

    def _forward(self, x: Any) -> Any:
        rows = x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), self.in_features)
        y = self.device.empty((rows.shape[0], self.out_features), x.dtype)
        if self.bias is None:
            bias = self.device.constant(0.0, (self.out_features,), x.dtype)
        else:
            bias = self.bias.data
        self.kernels.linear_forward(rows, self.weight.data, bias, y)
        self.save_for_backward(rows, tuple(x.shape))
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def _backward(self, dy: Any) -> Any:
        rows, shape = self._saved
        dy = dy if len(shape) == 2 else dy.reshape(rows.shape[0], self.out_features)
        dweight = self.device.empty(self.weight.shape, dy.dtype)
        self.kernels.linear_backward_weight(dy, rows, dweight)
        self.weight.add_grad(dweight)
        if self.bias is not None:
            dbias = self.device.empty(self.bias.shape, dy.dtype)
            self.kernels.linear_backward_bias(dy, dbias)
            self.bias.add_grad(dbias)
        if not self.input_gradient:
            return None
        dx = self.device.empty(tuple(rows.shape), dy.dtype)
        self.kernels.linear_backward_input(dy, self.weight.data, dx)
        return dx if len(shape) == 2 else dx.reshape(*shape)


class Flatten(Layer):
    """Join the axes from `start_dim` to `end_dim` into one; no number moves.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to join; by default all but the batch.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = as_axis(start_dim, "start_dim")
        self.end_dim = as_axis(end_dim, "end_dim")

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        default = (self.start_dim, self.end_dim) == (1, -1)
        return "" if default else f"start_dim={self.start_dim}, end_dim={self.end_dim}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape` with the axes joined."""
        start, end = (
            axis + len(shape) if axis < 0 else axis for axis in (self.start_dim, self.end_dim)
        )
        if not 0 <= start <= end < len(shape):
            raise ShapeError(
                f"{self!r} can't join axes {self.start_dim} to {self.end_dim} of shape {shape}"
            )
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])

    def window(self) -> None:
        """Return None: what follows sees the whole input."""
        return

    def _forward(self, x: Any) -> Any:
        self.save_for_backward(tuple(x.shape))
        return x.reshape(*self.output_shape(tuple(x.shape)))

    def _backward(self, dy: Any) -> Any:
        return dy.reshape(*self._saved[0])
