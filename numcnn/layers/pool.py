"""Pooling: keep the largest, or the mean, of each window."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..shapes import ShapeError, as_count, as_pair, pool_output_size, span, unused_positions
from .base import Layer, Shape
from .conv import need_pictures, need_pixels

__all__ = ["AvgPool2d", "MaxPool2d"]


class _Pool2d(Layer):
    """Window arithmetic that both kinds of pooling share."""

    either_order = True

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None,
        padding: int | tuple[int, int],
        dilation: int | tuple[int, int],
        ceil_mode: bool,
        strict: bool,
    ) -> None:
        super().__init__()
        self.kernel_size = as_pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else as_pair(stride, "stride")
        self.padding = as_pair(padding, "padding", 0)
        self.dilation = as_pair(dilation, "dilation")
        self.ceil_mode = bool(ceil_mode)
        self.strict = strict
        for pad, kernel in zip(self.padding, self.kernel_size, strict=True):
            if pad > kernel // 2:
                raise ValueError(
                    f"padding={pad} is more than half of kernel_size={kernel}: "
                    f"a window could lie in the padding alone"
                )

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", (0, 0)), ("dilation", (1, 1)), ("ceil_mode", False)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, OH, OW) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        if shape[1] == 0:
            raise ShapeError(f"{self!r}: input of shape {shape} has no channels (axis 1)")
        out = []
        for axis, word in enumerate(("height", "width")):
            try:
                need_pixels(shape[2 + axis])
                out.append(
                    pool_output_size(
                        shape[2 + axis],
                        self.kernel_size[axis],
                        self.stride[axis],
                        self.padding[axis],
                        self.dilation[axis],
                        self.ceil_mode,
                        self.strict,
                    )
                )
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
        return (*shape[:2], *out)

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
                self.padding[axis],
                self.dilation[axis],
                out[2 + axis],
            )
            for axis in (0, 1)
        )
        return rows, columns


class Indexed(Layer):
    """What layers share that keep the largest value of each window and can tell where it stood.

    A subclass calls `_new_argmax` in its ``_forward``.
    """

    return_indices = False
    keep_indices = False
    indices: Any = None
    pooled: Shape = ()

    @property
    def keeps_for_others(self) -> bool:  # type: ignore[override]
        """Whether the indices of a forward pass are kept."""
        return self.keep_indices

    def forward(self, x: Any) -> Any:
        """Return the output for `x`; with ``return_indices=True`` the pair (output, indices).

        Returns
        -------
        y : array, shape (N, C, OH, OW)
        indices : array of int64, shape (N, C, OH, OW)
            ``ih * W + iw`` of each winner, counted in its plane; -1 where a window saw no pixel.

        Raises
        ------
        ShapeError, TypeError
            As every layer does, if `x` doesn't fit.
        """
        y = super().forward(x)
        return (y, self.indices) if self.return_indices else y

    def _new_argmax(self, x: Any, y: Any) -> Any:
        """Return the array to note winners in; what somebody will read has torch's type."""
        argmax = self.device.like(y, dtype=np.int64 if self.keep_indices else np.int32)
        self.indices = argmax if self.keep_indices else None
        self.pooled = tuple(x.shape)
        return argmax

    def _move_own(self, device: Any, dtype: Any) -> None:
        super()._move_own(device, dtype)
        self.indices = None


class MaxPool2d(Indexed, _Pool2d):
    """Keep the largest value of each window; its gradient goes to that value's place alone.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Step of the window; by default its size, so that windows don't overlap.
    padding : int or (int, int)
        Rows and columns around the picture that never win; at most half of the window.
    dilation : int or (int, int)
        Distance between the pixels of a window.
    return_indices : bool
        Let `forward` return (output, indices): also where each winner stood, for `MaxUnpool2d`.
        Such a layer can't stand in a `Sequential`, which passes one array on; there,
        ``MaxUnpool2d(..., pool=layer)`` needs no indices to be returned.
    ceil_mode : bool
        Let a last window hang over the edge rather than leave out the last rows.
    strict : bool
        Raise where the window doesn't fit without a remainder.

    Attributes
    ----------
    indices : array of int64 or None
        Where the winners of the last forward pass stood, ``ih * W + iw`` in each plane; -1 where
        a window saw no pixel. Kept only with `return_indices`, or where a `MaxUnpool2d` needs it.

    Notes
    -----
    On a tie the first pixel in row-major order wins, on every device. A NaN in the window wins.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        strict: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, strict)
        self.return_indices = self.keep_indices = bool(return_indices)
        self.asked: Shape | None = None

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        return super().extra_repr() + ", return_indices=True" * self.return_indices

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, OH, OW) for an input of `shape` (N, C, H, W)."""
        out = super().output_shape(shape)
        self.asked = tuple(shape)  # a MaxUnpool2d that undoes this layer gives this size
        return out

    def _geometry(self) -> tuple[int, ...]:
        return (*self.kernel_size, *self.stride, *self.padding, *self.dilation)

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        argmax = self._new_argmax(x, y)
        self.kernels.max_pool2d_forward(x, *self._geometry(), y, argmax)
        self.save_for_backward(argmax, tuple(x.shape), x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        argmax, shape, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self.kernels.max_pool2d_backward_input(dy, argmax, *self._geometry(), dx)
        return dx


class AvgPool2d(_Pool2d):
    """Keep the mean of each window; its gradient is spread over the window evenly.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Step of the window; by default its size.
    padding : int or (int, int)
        Zeros around the picture; at most half of the window.
    ceil_mode : bool
        Let a last window hang over the edge rather than leave out the last rows.
    count_include_pad : bool
        Whether the padding's zeros count in the mean.
    divisor_override : int, optional
        Divide by this number instead of the number of pixels.
    strict : bool
        Raise where the window doesn't fit without a remainder.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        strict: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode, strict)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = (
            0 if divisor_override is None else as_count(divisor_override, "divisor_override")
        )

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = super().extra_repr()
        text += "" if self.count_include_pad else ", count_include_pad=False"
        return text + (f", divisor_override={self.divisor_override}" * bool(self.divisor_override))

    def _geometry(self) -> tuple[int, ...]:
        return (
            *self.kernel_size,
            *self.stride,
            *self.padding,
            int(self.count_include_pad),
            self.divisor_override,
        )

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        self.kernels.avg_pool2d_forward(x, *self._geometry(), y)
        self.save_for_backward(tuple(x.shape), x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self.kernels.avg_pool2d_backward_input(dy, *self._geometry(), dx)
        return dx
