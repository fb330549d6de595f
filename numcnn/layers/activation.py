"""Activations: functions applied to every number, or normalised along one axis."""

from __future__ import annotations

import math
from typing import Any

from ..shapes import ShapeError
from .base import Layer, Shape

__all__ = ["LogSoftmax", "ReLU", "Sigmoid", "Softmax", "Tanh"]


class _Elementwise(Layer):
    """An activation whose slope follows from its output, so that only the output is kept."""

    op: str

    def _forward(self, x: Any) -> Any:
        y = self.device.empty(tuple(x.shape), x.dtype)
        getattr(self.kernels, f"{self.op}_forward")(x.reshape(-1), y.reshape(-1))
        self.save_for_backward(y)
        return y

    def _backward(self, dy: Any) -> Any:
        (y,) = self._saved
        dx = self.device.empty(tuple(y.shape), y.dtype)
        backward = getattr(self.kernels, f"{self.op}_backward_input")
        backward(dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
        return dx


class ReLU(_Elementwise):
    """Rectified linear unit, max(x, 0); the slope at 0 is taken as 0 (Nair and Hinton, 2010).

    Parameters
    ----------
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "relu"

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class Sigmoid(_Elementwise):
    """Logistic sigmoid 1 / (1 + exp(-x)), between 0 and 1."""

    op = "sigmoid"


class Tanh(_Elementwise):
    """Hyperbolic tangent, between -1 and 1."""

    op = "tanh"


class _AlongAxis(Layer):
    """An activation normalised along one axis, seen as the middle one of three."""

    op: str

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """Return the axis."""
        return "" if self.dim is None else f"dim={self.dim}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must have the axis and something on it."""
        if self.dim is None and len(shape) == 3:
            raise ShapeError(
                f"{self!r}: along which axis of shape {shape}? PyTorch would take axis 0 here; "
                f"say dim=0, dim=1 or dim=2"
            )
        axis = 1 if self.dim is None else self.dim
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"{self!r} works along axis {axis}, which shape {shape} doesn't have")
        if shape[axis] == 0:
            raise ShapeError(f"{self!r}: axis {axis} of shape {shape} is empty")
        return shape

    def _view(self, shape: Shape) -> Shape:
        axis = (1 if self.dim is None else self.dim) % len(shape)
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    def _forward(self, x: Any) -> Any:
        y = self.device.empty(tuple(x.shape), x.dtype)
        view = self._view(tuple(x.shape))
        getattr(self.kernels, f"{self.op}_forward")(x.reshape(*view), y.reshape(*view))
        self.save_for_backward(y)
        return y

    def _backward(self, dy: Any) -> Any:
        (y,) = self._saved
        dx = self.device.empty(tuple(y.shape), y.dtype)
        view = self._view(tuple(y.shape))
        backward = getattr(self.kernels, f"{self.op}_backward_input")
        backward(dy.reshape(*view), y.reshape(*view), dx.reshape(*view))
        return dx


class Softmax(_AlongAxis):
    """Turn scores into probabilities that add up to 1: exp(x) / sum(exp(x)).

    Parameters
    ----------
    dim : int, optional
        Axis of the classes; by default 1, the one after the batch (3-D input needs it said).

    Notes
    -----
    `CrossEntropyLoss` takes raw scores and applies the softmax itself; a model that is trained
    with it doesn't end in Softmax.
    """

    op = "softmax"


class LogSoftmax(_AlongAxis):
    """Logarithm of the softmax, without loss of precision; what `NLLLoss` takes.

    Parameters
    ----------
    dim : int, optional
        Axis of the classes; by default 1, the one after the batch (3-D input needs it said).
    """

    op = "log_softmax"
