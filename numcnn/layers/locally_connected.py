"""Locally connected layer: a convolution that shares no weights."""

from __future__ import annotations

import math
from typing import Any

from ..init import Uniform
from ..shapes import ShapeError, as_count, as_pair
from .base import Parameter, Shape
from .conv import SlidingWindow, need_pictures

__all__ = ["LocallyConnected2d"]


class LocallyConnected2d(SlidingWindow):
    """Convolution whose every output pixel has a filter and a bias of its own.

    ``y[n, co, oh, ow] = bias[co, oh, ow] + sum over ci, kh, kw of
    x[n, ci, ih, iw] weight[co, ci, kh, kw, oh, ow]`` with ``ih = oh stride - padding + kh``, and
    likewise ``iw`` (compared with shared weights in LeCun, "Generalization and network design
    strategies", 1989). For pictures that have the same thing at the same place, as aligned faces
    do (Taigman, Yang, Ranzato and Wolf, "DeepFace", 2014). PyTorch has no such layer.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    input_size : int or (int, int)
        Height and width of the pictures; they decide how many filters there are.
    kernel_size : int or (int, int)
        Height and width of a filter.
    stride : int or (int, int)
        Step of the window.
    padding : int or (int, int)
        Zeros around the picture.
    bias : bool
        Whether a learnable number is added to each output.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels, KH, KW, OH, OW)
        ``weight[..., oh, ow]`` is the weight that a `Conv2d` would have.
    bias : Parameter, shape (out_channels, OH, OW), or None
        Both drawn from ±1/√fan_in, as those of `Conv2d`; fan_in = in_channels × KH × KW.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no such layer.

    Notes
    -----
    What sharing saves: five filters of 5 × 5 × 3 have 5 (75 + 1) = 380 parameters as a convolution;
    on pictures of 32 × 32 × 3, with 28 × 28 outputs each, 380 × 784 = 297,920 without sharing.

    Examples
    --------
    >>> layer = LocallyConnected2d(3, 5, 32, 5)
    >>> sum(p.size for p in layer.parameters())
    297920
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: int | tuple[int, int],
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        *,
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.in_channels = as_count(in_channels, "in_channels")
        self.out_channels = as_count(out_channels, "out_channels")
        self.input_size = as_pair(input_size, "input_size")
        self.kernel_size = as_pair(kernel_size, "kernel_size")
        self.stride = as_pair(stride, "stride")
        self.padding = as_pair(padding, "padding", 0)
        self.pads = (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])
        self.biased = bool(bias)
        places = self.output_shape((1, self.in_channels, *self.input_size))[2:]
        draw = Uniform(1 / math.sqrt(self.in_channels * math.prod(self.kernel_size)))
        shape = (self.out_channels, self.in_channels, *self.kernel_size, *places)
        self.weight = Parameter(shape, draw, self.device, dtype)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter((self.out_channels, *places), draw, self.device, dtype)

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}"
        text += f", kernel_size={self.kernel_size}"
        for name, default in (("stride", (1, 1)), ("padding", (0, 0))):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.biased else ", bias=False")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, out_channels, OH, OW) for (N, in_channels, height, width of input_size)."""
        need_pictures(self, shape)
        if tuple(shape[2:]) != self.input_size:
            raise ShapeError(
                f"{self!r} has filters for pictures of {self.input_size} pixels, one for each "
                f"place, got {tuple(shape[2:])}: input of shape {shape}"
            )
        return super().output_shape(shape)

    def _geometry(self) -> tuple[int, ...]:
        return (*self.stride, *self.padding)

    def _forward(self, x: Any) -> Any:
        y = self.device.empty(self.output_shape(tuple(x.shape)), x.dtype)
        if self.bias is None:
            bias = self.device.constant(0.0, tuple(y.shape[1:]), x.dtype)
        else:
            bias = self.bias.data
        self.kernels.locally_connected2d_forward(x, self.weight.data, bias, *self._geometry(), y)
        self.save_for_backward(x)
        return y

    def _backward(self, dy: Any) -> Any:
        (x,) = self._saved
        geometry = self._geometry()
        dweight = self.device.empty(self.weight.shape, dy.dtype)
        self.kernels.locally_connected2d_backward_weight(dy, x, *geometry, dweight)
        self.weight.add_grad(dweight)
        if self.bias is not None:
            dbias = self.device.empty(self.bias.shape, dy.dtype)
            self.kernels.locally_connected2d_backward_bias(dy, dbias)
            self.bias.add_grad(dbias)
        if not self.input_gradient:
            return None
        dx = self.device.empty(tuple(x.shape), dy.dtype)
        self.kernels.locally_connected2d_backward_input(dy, self.weight.data, *geometry, dx)
        return dx
