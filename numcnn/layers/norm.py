"""Normalisation of each example by itself: whole, in groups of channels, or by its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..shapes import ShapeError, as_count
from .base import Layer, Parameter, Shape
from .conv import need_pixels

__all__ = ["GroupNorm", "LayerNorm", "LocalResponseNorm"]


def _ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return the initial weights: a fresh layer leaves mean 0 and variance 1 alone."""
    return np.ones(shape)


def _zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.zeros(shape)


def as_eps(eps: float) -> float:
    """Return `eps`, or say that a variance can only be made larger."""
    if not eps >= 0:
        raise ValueError(f"eps must be 0 or more, got {eps}")
    return float(eps)


class Normalisation(Layer):
    """What the layers share that take mean and variance out and put weight and bias in."""

    def __init__(
        self, shape: Shape, eps: float, weight: bool, bias: bool, device: str, dtype: Any
    ) -> None:
        super().__init__(device, dtype)
        self.eps = as_eps(eps)
        self.weight: Parameter | None = None
        self.bias: Parameter | None = None
        self._affine_shape = shape
        if weight:
            self.weight = Parameter(shape, _ones, self.device, dtype)
        if bias:
            self.bias = Parameter(shape, _zeros, self.device, dtype)

    def macs(self, shape: Shape) -> int:
        """Return one multiplication for each number, where there is a weight."""
        return 0 if self.weight is None else math.prod(self.output_shape(shape))

    def _affine(self, dtype: Any) -> tuple[Any, Any]:
        """Return weight and bias as 1-D arrays; ones and zeros where the layer has none."""
        size = math.prod(self._affine_shape)
        found = []
        for parameter, constant in ((self.weight, 1), (self.bias, 0)):
            if parameter is None:
                found.append(self.device.constant(constant, (size,), dtype))
            else:
                found.append(parameter.data.reshape(size))
        return found[0], found[1]

    def _add_grads(self, dweight: Any, dbias: Any) -> None:
        for parameter, grad in ((self.weight, dweight), (self.bias, dbias)):
            if parameter is not None:
                parameter.add_grad(grad.reshape(*self._affine_shape))

    def _extras(self, affine: str) -> str:
        """Return what the repr shows of eps, weight and bias where they are unusual."""
        text = "" if self.eps == 1e-5 else f", eps={self.eps:g}"
        if self.weight is None:
            return text + f", {affine}=False"
        return text + ("" if self.bias is not None else ", bias=False")


class _ByExample(Normalisation):
    """Layers whose kernels take weight, bias, mean and variance alike; `op` names them."""

    op: str

    def _views(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the shape that the kernels see, and that of mean and variance."""
        raise TypeError(f"{type(self).__name__} must define _views(self, shape)")

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        view, kept = self._views(shape)
        values = x.reshape(*view)
        y = self.device.empty(view, x.dtype)
        mean, var = (self.device.empty(kept, np.float64) for _ in range(2))
        forward = getattr(self.kernels, f"{self.op}_forward")
        forward(values, *self._affine(x.dtype), self.eps, mean, var, y)
        self.save_for_backward(values, mean, var, shape)
        return y.reshape(*shape)

    def _backward(self, dy: Any) -> Any:
        values, mean, var, shape = self._saved
        dy = dy.reshape(*values.shape)
        weight, bias = self._affine(dy.dtype)
        dweight, dbias = (self.device.empty(tuple(a.shape), dy.dtype) for a in (weight, bias))
        if self.weight is not None:
            backward = getattr(self.kernels, f"{self.op}_backward_weight")
            backward(dy, values, mean, var, self.eps, dweight)
        if self.bias is not None:
            getattr(self.kernels, f"{self.op}_backward_bias")(dy, dbias)
        self._add_grads(dweight, dbias)
        if not self.input_gradient:
            return None
        dx = self.device.empty(tuple(values.shape), dy.dtype)
        backward = getattr(self.kernels, f"{self.op}_backward_input")
        backward(dy, values, weight, mean, var, self.eps, dx)
        return dx.reshape(*shape)


class LayerNorm(_ByExample):
    """Give the last axes of every example mean 0 and variance 1; then scale and shift.

    ``y = weight * (x - mean) / sqrt(var + eps) + bias``, where mean and variance (divided by the
    number of values) are those of the last axes together. An example's output doesn't depend on
    what else is in the batch, and training and evaluation are alike (Ba, Kiros and Hinton,
    "Layer normalization", 2016).

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last axes, those that are normalised together.
    eps : float
        Added to the variance, so that equal numbers aren't divided by 0.
    elementwise_affine : bool
        Whether each place has a learnable weight (at first 1) and bias (at first 0).
    bias : bool
        Whether there is a bias beside the weight.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight, bias : Parameter, shape `normalized_shape`, or None

    Raises
    ------
    TypeError, ValueError
        For arguments that make no such layer.

    Examples
    --------
    >>> LayerNorm(3).output_shape((2, 5, 3))
    (2, 5, 3)
    """

    op = "layer_norm"

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        sizes = normalized_shape if isinstance(normalized_shape, Sequence) else [normalized_shape]
        if not sizes:
            raise ValueError("normalized_shape must name at least one axis, got none")
        shape = tuple(as_count(size, "normalized_shape") for size in sizes)
        affine = bool(elementwise_affine)
        super().__init__(shape, eps, affine, affine and bool(bias), device, dtype)
        self.normalized_shape = shape

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        sizes = self.normalized_shape
        return f"{sizes[0] if len(sizes) == 1 else sizes}" + self._extras("elementwise_affine")

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must end in `normalized_shape`."""
        axes = len(self.normalized_shape)
        if shape[-axes:] != self.normalized_shape:
            what = "axis" if axes == 1 else f"{axes} axes"
            raise ShapeError(
                f"{self!r} expects inputs whose last {what} have size {self.normalized_shape}, "
                f"got {shape[-axes:]}: input of shape {shape}"
            )
        return shape

    def window(self) -> None:
        """Return None: every output depends on all that is normalised with it."""
        return

    def _views(self, shape: Shape) -> tuple[Shape, Shape]:
        rows = math.prod(shape[: len(shape) - len(self.normalized_shape)])
        return (rows, math.prod(self.normalized_shape)), (rows,)


class GroupNorm(_ByExample):
    """Cut the channels of every example into groups; give each mean 0 and variance 1.

    ``y = weight[c] * (x - mean) / sqrt(var + eps) + bias[c]``, where mean and variance (divided
    by the number of values) are those of a group's channels and pixels together. An example's
    output doesn't depend on what else is in the batch, and training and evaluation are alike
    (Wu and He, "Group normalization", 2018). One group is a layer normalisation of the whole
    example; as many groups as channels are an instance normalisation.

    Parameters
    ----------
    num_groups : int
        Into how many groups of channels that lie side by side; divides `num_channels`.
    num_channels : int
    eps : float
        Added to the variance, so that equal numbers aren't divided by 0.
    affine : bool
        Whether each channel has a learnable weight (at first 1) and bias (at first 0).
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}
    bias : bool
        Whether there is a bias beside the weight.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None

    Raises
    ------
    TypeError, ValueError
        For arguments that make no such layer.

    Examples
    --------
    >>> GroupNorm(2, 6).output_shape((4, 6, 8, 8))
    (4, 6, 8, 8)
    """

    op = "group_norm"

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str = "cpu",
        dtype: Any = "float32",
        *,
        bias: bool = True,
    ) -> None:
        groups = as_count(num_groups, "num_groups")
        channels = as_count(num_channels, "num_channels")
        if channels % groups:
            raise ValueError(
                f"num_channels={channels} can't be cut into num_groups={groups} equal parts"
            )
        super().__init__((channels,), eps, affine, bool(affine and bias), device, dtype)
        self.num_groups = groups
        self.num_channels = channels

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        return f"{self.num_groups}, {self.num_channels}" + self._extras("affine")

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be (N, num_channels, ...)."""
        need_channels(self, shape, self.num_channels)
        return shape

    def window(self) -> None:
        """Return None: every output depends on its group's whole picture."""
        return

    def _views(self, shape: Shape) -> tuple[Shape, Shape]:
        pixels = math.prod(shape[2:])
        count = self.num_channels // self.num_groups * pixels
        if shape[0] * count == 1:
            raise ShapeError(
                f"{self!r} needs more than 1 value in a group, got 1 (1 channel × 1 pixel): input "
                f"of shape {shape}; every output would be the bias. Use fewer groups"
            )
        return (shape[0], self.num_channels, pixels), (shape[0], self.num_groups)


