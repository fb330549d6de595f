"""Resizing pictures: by copying pixels, by interpolating, or out of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import get_device
from ..shapes import ShapeError, as_count, as_pair
from .base import Layer, Shape
from .conv import need_pictures, need_pixels

__all__ = ["PixelShuffle", "PixelUnshuffle", "Upsample"]

MODES = ("nearest", "bilinear")


def _as_factors(value: Any) -> tuple[float, float]:
    """Return scale_factor as a pair of finite numbers above 0."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if pair is not None and len(pair) != 2:
        raise ValueError(
            f"scale_factor must be one number or a pair (height, width), got {value!r}"
        )
    try:
        first, second = (float(factor) for factor in pair or (value, value))
    except (TypeError, ValueError):
        raise TypeError(f"scale_factor must be a number, got {value!r}") from None
    for factor in (first, second):
        if not (factor > 0 and math.isfinite(factor)):
            raise ValueError(f"scale_factor must be a finite number above 0, got {value!r}")
    return first, second


class Upsample(Layer):
    """Make pictures larger, or smaller, by copying pixels or by interpolating between them.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width of the output.
    scale_factor : float or (float, float), optional
        How many times as large the output is, rounded down. Give this or `size`.
    mode : {"nearest", "bilinear"}
        Copy a pixel, the one at ``floor(oh / scale_factor)``; or take the mean of up to four
        pixels, weighted by how near they are.
    align_corners : bool, optional
        For "bilinear": whether the centres of the corner pixels of input and output coincide. By
        default the pictures' edges do.
    recompute_scale_factor : bool, optional
        With `scale_factor`, whether positions are computed from the ratio of the sizes, as with
        `size`, rather than from the factor itself; the two differ where the size was rounded.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no resizing.

    Notes
    -----
    Step in the input from one output to the next: ``1 / scale_factor``, or input size / output
    size; with align_corners (input size - 1) / (output size - 1). As in PyTorch, an output of the
    input's size is a copy, and one of twice its size takes each pixel twice ("nearest").
    """

    either_order = True

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"Upsample needs either size or scale_factor, got size={size!r} and "
                f"scale_factor={scale_factor!r}"
            )
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
        if mode == "nearest" and align_corners is not None:
            raise ValueError("align_corners is for mode='bilinear'; 'nearest' aligns nothing")
        if recompute_scale_factor and size is not None:
            raise ValueError("recompute_scale_factor has no meaning where size is given")
        self.size = None if size is None else as_pair(size, "size")
        self.scale_factor = None if scale_factor is None else _as_factors(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.asked: Shape | None = None

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"size={self.size}" if self.size else f"scale_factor={self.scale_factor}"
        text += f", mode={self.mode!r}"
        for name in ("align_corners", "recompute_scale_factor"):
            if getattr(self, name) is not None:
                text += f", {name}={getattr(self, name)}"
        return text

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, OH, OW) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        if shape[1] == 0:
            raise ShapeError(f"{self!r}: input of shape {shape} has no channels (axis 1)")
        sides = []
        for axis, word in enumerate(("height", "width")):
            try:
                need_pixels(shape[2 + axis])
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
            if self.size:
                sides.append(self.size[axis])
                continue
            factor = self.scale_factor[axis]  # type: ignore[index]
            sides.append(int(shape[2 + axis] * factor))
            if sides[-1] == 0:
                raise ShapeError(
                    f"{self!r}, {word}: {shape[2 + axis]} * {factor:g} = "
                    f"{shape[2 + axis] * factor:g} is less than 1 pixel; use a larger scale_factor"
                )
        self.asked = tuple(shape)  # what `window` depends on
        return (*shape[:2], *sides)

    def _scale(self, axis: int, size: int, out: int) -> float:
        """Return the step in the input from one output to the next, along axis 0 or 1."""
        if self.align_corners:
            return (size - 1) / (out - 1) if out > 1 else 0.0
        if out == size:
            return 1.0
        if self.mode == "nearest" and out == 2 * size:
            return 0.5
        if self.scale_factor is None or self.recompute_scale_factor:
            return size / out
        return 1 / self.scale_factor[axis]

    def _numbers(self, scale_h: float, scale_w: float) -> tuple[float, ...]:
        """Return what the kernels take between the arrays."""
        flags = () if self.mode == "nearest" else (int(bool(self.align_corners)),)
        return (*flags, scale_h, scale_w)

    def window(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Return how far one output sees, and the step in whole pixels, rounded up.

        The step is that for the input last asked about; None as long as there was none.
        """
        if self.asked is None:
            return None
        out = self.output_shape(self.asked)
        steps = [max(1, math.ceil(self._scale(a, self.asked[2 + a], out[2 + a]))) for a in (0, 1)]
        reach = 1 if self.mode == "nearest" else 2
        return (min(reach, self.asked[2]), min(reach, self.asked[3])), (steps[0], steps[1])

    def unused(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Return the rows and columns of the input that no output takes anything from."""
        out = self.output_shape(shape)
        found = []
        for axis in (0, 1):
            # a row that gets no gradient when every output has one was not used
            small, large = ((1, 1, sizes[2 + axis], 1) for sizes in (shape, out))
            received = np.empty(small, np.float64)
            numbers = self._numbers(self._scale(axis, shape[2 + axis], out[2 + axis]), 1.0)
            backward = self._kernel(get_device("reference").kernels, "backward_input")
            backward(np.ones(large), *numbers, received)
            found.append(np.flatnonzero(received == 0).tolist())
        return found[0], found[1]

    def _kernel(self, kernels: Any, part: str) -> Any:
        return getattr(kernels, f"upsample_{self.mode}2d_{part}")

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        out = self.output_shape(shape)
        y = self.device.pictures(out, x.dtype)
        scales = (self._scale(axis, shape[2 + axis], out[2 + axis]) for axis in (0, 1))
        numbers = self._numbers(*scales)
        self._kernel(self.kernels, "forward")(x, *numbers, y)
        self.save_for_backward(shape, numbers, x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, numbers, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self._kernel(self.kernels, "backward_input")(dy, *numbers, dx)
        return dx


class PixelShuffle(Layer):
    """Make pictures larger out of their channels: r² channels become one, r times as large.

    ``y[n, c, oh, ow] = x[n, c r² + (oh % r) r + ow % r, oh // r, ow // r]``. Shi et al.,
    "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", 2016.

    Parameters
    ----------
    upscale_factor : int
        r; the number of channels must be a multiple of r².

    Raises
    ------
    TypeError, ValueError
        If it is no whole number, or less than 1.
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = as_count(upscale_factor, "upscale_factor")

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"upscale_factor={self.upscale_factor}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C / r², r H, r W) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        r = self.upscale_factor
        if shape[1] % (r * r):
            raise ShapeError(
                f"{self!r} makes one channel out of {r}*{r} = {r * r}, which doesn't divide the "
                f"{shape[1]} channels of an input of shape {shape}"
            )
        return shape[0], shape[1] // (r * r), shape[2] * r, shape[3] * r

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        y = self.device.empty(self.output_shape(shape), x.dtype)
        self.kernels.pixel_shuffle_forward(x, self.upscale_factor, y)
        self.save_for_backward(shape, x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, dtype = self._saved
        dx = self.device.empty(shape, dtype)
        self.kernels.pixel_shuffle_backward_input(dy, self.upscale_factor, dx)
        return dx


class PixelUnshuffle(Layer):
    """Undo `PixelShuffle`: each r × r square of pixels becomes one pixel in r² channels.

    Parameters
    ----------
    downscale_factor : int
        r; height and width must be multiples of it.

    Raises
    ------
    TypeError, ValueError
        If it is no whole number, or less than 1.
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = as_count(downscale_factor, "downscale_factor")

    def extra_repr(self) -> str:
        """Return the factor."""
        return f"downscale_factor={self.downscale_factor}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, r² C, H / r, W / r) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        r = self.downscale_factor
        for size, word in zip(shape[2:], ("height", "width"), strict=True):
            if size % r:
                raise ShapeError(
                    f"{self!r} cuts pictures into squares of {r}×{r}; the {word} {size} of an "
                    f"input of shape {shape} is no multiple of {r}"
                )
        return shape[0], shape[1] * r * r, shape[2] // r, shape[3] // r

    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the square that the r² channels of one output pixel see together."""
        r = self.downscale_factor
        return (r, r), (r, r)

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        y = self.device.empty(self.output_shape(shape), x.dtype)
        # shuffling is a one-to-one map, and its backward pass moves numbers the other way
        self.kernels.pixel_shuffle_backward_input(x, self.downscale_factor, y)
        self.save_for_backward(shape, x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, dtype = self._saved
        dx = self.device.empty(shape, dtype)
        self.kernels.pixel_shuffle_forward(dy, self.downscale_factor, dx)
        return dx
