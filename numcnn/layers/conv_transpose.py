"""Transposed convolution: from small pictures to large ones, with learned filters."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ..init import Uniform
from ..shapes import ShapeError, as_count, as_pair, conv_transpose_output_size
from .base import Layer, Parameter, Shape, Window
from .conv import need_channels, need_groups, need_pixels, within

__all__ = ["ConvTranspose2d"]


class ConvTranspose2d(Layer):
    """Transposed convolution: each pixel of the input draws a filter into the output.

    ``y[n, c, oh, ow] = bias[c] + sum over ci, kh, kw of x[n, ci, ih, iw] weight[ci, c, kh, kw]``
    with ``oh = ih stride - padding + kh dilation``, and likewise ``ow`` (Zeiler, Krishnan, Taylor
    and Fergus, "Deconvolutional networks", 2010; the name in Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning", 2016).

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int or (int, int)
        Height and width of a filter.
    stride : int or (int, int)
        Pixels of the output from one filter to the next: how many times larger it becomes.
    padding : int or (int, int)
        Rows and columns that are cut off all around the *output*. (They are the padding of the
        convolution that would lead back.)
    output_padding : int or (int, int)
        Further rows at the bottom and columns at the right, for a convolution with a stride makes
        one size from several and the way back must be told which. Less than stride or dilation.
    groups : int
        Cut the channels into this many groups that don't see each other.
    bias : bool
        Whether a learnable number is added to each output channel.
    dilation : int or (int, int)
        Distance between the taps of a filter.
    padding_mode : {"zeros"}
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None
        Both drawn from ±1/√fan_in, PyTorch's default, where fan_in is
        out_channels / groups × KH × KW: PyTorch reads the weight as a convolution's.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no transposed convolution.

    Notes
    -----
    A convolution without bias is linear: a matrix C, mostly zeros, times the pixels of x. Its
    gradient brings dy back by the transposed matrix, dx = Cᵀ dy. This layer takes that way back
    as its forward pass, with the weight of the convolution from out_channels to in_channels that
    it reverses. For all x and y::

        <conv x, y> = <x, conv_transpose y>

    which says that the two are adjoint; they are not inverse. So no loop had to be written anew:

    - forward is conv2d's backward_input;
    - the gradient of the input, (Cᵀ)ᵀ = C, is conv2d's forward;
    - the gradient of the weight is conv2d's backward_weight with x and dy exchanged.

    Examples
    --------
    >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1).output_shape((1, 8, 16, 16))
    (1, 3, 32, 32)
    """

    either_order = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.in_channels = as_count(in_channels, "in_channels")
        self.out_channels = as_count(out_channels, "out_channels")
        self.kernel_size = as_pair(kernel_size, "kernel_size")
        self.stride = as_pair(stride, "stride")
        self.padding = as_pair(padding, "padding", 0)
        self.output_padding = as_pair(output_padding, "output_padding", 0)
        self.dilation = as_pair(dilation, "dilation")
        self.groups = as_count(groups, "groups")
        need_groups(self.in_channels, self.out_channels, self.groups)
        for extra, step, gap in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(step, gap):
                raise ValueError(
                    f"output_padding={extra} must be smaller than stride={step} or "
                    f"dilation={gap}: no input would reach the last rows or columns"
                )
        if padding_mode != "zeros":
            raise ValueError(
                f"padding_mode must be 'zeros', got {padding_mode!r}: padding cuts off parts of "
                f"the output here, and there is nothing to fill"
            )
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        draw = Uniform(1 / math.sqrt(math.prod(shape[1:])))
        self.weight = Parameter(shape, draw, self.device, dtype)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter((self.out_channels,), draw, self.device, dtype)

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        defaults = {
            "stride": (1, 1),
            "padding": (0, 0),
            "output_padding": (0, 0),
            "dilation": (1, 1),
            "groups": 1,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, out_channels, OH, OW) for an input of `shape` (N, in_channels, H, W)."""
        need_channels(self, shape, self.in_channels)
        out = []
        for axis, word in enumerate(("height", "width")):
            try:
                need_pixels(shape[2 + axis])
                out.append(
                    conv_transpose_output_size(
                        shape[2 + axis],
                        self.kernel_size[axis],
                        self.stride[axis],
                        self.padding[axis],
                        self.output_padding[axis],
                        self.dilation[axis],
                    )
                )
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
        return (shape[0], self.out_channels, *out)

    def macs(self, shape: Shape) -> int:
        """Return input pixels × taps per input pixel, those included that are cut off."""
        self.output_shape(shape)
        return math.prod(shape) * math.prod(self.weight.shape[1:])

    def window(self) -> Window:
        """Return how far one output sees, and the step from one to the next: 1 / stride."""
        (kernel_h, kernel_w), (stride_h, stride_w) = self.kernel_size, self.stride
        reach_h = 1 + Fraction(self.dilation[0] * (kernel_h - 1), stride_h)
        reach_w = 1 + Fraction(self.dilation[1] * (kernel_w - 1), stride_w)
        return (reach_h, reach_w), (Fraction(1, stride_h), Fraction(1, stride_w))

    def unused(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Return the rows and columns of the input whose whole filter is cut off."""
        out = self.output_shape(shape)

        def cut_off(axis: int) -> list[int]:
            step, padding, gap = self.stride[axis], self.padding[axis], self.dilation[axis]
            taps = range(self.kernel_size[axis])
            return [
                i
                for i in range(shape[2 + axis])
                if not any(0 <= i * step - padding + tap * gap < out[2 + axis] for tap in taps)
            ]

        return cut_off(0), cut_off(1)

    def _geometry(self, shape: Shape) -> tuple[int, ...]:
        """Return the kernels' plain numbers for an output of `shape`."""
        sizes = (size + 2 * pad for size, pad in zip(shape[2:], self.padding, strict=True))
        stride = within(self.stride, tuple(sizes))
        return (*stride, *self.padding, *self.dilation, self.groups)

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        self.kernels.conv2d_backward_input(x, self.weight.data, *self._geometry(tuple(y.shape)), y)
        if self.bias is not None:
            self.kernels.bias2d_forward(y, self.bias.data, y)
        self.save_for_backward(x)
        return y

    def _backward(self, dy: Any) -> Any:
        (x,) = self._saved
        geometry = self._geometry(tuple(dy.shape))
        dweight = self.device.empty(self.weight.shape, dy.dtype)
        self.kernels.conv2d_backward_weight(x, dy, *geometry, dweight)
        self.weight.add_grad(dweight)
        if self.bias is not None:
            dbias = self.device.empty(self.bias.shape, dy.dtype)
            self.kernels.conv2d_backward_bias(dy, dbias)
            self.bias.add_grad(dbias)
        if not self.input_gradient:
            return None
        dx = self.device.pictures(tuple(x.shape), dy.dtype)
        zeros = self.device.constant(0.0, (self.in_channels,), dy.dtype)
        self.kernels.conv2d_forward(dy, self.weight.data, zeros, *geometry, dx)
        return dx
