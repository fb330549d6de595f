"""One picture on its way through a network: the maps that each layer makes of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain, no_grad
from .drawing import bare, finish, mosaic, new_figure, show, tiles, to_pixels
from .inner import Prefix, looking_into, one_picture

__all__ = ["FeatureMaps", "feature_maps"]

IN_A_ROW = 16
MOST = 64  # maps of a layer that is drawn alone
BARS = 20  # a vector of at most so many numbers is drawn as bars


@dataclass(frozen=True)
class FeatureMaps:
    """What `feature_maps` returns.

    Attributes
    ----------
    picture : ndarray, shape (C, H, W)
        The network's input.
    maps : dict of str to ndarray
        For each layer its output for that picture, (C, H, W) or (features,), by the layer's
        position or name.
    layers : dict of str to str
        What kind of layer each is.
    """

    picture: np.ndarray
    maps: dict[str, np.ndarray]
    layers: dict[str, str]

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the picture and the maps of each layer, each layer from black to white.

        The first 16 maps of every layer, or 64 if it is drawn alone. Layers that change no
        number (Dropout, Flatten) are left out where there are others.

        Parameters
        ----------
        path : path, optional
            Save the picture there (PNG, PDF or SVG, by the ending).

        Returns
        -------
        matplotlib.figure.Figure
            Shows itself in a notebook.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        idle = {"Dropout", "Dropout2d", "Flatten"}
        names = [name for name in self.maps if self.layers[name] not in idle] or list(self.maps)
        if len(names) == 1:
            return finish(self._one(names[0]), path)
        heights = [1.5] + [0.62 if self.maps[name].ndim == 3 else 0.4 for name in names]
        heights[-1] += 0.3  # most often the scores
        figure = new_figure(10, 0.33 * len(heights) + sum(heights))
        rows = figure.subplots(len(heights), 1, gridspec_kw={"height_ratios": heights})
        show(rows[0], to_pixels(self.picture), "the picture, as the network gets it")
        for axes, name in zip(rows[1:], names, strict=True):
            self._draw(axes, name, IN_A_ROW, IN_A_ROW)
        return finish(figure, path)

    def _one(self, name: str) -> Any:
        figure = new_figure(9, 5.6 if self.maps[name].ndim == 3 else 3)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 2.6]})
        show(left, to_pixels(self.picture), "the picture, as the network gets it")
        self._draw(right, name, MOST, None)
        return figure

    def _draw(self, axes: Any, name: str, most: int, columns: int | None) -> None:
        values = self.maps[name]
        span = f"from {values.min():.2g} to {values.max():.2g}"
        if values.ndim == 3:
            count, height, width = values.shape
            shown = f", the first {most}" if count > most else ""
            size = f"{count} maps of {height}×{width}{shown}"
            sheet = mosaic(values[:most], columns, gap=max(1, width // 12))
            tiles(axes, sheet, values.min(), values.max())
        elif values.size <= BARS:
            size = f"{values.size} numbers"
            axes.bar(range(values.size), values.ravel(), color="0.3")
            axes.axhline(0, color="0.6", lw=0.8)
        else:
            size = f"{values.size} numbers"
            axes.imshow(values.reshape(1, -1), cmap="gray", aspect="auto", interpolation="nearest")
        bare(axes).set_title(f"{name} {self.layers[name]}: {size}, {span}", fontsize=9)
        if values.ndim == 1 and values.size <= BARS:
            axes.set_xticks(range(values.size))


def feature_maps(model: Chain, x: Any, layer: int | str | None = None) -> FeatureMaps:
    """Return what every layer, or one, makes of a picture; in evaluation mode.

    Parameters
    ----------
    model : Sequential
    x : array, shape (C, H, W) or (1, C, H, W)
    layer : int or str, optional
        Position or name; by default all layers.

    Returns
    -------
    FeatureMaps
        ``.maps`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError, ShapeError
        If there is no such layer, or `x` isn't one picture that fits.

    Examples
    --------
    ``feature_maps(model, x_test[0]).plot()``
    """
    batch = one_picture(x)
    prefix = Prefix(model, -1 if layer is None else layer)
    prefix.output_shape(batch.shape)  # a shape that doesn't fit is reported with its position
    maps: dict[str, np.ndarray] = {}
    with looking_into(model), no_grad():
        values = model.device.to_device(np.asarray(batch, model.dtype or np.float32))
        for name, found in prefix.rows:
            values = found.forward(values)
            maps[name] = np.array(model.device.to_host(values)[0])
    kinds = {name: type(found).__name__ for name, found in prefix.rows}
    if layer is not None:
        maps = {prefix.name: maps[prefix.rows[-1][0]]}
        kinds = {prefix.name: type(prefix.layer).__name__}
    return FeatureMaps(np.array(batch[0]), maps, kinds)
