"""Sizes: how large an output is, and what to say when something doesn't fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

from .kernels.reference.pad2d import source_position

__all__ = [
    "PADDING_MODES",
    "ShapeError",
    "conv_output_size",
    "conv_transpose_output_size",
    "padded_size",
    "pool_output_size",
    "unused_positions",
]

LARGEST = 2**31 - 1  # of any size or step: products of two still are 64-bit integers

PADDING_MODES = {"zeros": 0, "reflect": 1, "replicate": 2, "circular": 3}  # the kernels' numbers


class ShapeError(ValueError):
    """An array's shape doesn't fit; the text says which, why, and what would."""


def as_count(value: object, name: str, least: int = 1, most: int | None = LARGEST) -> int:
    """Return `value` as an int from `least` to `most`; refuse bools, floats and other numbers."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value}")
    return number


def as_seed(value: object) -> int:
    """Return a seed as an int of 0 or more, however large."""
    return as_count(value, "seed", 0, None)


def as_axis(value: object, name: str) -> int:
    """Return the number of an axis, which may count from the end, as an int."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be the number of an axis, got {value!r}")
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


def conv_transpose_output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Return how long the output of a transposed convolution is along one axis.

    ``(N - 1) S - 2P + D(F - 1) + output_padding + 1``, as PyTorch: with `output_padding` 0, the
    smallest input from which a convolution of the same geometry would have made N outputs.

    Raises
    ------
    ShapeError
        If nothing is left; the text holds the arithmetic.
    """
    out = (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1
    if out < 1:
        raise ShapeError(
            f"padding={padding} cuts away all of the output: ({size} - 1)*{stride} - 2*{padding} + "
            f"{dilation}*({kernel_size} - 1) + {output_padding} + 1 = {out} is less than 1; use "
            f"less padding, a larger kernel or a larger picture"
        )
    return out


def padded_size(size: int, before: int, after: int, mode: str = "zeros") -> int:
    """Return how long an axis of `size` pixels is with padding at both ends.

    Parameters
    ----------
    size, before, after : int
        Pixels of the picture, and of padding before and behind it.
    mode : {"zeros", "reflect", "replicate", "circular"}
        What stands in the padding. A mirror on the edge pixel can show ``size - 1`` others; a
        picture that begins again can do so once, ``size`` pixels.

    Raises
    ------
    ShapeError
        If the padding is larger than the mode can fill.
    """
    most = {"reflect": size - 1, "circular": size}.get(mode)
    if most is not None and max(before, after) > most:
        why = (
            f"a mirror on the edge pixel shows the others only, {size} - 1 = {most}"
            if mode == "reflect"
            else f"the picture goes round once, and has {size}"
        )
        raise ShapeError(
            f"{mode} padding of {max(before, after)} pixels doesn't fit a picture of {size}: "
            f"{why}; use padding of at most {most}, or a larger picture"
        )
    return before + size + after


def unused_positions(
    size: int,
    kernel_size: int,
    stride: int,
    padding: int,
    dilation: int,
    outputs: int,
    mode: str = "zeros",
) -> list[int]:
    """Return the rows (or columns) of the input that no window sees; their gradient is 0.

    A window that looks into padding sees the pixels that `mode` copies there.
    """
    seen = {
        source_position(o * stride - padding + tap * dilation, size, PADDING_MODES[mode])
        for o in range(outputs)
        for tap in range(kernel_size)
    }
    return [i for i in range(size) if i not in seen]
