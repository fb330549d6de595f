"""The part of a picture that one number in a network depends on.

Found in two ways that know nothing of each other. By formula: a window of k pixels widens the
field by (k - 1) times the product of all strides before it (Araujo, Norris and Sim, "Computing
receptive fields of convolutional neural networks", 2019). And by the backward pass: the gradient
of that number is 0 outside of its field. Weights may be 0 by chance, and a maximum has a slope
at one pixel of its window only, so every window is replaced by a convolution whose weights are
all 1: then each path from a pixel to the number adds 1 to the gradient, and none cancels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain, Conv2d, Layer
from ..shapes import span
from .drawing import bare, finish, new_figure, show, to_pixels
from .inner import Prefix, picture_shape

__all__ = ["ReceptiveField", "plot_receptive_fields", "receptive_field"]

STILL = ((1, 1), (1, 1))  # the window of a layer that looks at each pixel by itself


@dataclass(frozen=True)
class ReceptiveField:
    """What `receptive_field` returns.

    Attributes
    ----------
    layer : str
        The layer in words.
    position : (int, int) or None
        Row and column in the layer's output; None where every output sees all.
    size, stride : (int, int) or None
        By formula: height and width of the field, and how far it moves from one output to the
        next. None where an output sees all.
    start : (int, int) or None
        By formula: the field's first row and column; negative in the padding.
    paths : ndarray, shape (H, W)
        By the backward pass: paths from each pixel to the output, divided by the largest number
        of them.
    """

    layer: str
    position: tuple[int, int] | None
    size: tuple[int, int] | None
    stride: tuple[int, int] | None
    start: tuple[int, int] | None
    paths: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Where the gradient isn't 0: the pixels that the output depends on, shape (H, W)."""
        return self.paths > 0

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """First row and column of the mask, and its height and width; None if it is empty."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        if not len(rows):
            return None
        top, left = int(rows[0]), int(columns[0])
        return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1

    @property
    def interior(self) -> bool:
        """Whether the field lies within the picture, by formula."""
        if self.start is None or self.size is None:
            return False
        return all(
            first >= 0 and first + reach <= pixels
            for first, reach, pixels in zip(self.start, self.size, self.paths.shape, strict=True)
        )

    @property
    def agrees(self) -> bool:
        """Whether both ways give the same box; for an interior position they must."""
        return self.start is not None and self.box == (*self.start, *(self.size or ()))

    def plot(self, path: str | os.PathLike | None = None, picture: Any = None) -> Any:
        """Draw the field over the picture: paths as heat, the formula's box as a frame.

        Parameters
        ----------
        path : path, optional
            Save the picture there (PNG, PDF or SVG, by the ending).
        picture : array, shape (C, H, W), optional
            Shown below the field.

        Returns
        -------
        matplotlib.figure.Figure
            Shows itself in a notebook.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        return plot_receptive_fields([self], path, picture)


def plot_receptive_fields(
    fields: Sequence[ReceptiveField], path: str | os.PathLike | None = None, picture: Any = None
) -> Any:
    """Draw the fields of several layers side by side.

    Parameters
    ----------
    fields : sequence of ReceptiveField
    path, picture
        As for `ReceptiveField.plot`.

    Returns
    -------
    matplotlib.figure.Figure
        Shows itself in a notebook.

    Raises
    ------
    ValueError
        If there are none.
    ImportError
        Without matplotlib.
    """
    if not fields:
        raise ValueError("there is no receptive field to draw")
    columns = min(4, len(fields))
    rows = math.ceil(len(fields) / columns)
    figure = new_figure(max(4.2, 2.7 * columns), 3.0 * rows + 0.6)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(fields) :]:
        axes.set_axis_off()
    for axes, field in zip(places, fields, strict=False):
        _draw(axes, field, picture)
    figure.suptitle("What one output sees:\npaths to it (heat), the formula's box (frame)", size=10)
    return finish(figure, path)


def _draw(axes: Any, field: ReceptiveField, picture: Any) -> None:
    from matplotlib.patches import Rectangle

    height, width = field.paths.shape
    if picture is None:
        pixels = np.ones((height, width))
    else:
        pixels = to_pixels(np.asarray(picture, np.float64))
    show(axes, pixels)
    shades = np.where(field.mask, np.sqrt(field.paths), np.nan)  # or the rim would not be seen
    axes.imshow(shades, cmap="autumn_r", vmin=0, vmax=1, alpha=0.75, interpolation="nearest")
    title = f"{field.layer}\nsees all"
    if field.start is not None and field.size is not None and field.position is not None:
        top, left = field.start
        corner, tall, wide = (left - 0.5, top - 0.5), *field.size
        axes.add_patch(Rectangle(corner, wide, tall, fill=False, color="tab:blue", lw=2))
        title = f"{field.layer}\nsees {tall}×{wide}"
        axes.set_xlim(min(0, left) - 1, max(width, left + wide))
        axes.set_ylim(max(height, top + tall), min(0, top) - 1)
    bare(axes).set_title(title, fontsize=9)
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, color="0.5", lw=0.8))


