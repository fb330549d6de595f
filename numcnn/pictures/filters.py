"""The filters of a convolution, as pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain, Conv2d
from .drawing import finish, mosaic, new_figure, tiles
from .inner import Prefix, flat

__all__ = ["Filters", "filters"]

MOST = 64  # filters in one picture
MOST_CHANNELS = 16  # of a filter that is neither grey nor coloured


@dataclass(frozen=True)
class Filters:
    """What `filters` returns.

    Attributes
    ----------
    name : str
        The layer's position or name.
    weights : ndarray, shape (out_channels, in_channels / groups, KH, KW)
    """

    name: str
    weights: np.ndarray

    @property
    def largest(self) -> float:
        """The largest absolute weight; the scale goes from minus this to this."""
        return float(np.abs(self.weights).max()) or 1.0

    def sheet(self) -> np.ndarray:
        """Return the filters side by side, in [0, 1] with 0.5 for a weight of 0, else NaN.

        One tile for each filter, in colours (H, W, 3) if it has 3 channels. With more channels
        than that, each filter is a row, and each of its channels a tile.
        """
        shades = 0.5 + 0.5 * self.weights[:MOST] / self.largest
        channels = shades.shape[1]
        if channels == 1:
            return mosaic(shades[:, 0])
        if channels == 3:
            return mosaic(shades.transpose(0, 2, 3, 1))
        shades = shades[:MOST_CHANNELS, :MOST_CHANNELS]
        return mosaic(shades.reshape(-1, *shades.shape[2:]), columns=shades.shape[1])

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the filters, grey or in colours; a middle grey is a weight of 0.

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
        figure = new_figure(6.2, 5.4)
        axes = figure.subplots()
        sheet = self.sheet()
        if sheet.ndim == 2:
            sheet = (2 * sheet - 1) * self.largest
        image = tiles(axes, sheet, -self.largest, self.largest)
        label = "weight (of red, green and blue alike)" if sheet.ndim == 3 else "weight"
        figure.colorbar(image, ax=axes, shrink=0.8, label=label)
        axes.set_title(self._title(), fontsize=10)
        return finish(figure, path)

    def _title(self) -> str:
        count, channels, height, width = self.weights.shape
        what = f"Filters of layer {self.name}: {count} of {height}×{width}"
        if channels in (1, 3):
            return what + (f", the first {MOST} shown" if count > MOST else "")
        rows, columns = min(count, MOST_CHANNELS), min(channels, MOST_CHANNELS)
        return (
            f"{what} in {channels} channels\na row is a filter ({rows} shown), "
            f"a column a channel ({columns} shown)"
        )


def filters(model: Chain, layer: int | str = 0) -> Filters:
    """Return the filters of a convolution.

    Those of the first layer are small pictures themselves: what they look like is what they
    answer to.

    Parameters
    ----------
    model : Sequential
    layer : int or str
        Position or name of a Conv2d.

    Returns
    -------
    Filters
        ``.weights`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError
        If that layer is no Conv2d; the text says which are.

    Examples
    --------
    ``filters(model).plot("filters.png")``
    """
    prefix = Prefix(model, layer)
    if not isinstance(prefix.layer, Conv2d):
        known = [name for name, found in flat(model) if isinstance(found, Conv2d)]
        where = f"layer {' or '.join(known)} has some" if known else "no layer of it has any"
        raise ValueError(f"{prefix.title} of this network has no filters; {where}")
    return Filters(prefix.name, prefix.layer.state_dict()["weight"])
