"""Convolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..init import Uniform
from ..memory import need_memory
from ..shapes import (
    PADDING_MODES,
    ShapeError,
    as_count,
    as_pair,
    conv_output_size,
    padded_size,
    span,
    unused_positions,
)
from .base import Layer, Parameter, Shape

__all__ = ["Conv2d"]


def need_pictures(layer: Layer, shape: Shape) -> None:
    """Raise `ShapeError` unless `shape` is that of a batch of pictures, (N, C, H, W)."""
    if len(shape) == 4:
        return
    hint = "; one picture alone needs a batch axis: x[None]" if len(shape) == 3 else ""
    raise ShapeError(
        f"{layer!r} expects a batch of pictures (N, C, H, W), 4 axes, "
        f"got {len(shape)} {'axis' if len(shape) == 1 else 'axes'}: {shape}{hint}"
    )


def need_pixels(size: int) -> None:
    """Raise `ShapeError` for a picture without a single row or column."""
    if size == 0:
        raise ShapeError("the picture is empty, 0 pixels; at least 1 is needed")


def need_channels(layer: Layer, shape: Shape, channels: int) -> None:
    """Raise `ShapeError` unless `shape` is that of a batch of pictures with so many channels."""
    need_pictures(layer, shape)
    if shape[1] != channels:
        raise ShapeError(
            f"{layer!r} expects {channels} input channels (axis 1), "
            f"got {shape[1]}: input of shape {shape}"
        )


def need_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise ValueError unless channels and filters can be cut into groups of one size."""
    for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
        if count % groups:
            raise ValueError(f"{name}={count} can't be cut into groups={groups} equal parts")


def within(stride: tuple[int, int], sizes: tuple[int, ...]) -> tuple[int, int]:
    """Return a stride of at most `sizes`, the pixels that a window moves over.

    Where the first step leads past the end there is one window, and any such step is as good.
    """
    return min(stride[0], sizes[0]), min(stride[1], sizes[1])


class SlidingWindow(Layer):
    """Window arithmetic that layers share whose filters step over a picture."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pads: tuple[tuple[int, int], tuple[int, int]]
    padding_mode: str = "zeros"
    strict: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, out_channels, OH, OW) for an input of `shape` (N, in_channels, H, W)."""
        need_channels(self, shape, self.in_channels)
        out = []
        for axis, word in enumerate(("height", "width")):
            try:
                need_pixels(shape[2 + axis])
                padded_size(shape[2 + axis], *self.pads[axis], self.padding_mode)
                out.append(
                    conv_output_size(
                        shape[2 + axis],
                        self.kernel_size[axis],
                        self.stride[axis],
                        self.pads[axis],
                        self.dilation[axis],
                        self.strict,
                    )
                )
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
        return (shape[0], self.out_channels, *out)

    def macs(self, shape: Shape) -> int:
        """Return output pixels × taps per output pixel."""
        taps = self.in_channels // self.groups * math.prod(self.kernel_size)
        return math.prod(self.output_shape(shape)) * taps

    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how far one output sees, and the step from one to the next."""
        reach = [span(k, d) for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return (reach[0], reach[1]), self.stride

    def unused(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Return the rows and columns of the input that no window sees."""
        out = self.output_shape(shape)
        rows, columns = (
            unused_positions(
                shape[2 + axis],
                self.kernel_size[axis],
                self.stride[axis],
                self.pads[axis][0],
                self.dilation[axis],
                out[2 + axis],
                self.padding_mode,
            )
            for axis in (0, 1)
        )
        return rows, columns