def receptive_field(
    model: Chain,
    layer: int | str,
    input_shape: tuple[int, ...] | None = None,
    position: tuple[int, int] | None = None,
) -> ReceptiveField:
    """Return what one output of a layer sees of the picture, by formula and by gradient.

    Parameters
    ----------
    model : Sequential
        Convolutions, poolings, and layers that look at each pixel by itself; from a Linear or
        Flatten on, an output sees all that the layers before pass on.
    layer : int or str
        Position or name.
    input_shape : tuple of int, optional
        (C, H, W); by default what the model was made for, or saw last.
    position : (int, int), optional
        Row and column in the layer's output; by default its middle.

    Returns
    -------
    ReceptiveField
        ``.size`` and ``.mask`` are the two answers, ``.plot()`` draws them.

    Raises
    ------
    ValueError, ShapeError
        If there is no such layer or position, or a layer's window isn't known.

    Examples
    --------
    ``receptive_field(model, 3).plot()``
    """
    prefix = Prefix(model, layer)
    shape: tuple[int, ...] = (1, *picture_shape(model, input_shape))
    prefix.output_shape(shape)  # a shape that doesn't fit is reported with its position
    windows: list[tuple[Conv2d, tuple[int, int]]] = []
    for name, found in prefix.rows:
        out = found.output_shape(shape)
        window = found.window()
        if window is None:
            paths = _backward(windows, np.ones(shape[2:]))
            return ReceptiveField(prefix.title, None, None, None, None, paths)
        if window != STILL or out[2:] != shape[2:]:
            windows.append((_stand_in(name, found, shape, out), (shape[2], shape[3])))
        shape = out
    position = _position(prefix, position, (shape[2], shape[3]))
    size, stride, start = _formula([conv for conv, _ in windows], position)
    chosen = np.zeros(shape[2:])
    chosen[position] = 1
    return ReceptiveField(prefix.title, position, size, stride, start, _backward(windows, chosen))


def _position(prefix: Prefix, given: Any, size: tuple[int, int]) -> tuple[int, int]:
    if given is None:
        return size[0] // 2, size[1] // 2
    if len(given) != 2 or not all(0 <= at < pixels for at, pixels in zip(given, size, strict=True)):
        raise ValueError(
            f"{prefix.title} has no position {given!r}; its maps have {size[0]} rows and "
            f"{size[1]} columns, counted from 0"
        )
    return int(given[0]), int(given[1])


def _stand_in(name: str, layer: Layer, shape: Any, out: Any) -> Conv2d:
    """Return a convolution of ones, of one channel, with the windows of `layer`."""
    kernel, stride = getattr(layer, "kernel_size", None), getattr(layer, "stride", None)
    dilation = getattr(layer, "dilation", (1, 1))
    if kernel is not None and stride is not None:
        pads = getattr(layer, "pads", None)
        pads = pads or tuple((pad, pad) for pad in getattr(layer, "padding", (0, 0)))
        conv = Conv2d(
            1, 1, kernel, stride, dilation=dilation, bias=False,
            device=layer.device.name, dtype="float64",
        )  # fmt: skip
        conv.weight.data = np.ones((1, 1, *kernel))
        hanging = [  # with ceil_mode the last window reaches beyond the padding
            (out[2 + i] - 1) * stride[i] + span(kernel[i], dilation[i]) - shape[2 + i] - pads[i][0]
            for i in (0, 1)
        ]
        rows, columns = ((pads[i][0], max(pads[i][1], hanging[i])) for i in (0, 1))
        conv.pads = (rows, columns)
        given = (1, 1, *shape[2:])
        if conv.output_shape(given)[2:] == out[2:] and conv.window() == layer.window():
            return conv
    raise ValueError(
        f"receptive_field knows windows of convolutions and poolings; layer {name}, {layer!r}, "
        f"has another"
    )


def _formula(
    windows: list[Conv2d], position: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return size, stride and first row and column of the field."""
    sizes, strides, starts = [], [], []
    for axis in (0, 1):
        size, step, first = 1, 1, 0
        for conv in windows:
            reach, stride = (pair[axis] for pair in conv.window())
            size += (reach - 1) * step
            first -= conv.pads[axis][0] * step
            step *= stride
        sizes.append(size)
        strides.append(step)
        starts.append(first + position[axis] * step)
    return (sizes[0], sizes[1]), (strides[0], strides[1]), (starts[0], starts[1])


def _backward(windows: list[tuple[Conv2d, tuple[int, int]]], dy: np.ndarray) -> np.ndarray:
    """Return the number of paths from each pixel to the chosen outputs; the largest is 1."""
    for conv, size in reversed(windows):
        conv.forward(conv.device.to_device(np.zeros((1, 1, *size))))
        dx = conv.backward(conv.device.to_device(dy.reshape(1, 1, *dy.shape)))
        dy = conv.device.to_host(dx)[0, 0]
        dy = dy / (dy.max() or 1.0)  # or deep networks would overflow
    return dy
