"""Sizes: how large an output is, and what to say when something doesn't fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

__all__ = ["ShapeError", "conv_output_size", "pool_output_size", "unused_positions"]


class ShapeError(ValueError):
    """An array's shape doesn't fit; the text says which, why, and what would."""


def as_count(value: object, name: str, least: int = 1) -> int:
    """Return `value` as an int of at least `least`; refuse bools, floats and smaller numbers."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def as_pair(value: object, name: str, least: int = 1) -> tuple[int, int]:
    """Return one number for both axes, or a pair (height, width), as a pair of ints."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(f"{name} must be one number or a pair (height, width), got {value!r}")
        return as_count(value[0], f"{name}[0]", least), as_count(value[1], f"{name}[1]", least)
    number = as_count(value, name, least)
    return number, number


def span(kernel: int, dilation: int) -> int:
    """Return how many pixels a filter of `kernel` taps reaches over: D(F - 1) + 1."""
    return dilation * (kernel - 1) + 1


def _formula(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> str:
    """Write the size formula with its numbers, as a learner would on paper."""
    text = f"({size}"
    if any(padding):
        same = padding[0] == padding[1]
        text += f" + 2*{padding[0]}" if same else f" + {padding[0]} + {padding[1]}"
    text += f" - {kernel}" if dilation == 1 else f" - {dilation}*({kernel} - 1) - 1"
    return f"{text})/{stride} + 1"


def _repairs(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> str:
    """Name paddings and strides with which the window fits without a remainder."""
    reach = span(kernel, dilation)
    found = []
    for pad in range(reach):
        room = size + 2 * pad - reach
        if (pad, pad) != padding and room >= 0 and room % stride == 0:
            found.append(f"padding={pad} gives {room // stride + 1}")
            break
    room = size + sum(padding) - reach
    for other in range(1, stride + 2):
        if other != stride and room >= 0 and room % other == 0:
            found.append(f"stride={other} gives {room // other + 1}")
            break
    return " or ".join(found) or "change the size of the input"


def conv_output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    strict: bool = False,
) -> int:
    """Return how many places a window has along one axis.

    ``(N + 2P - D(F - 1) - 1) / S + 1``, rounded down, as PyTorch does.

    Parameters
    ----------
    size : int
        Pixels of the input along the axis, N.
    kernel_size, stride, dilation : int
        Taps of the filter F, step S, distance between taps D.
    padding : int or (int, int)
        Zeros added at both ends, P, or at each end.
    strict : bool
        Refuse a window that doesn't fit without a remainder, instead of rounding down.

    Returns
    -------
    int

    Raises
    ------
    ShapeError
        If the window is larger than the padded input, or, with `strict`, doesn't fit. The text
        holds the arithmetic and what would repair it.

    Examples
    --------
    >>> conv_output_size(7, 3, stride=2)
    3
    """
    pads = padding if isinstance(padding, tuple) else (padding, padding)
    reach = span(kernel_size, dilation)
    room = size + sum(pads) - reach
    formula = _formula(size, kernel_size, stride, pads, dilation)
    if room < 0:
        dilated = "" if dilation == 1 else f" ({kernel_size} taps, dilation {dilation})"
        padded = f"{size} + {pads[0]} + {pads[1]} of padding" if any(pads) else f"{size}"
        raise ShapeError(
            f"a window of {reach} pixels{dilated} is larger than the input of {padded}: "
            f"{formula} is less than 1; use a smaller kernel, more padding or a larger picture"
        )
    if strict and room % stride:
        raise ShapeError(
            f"the window doesn't fit: {formula} = {room / stride + 1:.2f}; "
            f"{_repairs(size, kernel_size, stride, pads, dilation)}"
        )
    return room // stride + 1


def pool_output_size(
    size: int,
    kernel_size: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    strict: bool = False,
) -> int:
    """Return how many places a pooling window has along one axis.

    As `conv_output_size`; with `ceil_mode` a last window may hang over the end, as long as it
    starts inside the input or its first padding (PyTorch's rule).
    """
    if not ceil_mode:
        return conv_output_size(size, kernel_size, stride, padding, dilation, strict)
    room = size + 2 * padding - span(kernel_size, dilation)
    if room < 0 and room <= -stride:
        return conv_output_size(size, kernel_size, stride, padding, dilation)  # raises
    out = math.ceil(room / stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out


def unused_positions(
    size: int, kernel_size: int, stride: int, padding: int, dilation: int, outputs: int
) -> list[int]:
    """Return the rows (or columns) of the input that no window sees; their gradient is 0."""
    seen = {
        o * stride - padding + tap * dilation for o in range(outputs) for tap in range(kernel_size)
    }
    return [i for i in range(size) if i not in seen]