class Conv2d(SlidingWindow):
    """Two-dimensional convolution (cross-correlation) of a batch of pictures.

    ``y[n, co, oh, ow] = bias[co] + sum over ci, kh, kw of x[n, ci, ih, iw] weight[co, ci, kh, kw]``
    with ``ih = oh stride - padding + kh dilation``, and likewise ``iw``
    (LeCun et al., "Gradient-based learning applied to document recognition", 1998).

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output (the number of filters).
    kernel_size : int or (int, int)
        Height and width of a filter.
    stride : int or (int, int)
        Step of the window.
    padding : int, (int, int), "same" or "valid"
        Rows and columns around the picture. ``"same"`` keeps the size (stride 1 only); with an
        even kernel the extra row and column go to the bottom and right.
    dilation : int or (int, int)
        Distance between the taps of a filter.
    groups : int
        Cut the channels into this many groups that don't see each other; ``in_channels`` makes
        it depthwise.
    bias : bool
        Whether a learnable number is added to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What stands in the padding: zeros, the picture mirrored at its edge, its edge going on, or
        the picture from its other side. All but zeros are copied around the picture first
        (``kernels/reference/pad2d.py``), which takes memory for one more picture.
    strict : bool
        Raise where the window doesn't fit without a remainder, instead of leaving out the last
        rows and columns as PyTorch does.
    algorithm : {"auto", "loops", "im2col", "direct", "grouped", "winograd", "fft"}
        Which file of kernels computes it: ``kernels/cpu/conv2d_loops.py`` and so on. "auto" takes
        the fastest. On the GPU {"auto", "loops", "implicit_gemm", "winograd"}; a layer that is
        moved there with another goes on with "auto".
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None
        Both drawn from ±1/√fan_in, PyTorch's default.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no convolution.

    Examples
    --------
    >>> Conv2d(3, 10, 5, padding=2).output_shape((1, 3, 32, 32))
    (1, 10, 32, 32)
    """

    either_order = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        strict: bool = False,
        algorithm: str = "auto",
        device: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(device, dtype)
        self.device.algorithm("conv2d", algorithm)  # an unknown name is refused here
        self.algorithm = algorithm
        self.in_channels = as_count(in_channels, "in_channels")
        self.out_channels = as_count(out_channels, "out_channels")
        self.kernel_size = as_pair(kernel_size, "kernel_size")
        self.stride = as_pair(stride, "stride")
        self.dilation = as_pair(dilation, "dilation")
        self.groups = as_count(groups, "groups")
        self.padding = padding if isinstance(padding, str) else as_pair(padding, "padding", 0)
        self.strict = strict
        need_groups(self.in_channels, self.out_channels, self.groups)
        if padding_mode not in PADDING_MODES:
            known = ", ".join(map(repr, PADDING_MODES))
            raise ValueError(f"padding_mode must be one of {known}, got {padding_mode!r}")
        self.padding_mode = padding_mode
        self.pads = self._sides()
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        draw = Uniform(1 / math.sqrt(math.prod(shape[1:])))
        self.weight = Parameter(shape, draw, self.device, dtype)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter((self.out_channels,), draw, self.device, dtype)

    def _sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the padding at (top, bottom) and (left, right)."""
        if not isinstance(self.padding, str):
            return (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding != "same":
            raise ValueError(f"padding must be numbers, 'same' or 'valid', got {self.padding!r}")
        if self.stride != (1, 1):
            raise ValueError(f"padding='same' needs stride=1, got stride={self.stride}")
        extra = [span(k, d) - 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return (extra[0] // 2, extra[0] - extra[0] // 2), (extra[1] // 2, extra[1] - extra[1] // 2)

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += "" if self.bias is not None else ", bias=False"
        mode = self.padding_mode
        return text + ("" if mode == "zeros" else f", padding_mode={mode!r}")

    def _padding(self) -> tuple[int, int]:
        """Return the padding at top and left."""
        return self.pads[0][0], self.pads[1][0]

    def _pad(self, x: Any) -> Any:
        """Return `x` with its padding, unless that is zeros: the kernels know those themselves."""
        if self.padding_mode == "zeros":
            return x
        sizes = (size + sum(pads) for size, pads in zip(x.shape[2:], self.pads, strict=True))
        shape = (*x.shape[:2], *sizes)
        what = f"{self!r}: the padded picture of shape {shape}"
        need_memory(math.prod(shape) * x.dtype.itemsize, what, "use less padding")
        padded = self.device.pictures(shape, x.dtype)
        mode = PADDING_MODES[self.padding_mode]
        self.kernels.pad2d_forward(x, *self._padding(), mode, 0.0, padded)
        return padded

    def _unpad(self, dx: Any, shape: Shape) -> Any:
        """Return the gradient of a picture of `shape` from that of the padded picture."""
        if self.padding_mode == "zeros":
            return dx
        folded = self.device.pictures(shape, dx.dtype)
        mode = PADDING_MODES[self.padding_mode]
        self.kernels.pad2d_backward_input(dx, *self._padding(), mode, folded)
        return folded

    def _geometry(self, shape: Shape) -> tuple[int, ...]:
        """Return the kernels' plain numbers for a picture of `shape`, copied padding included."""
        padding = self._padding() if self.padding_mode == "zeros" else (0, 0)
        stride = self.stride
        if stride[0] > shape[2] or stride[1] > shape[3]:  # some kernels prepare for every step
            sizes = (size + sum(pads) for size, pads in zip(shape[2:], self.pads, strict=True))
            stride = within(stride, tuple(sizes))
        return (*stride, *padding, *self.dilation, self.groups)

    def _algorithm(self) -> Any:
        """Return the module of loops.

        Float64 has loops alone beside "auto". A device that a layer was moved to may lack what
        the layer asks for; there it is "auto" too.
        """
        name = self.algorithm
        if name == "auto" or (self.dtype == np.float64 and name != "loops"):
            return self.kernels
        if name not in self.device.algorithms("conv2d"):
            return self.kernels
        return self.device.algorithm("conv2d", name)

    def fuses_relu(self) -> bool:
        """Return whether a `ReLU` that follows this layer can be computed in the same pass."""
        if type(self) is not Conv2d or self.device.name == "reference":
            return False
        return hasattr(self._algorithm(), "conv_relu2d_forward")

    def _forward(self, x: Any) -> Any:
        return self._convolve(x, self._algorithm().conv2d_forward, False)

    def _forward_relu(self, x: Any) -> Any:
        return self._convolve(x, self._algorithm().conv_relu2d_forward, True)

    def forward_affine(self, x: Any, factor: Any, shift: Any, relu: bool) -> Any:
        """Return ``factor[c] * self.forward(x) + shift[c]``, if `relu` 0 where that is negative.

        For inference: the factors go into the weights, so that no pass is needed for them.
        """
        bias = 0 if self.bias is None else self.bias.data
        weight = (self.weight.data * factor[:, None, None, None]).astype(self.dtype)
        shares = weight, (bias * factor + shift).astype(self.dtype)
        kernels = self.kernels
        forward = kernels.conv_relu2d_forward if relu else kernels.conv2d_forward
        return self._run(lambda x: self._convolve(x, forward, False, *shares), x)

    def _convolve(
        self, x: Any, forward: Any, keeps_output: bool, weight: Any = None, bias: Any = None
    ) -> Any:
        shape = tuple(x.shape)
        y = self.device.pictures(self.output_shape(shape), x.dtype)
        x = self._pad(x)
        if weight is None:
            weight = self.weight.data
            bias = self._zeros(x.dtype) if self.bias is None else self.bias.data
        forward(x, weight, bias, *self._geometry(tuple(x.shape)), y)
        self.save_for_backward(x, shape, y if keeps_output else None)
        return y

    def _zeros(self, dtype: Any) -> Any:
        return self.device.constant(0.0, (self.out_channels,), dtype)

    def _backward(self, dy: Any) -> Any:
        module = self._algorithm()
        nests = (
            module.conv2d_backward_weight,
            self.kernels.conv2d_backward_bias,
            module.conv2d_backward_input,
        )
        return self._gradients((dy,), *nests)

    def _backward_relu(self, dy: Any) -> Any:
        kernels = self.kernels
        y = self._saved[2]
        if self.device.name == "cuda":  # no kernel there masks as it reads: once, not three times
            dz = self.device.like(dy)
            kernels.relu_backward_input(dy.reshape(-1), y.reshape(-1), dz.reshape(-1))
            return self._backward(dz)
        nests = (
            kernels.conv_relu2d_backward_weight,
            kernels.conv_relu2d_backward_bias,
            kernels.conv_relu2d_backward_input,
        )
        return self._gradients((self.device.match(dy, y), y), *nests)

    def _gradients(self, dy: tuple[Any, ...], of_weight: Any, of_bias: Any, of_input: Any) -> Any:
        """Add the parameters' gradients, and return that of the input."""
        x, shape, _ = self._saved
        dtype = dy[0].dtype
        geometry = self._geometry(tuple(x.shape))
        dweight = self.device.empty(self.weight.shape, dtype)
        of_weight(*dy, x, *geometry, dweight)
        self.weight.add_grad(dweight)
        if self.bias is not None:
            dbias = self.device.empty(self.bias.shape, dtype)
            of_bias(*dy, dbias)
            self.bias.add_grad(dbias)
        if not self.input_gradient:
            return None
        dx = self.device.pictures(tuple(x.shape), dtype)
        of_input(*dy, self.weight.data, *geometry, dx)
        return self._unpad(dx, shape)
