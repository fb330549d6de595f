"""Adaptive pooling: windows that follow from how many outputs there shall be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..shapes import ShapeError, as_count
from .base import Layer, Shape
from .conv import need_pictures, need_pixels
from .pool import Indexed

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"]

Side = int | None


def _as_sides(value: Any) -> tuple[Side, Side]:
    """Return output_size as a pair; None keeps the size of the input."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(
                f"output_size must be one number or a pair (height, width), got {value!r}"
            )
        names, sides = ("output_size[0]", "output_size[1]"), tuple(value)
    else:
        names, sides = ("output_size", "output_size"), (value, value)
    first, second = (
        None if side is None else as_count(side, name)
        for side, name in zip(sides, names, strict=True)
    )
    return first, second


class _AdaptivePool2d(Layer):
    """Window arithmetic that both kinds of adaptive pooling share."""

    either_order = True

    def __init__(self, output_size: int | tuple[Side, Side] | None) -> None:
        super().__init__()
        self.output_size = _as_sides(output_size)
        self.asked: Shape | None = None

    def extra_repr(self) -> str:
        """Return the size of the output."""
        return f"output_size={self.output_size}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, OH, OW) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        if shape[1] == 0:
            raise ShapeError(f"{self!r}: input of shape {shape} has no channels (axis 1)")
        for axis, word in enumerate(("height", "width")):
            try:
                need_pixels(shape[2 + axis])
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
        self.asked = tuple(shape)  # what `window` depends on
        return (*shape[:2], *self._sides(shape))

    def _sides(self, shape: Shape) -> tuple[int, int]:
        height, width = (
            shape[2 + axis] if side is None else side for axis, side in enumerate(self.output_size)
        )
        return height, width

    def window(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Return the largest window and the largest step for the input last asked about.

        Windows differ in size and distance where the sizes don't divide, so both are bounds.
        None (sees all) for a single output, and as long as no input is known.
        """
        if self.output_size == (1, 1) or self.asked is None:
            return None
        sides = list(zip(self.asked[2:], self._sides(self.asked), strict=True))
        reach = [
            max(-(-(o + 1) * size // count) - o * size // count for o in range(count))
            for size, count in sides
        ]
        step = [-(-size // count) for size, count in sides]
        return (reach[0], reach[1]), (step[0], step[1])


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """Cut the picture into OH × OW windows, whatever its size, and take the mean of each.

    Window oh sees the rows from floor(oh H / OH) up to, not including, ceil((oh + 1) H / OH).
    ``AdaptiveAvgPool2d(1)`` is global average pooling: one number per channel (Lin, Chen and Yan,
    "Network in network", 2014).

    Parameters
    ----------
    output_size : int, (int or None, int or None) or None
        Height and width of the output; one number for both. None keeps the input's size.

    Raises
    ------
    TypeError, ValueError
        If a size is no whole number, or less than 1.
    """

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        self.kernels.adaptive_avg_pool2d_forward(x, y)
        self.save_for_backward(tuple(x.shape), x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        shape, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self.kernels.adaptive_avg_pool2d_backward_input(dy, dx)
        return dx


class AdaptiveMaxPool2d(Indexed, _AdaptivePool2d):
    """Cut the picture into OH × OW windows, whatever its size, and keep the largest of each.

    Window oh sees the rows from floor(oh H / OH) up to, not including, ceil((oh + 1) H / OH). The
    gradient goes to the winner's place alone.

    Parameters
    ----------
    output_size : int, (int or None, int or None) or None
        Height and width of the output; one number for both. None keeps the input's size.
    return_indices : bool
        Let `forward` return (output, indices): also where each winner stood, ``ih * W + iw`` in
        its plane. Such a layer can't stand in a `Sequential`, which passes one array on.

    Attributes
    ----------
    indices : array of int64 or None
        Those of the last forward pass, with `return_indices`.

    Raises
    ------
    TypeError, ValueError
        If a size is no whole number, or less than 1.

    Notes
    -----
    On a tie the first pixel in row-major order wins, on every device. A NaN in the window wins.
    """

    def __init__(
        self, output_size: int | tuple[Side, Side] | None, return_indices: bool = False
    ) -> None:
        super().__init__(output_size)
        self.return_indices = self.keep_indices = bool(return_indices)

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        return super().extra_repr() + ", return_indices=True" * self.return_indices

    def _forward(self, x: Any) -> Any:
        y = self.device.pictures(self.output_shape(tuple(x.shape)), x.dtype)
        argmax = self._new_argmax(x, y)
        self.kernels.adaptive_max_pool2d_forward(x, y, argmax)
        self.save_for_backward(argmax, tuple(x.shape), x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        argmax, shape, dtype = self._saved
        dx = self.device.pictures(shape, dtype)
        self.kernels.adaptive_max_pool2d_backward_input(dy, argmax, dx)
        return dx
