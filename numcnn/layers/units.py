"""Units with a shape of their own: the threshold, the learned rectifier, the maxout unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..init import Constant
from ..shapes import ShapeError, as_count
from .activation import _Elementwise
from .base import Layer, Parameter, Shape
from .linear import Linear, need_features

__all__ = ["Maxout", "PReLU", "Step", "low_answer"]

LOW = {"signed": -1.0, "binary": 0.0}


def low_answer(convention: str) -> float:
    """Return what a threshold unit says when it is off: -1 ("signed") or 0 ("binary")."""
    if convention not in LOW:
        raise ValueError(
            f"convention must be 'signed' (answers -1 and 1) or 'binary' (answers 0 and 1), "
            f"got {convention!r}"
        )
    return LOW[convention]


class Step(_Elementwise):
    """Threshold unit: 1 where x > 0, else -1 ("signed") or 0 ("binary"); 0 itself is off.

    McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943.

    Parameters
    ----------
    convention : {"signed", "binary"}
        Whether a unit that is off says -1 or 0.

    Raises
    ------
    ValueError
        If `convention` is something else.

    Notes
    -----
    Nothing below a Step can be learned by gradients: the function is level on both sides of its
    jump, so its derivative is 0, and moving a weight by a little changes no output. ``backward``
    returns zeros. A single layer of threshold units is trained without the Step, by the
    perceptron rule: `numcnn.PerceptronLoss` on the weighted sums of a `Linear`, with `SGD`. For
    more layers take Sigmoid or Tanh, which are steps with a slope.
    """

    op = "step"

    def __init__(self, convention: str = "signed") -> None:
        super().__init__()
        self.low = low_answer(convention)
        self.convention = convention

    def extra_repr(self) -> str:
        """Return the convention where it isn't the default."""
        return "" if self.convention == "signed" else f"convention={self.convention!r}"

    def _numbers(self) -> tuple[float, ...]:
        return (self.low,)

    def _backward(self, dy: Any) -> Any:
        dx = self.device.empty(tuple(dy.shape), dy.dtype)
        self.kernels.step_backward_input(dy.reshape(-1), dx.reshape(-1))
        return dx


class PReLU(Layer):
    """Leaky ReLU whose slope on the left is learned: x where x > 0, else ``weight * x``.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015. Weight decay would pull the
    slope to 0, and the unit to a ReLU; the paper uses none for it.

    Parameters
    ----------
    num_parameters : int
        1, one slope for everything, or the number of channels (axis 1), a slope for each.
    init : float
        The slope at the start.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (num_parameters,)
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.num_parameters = as_count(num_parameters, "num_parameters")
        self.init = float(init)
        self.weight = Parameter((self.num_parameters,), Constant(self.init), self.device, dtype)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"num_parameters={self.num_parameters}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, whose axis 1 must have a slope for each channel."""
        channels = shape[1] if len(shape) > 1 else 1
        if self.num_parameters not in (1, channels):
            raise ShapeError(
                f"{self!r} has {self.num_parameters} slopes, one for each channel (axis 1), but "
                f"an input of shape {shape} has {channels}; num_parameters=1 shares one slope"
            )
        return shape

    def _view(self, shape: Shape) -> Shape:
        """Return `shape` as (N, C, P); a shared slope sees one channel and many short rows."""
        if self.num_parameters == 1:
            return math.prod(shape[:-1]), 1, shape[-1] if shape else 1
        return shape[0], shape[1], math.prod(shape[2:])

    def _forward(self, x: Any) -> Any:
        view = x.reshape(*self._view(tuple(x.shape)))
        y = self.device.empty(tuple(view.shape), x.dtype)
        self.kernels.prelu_forward(view, self.weight.data, y)
        self.save_for_backward(view, tuple(x.shape))
        return y.reshape(tuple(x.shape))

    def _backward(self, dy: Any) -> Any:
        x, shape = self._saved
        dy = dy.reshape(tuple(x.shape))
        dweight = self.device.empty(self.weight.shape, dy.dtype)
        self.kernels.prelu_backward_weight(dy, x, dweight)
        self.weight.add_grad(dweight)
        if not self.input_gradient:
            return None
        dx = self.device.empty(tuple(x.shape), dy.dtype)
        self.kernels.prelu_backward_input(dy, x, self.weight.data, dx)
        return dx.reshape(shape)


class Maxout(Layer):
    """Units that learn their own activation: each is the largest of several linear pieces.

    ``y[c] = max over k of (x Wᵀ + b)[c * num_pieces + k]``: with enough pieces any convex
    function. Goodfellow et al., "Maxout networks", 2013.

    Parameters
    ----------
    in_features, out_features : int
        Size of the last axis of input and output.
    num_pieces : int
        Linear functions that each unit chooses from. The first of equal ones wins.
    bias : bool
        Whether a learnable number is added to each piece.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (out_features * num_pieces, in_features)
    bias : Parameter, shape (out_features * num_pieces,), or None
        The pieces of unit c are the rows from ``c * num_pieces`` on. Both are drawn as those of
        a `Linear` are.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_pieces: int,
        bias: bool = True,
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.in_features = as_count(in_features, "in_features")
        self.out_features = as_count(out_features, "out_features")
        self.num_pieces = as_count(num_pieces, "num_pieces")
        rows = self.out_features * self.num_pieces
        # without a name the inner layer leaves no trace in the names of weights
        self._children[""] = Linear(self.in_features, rows, bias, device, dtype)

    @property
    def _linear(self) -> Linear:
        return self._children[""]  # type: ignore[return-value]

    @property
    def weight(self) -> Parameter:
        """The weights of all pieces."""
        return self._linear.weight

    @property
    def bias(self) -> Parameter | None:
        """What is added to each piece."""
        return self._linear.bias

    def extra_repr(self) -> str:
        """Return the arguments."""
        sizes = f"{self.in_features}, {self.out_features}, num_pieces={self.num_pieces}"
        return sizes + ("" if self.bias else ", bias=False")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (..., out_features) for an input of `shape` (..., in_features)."""
        need_features(self, self.in_features, shape)
        return (*shape[:-1], self.out_features)

    def macs(self, shape: Shape) -> int:
        """Return in_features × out_features × num_pieces per row."""
        return self._linear.macs(shape)

    def window(self) -> None:
        """Return None: every output sees the whole input."""
        return

    def _forward(self, x: Any) -> Any:
        pieces = self._linear.forward(x)
        rows = math.prod(x.shape[:-1])
        y = self.device.empty((rows, self.out_features), x.dtype)
        argmax = self.device.empty((rows, self.out_features), np.int32)
        view = pieces.reshape(rows, self.out_features, self.num_pieces)
        self.kernels.maxout_forward(view, y, argmax)
        self.save_for_backward(argmax, tuple(pieces.shape))
        return y.reshape(*x.shape[:-1], self.out_features)

    def _backward(self, dy: Any) -> Any:
        argmax, shape = self._saved
        dpieces = self.device.empty((*argmax.shape, self.num_pieces), dy.dtype)
        self.kernels.maxout_backward_input(dy.reshape(*argmax.shape), argmax, dpieces)
        self._linear.input_gradient = self.input_gradient
        return self._linear.backward(dpieces.reshape(*shape))