def need_channels(layer: Layer, shape: Shape, channels: int) -> None:
    """Raise `ShapeError` unless `shape` is (N, channels, ...), with pixels if there are any."""
    if len(shape) < 2:
        raise ShapeError(
            f"{layer!r} expects (N, C, ...), 2 axes or more, got "
            f"{len(shape)} {'axis' if len(shape) == 1 else 'axes'}: {shape}"
        )
    if shape[1] != channels:
        raise ShapeError(
            f"{layer!r} expects {channels} channels (axis 1), got {shape[1]}: "
            f"input of shape {shape}"
        )
    try:
        need_pixels(math.prod(shape[2:]))
    except ShapeError as error:
        raise ShapeError(f"{layer!r}: {error}: input of shape {shape}") from None


class LocalResponseNorm(Layer):
    """Damp every number by the numbers at its place in the channels beside it.

    ``y = x / (k + alpha / size * sum of squares) ** beta``, the sum over a window of `size`
    channels about the number's own: from ``c - size // 2`` to ``c + (size - 1) // 2``, and where
    there is no channel, 0. The divisor is `size` at the edges too. (Krizhevsky, Sutskever and
    Hinton, "ImageNet classification with deep convolutional neural networks", 2012; they don't
    divide alpha by `size`, PyTorch does.)

    Parameters
    ----------
    size : int
        Channels in the window.
    alpha, beta, k : float
        Weight of the squares, exponent, and what stands beside the squares.

    Examples
    --------
    >>> LocalResponseNorm(5).output_shape((2, 96, 27, 27))
    (2, 96, 27, 27)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = as_count(size, "size")
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.k = float(k)

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"{self.size}"
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name):g}"
        return text

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be (N, C, L) or (N, C, H, W) or longer."""
        if len(shape) < 3:
            raise ShapeError(
                f"{self!r} expects (N, C, L) or (N, C, H, W), 3 axes or more, got "
                f"{len(shape)} {'axis' if len(shape) == 1 else 'axes'}: {shape}"
            )
        return shape

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        values = x.reshape(*shape[:2], math.prod(shape[2:]))
        base, y = (self.device.empty(tuple(values.shape), x.dtype) for _ in range(2))
        numbers = (self.size, self.alpha, self.beta)
        self.kernels.local_response_norm_forward(values, *numbers, self.k, base, y)
        self.save_for_backward(values, y, base, shape)
        return y.reshape(*shape)

    def _backward(self, dy: Any) -> Any:
        values, y, base, shape = self._saved
        dx = self.device.empty(tuple(values.shape), dy.dtype)
        numbers = (self.size, self.alpha, self.beta)
        self.kernels.local_response_norm_backward_input(
            dy.reshape(*values.shape), values, y, base, *numbers, dx
        )
        return dx.reshape(*shape)
