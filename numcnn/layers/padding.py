"""Padding: a picture in a larger frame, filled in one of four ways."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from ..shapes import PADDING_MODES, ShapeError, as_count, padded_size
from .base import Layer, Shape
from .conv import need_pictures, need_pixels

__all__ = [
    "CircularPad2d",
    "ConstantPad2d",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ZeroPad2d",
]

SIDES = ("left", "right", "top", "bottom")


def as_sides(value: object) -> tuple[int, int, int, int]:
    """Return one number for all sides, or (left, right, top, bottom), as four ints."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 4:
            raise ValueError(
                f"padding must be one number or four, (left, right, top, bottom), got {value!r}"
            )
        names = [f"padding {side}" for side in SIDES]
        left, right, top, bottom = (
            as_count(number, name, 0) for number, name in zip(value, names, strict=True)
        )
        return left, right, top, bottom
    number = as_count(value, "padding", 0)
    return number, number, number, number


class _Pad2d(Layer):
    """What all kinds of padding share; `mode` is one of `numcnn.shapes.PADDING_MODES`."""

    either_order = True
    mode = "zeros"
    value = 0.0

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        super().__init__()
        self.padding = as_sides(padding)

    def extra_repr(self) -> str:
        """Return the padding as (left, right, top, bottom)."""
        return f"{self.padding}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, top + H + bottom, left + W + right) for `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        left, right, top, bottom = self.padding
        out = []
        for size, pads, word in (
            (shape[2], (top, bottom), "height"),
            (shape[3], (left, right), "width"),
        ):
            try:
                need_pixels(size)
                out.append(padded_size(size, *pads, self.mode))
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
        return (*shape[:2], *out)

    def _geometry(self) -> tuple[int, int, int]:
        left, _, top, _ = self.padding
        return top, left, PADDING_MODES[self.mode]

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        self.kernels.pad2d_forward(x, *self._geometry(), self.value, y)
        self.save_for_backward(tuple(x.shape), x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self.kernels.pad2d_backward_input(dy, *self._geometry(), dx)
        return dx


class ConstantPad2d(_Pad2d):
    """Put pictures into a frame of one number, ``v v 1 2 3 v v``.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or left, right, top and bottom; 0 or more. To cut pixels off, slice
        the array: ``x[:, :, 1:]``.
    value : float
        What stands in the frame.

    Examples
    --------
    >>> ConstantPad2d((1, 2, 3, 4), 0.5).output_shape((1, 3, 10, 20))
    (1, 3, 17, 23)
    """

    def __init__(self, padding: int | tuple[int, int, int, int], value: float) -> None:
        super().__init__(padding)
        if not isinstance(value, Real):
            raise TypeError(f"value must be a number, got {value!r}")
        self.value = float(value)

    def extra_repr(self) -> str:
        """Return padding and value."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """Put pictures into a frame of zeros, ``0 0 1 2 3 0 0``.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or left, right, top and bottom; 0 or more.
    """


class ReflectionPad2d(_Pad2d):
    """Mirror pictures at their edge pixels, ``3 2 1 2 3 2 1``.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or left, right, top and bottom. The edge pixel itself is not
        repeated, so at most the height or width minus 1.

    Notes
    -----
    The gradient of a pixel is the sum of those of its mirror images and its own.
    """

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Let the edge of pictures go on, ``1 1 1 2 3 3 3``.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or left, right, top and bottom; 0 or more.
    """

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """Let pictures begin again behind their end, ``2 3 1 2 3 1 2``.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or left, right, top and bottom; at most the height or width.
    """

    mode = "circular"
