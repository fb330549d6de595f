"""What every picture shares: figures, grids of tiles, pictures out of arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..figures import finish, new_figure

__all__ = ["bare", "finish", "heat", "mosaic", "new_figure", "show", "tiles", "to_pixels"]

GROUND = (0.72, 0.82, 0.92)  # between tiles: a colour that no grey can be taken for


def mosaic(tiles: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Return tiles side by side as one array, NaN between them.

    Parameters
    ----------
    tiles : ndarray, shape (count, H, W) or (count, H, W, 3)
    columns : int, optional
        Tiles in a row; by default about as many as there are rows.
    gap : int
        Pixels between two tiles.
    """
    count, height, width, *colours = tiles.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    size = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((*size, *colours), np.nan)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def to_pixels(
    picture: np.ndarray, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Return a picture (C, H, W) as greys (H, W) or colours (H, W, 3) from 0 to 1.

    `low` becomes 0 and `high` becomes 1; by default the smallest and the largest number. Other
    than 1 or 3 channels are averaged.
    """
    low = float(picture.min()) if low is None else low
    high = float(picture.max()) if high is None else high
    scaled = ((picture - low) / ((high - low) or 1.0)).clip(0, 1)
    return scaled.transpose(1, 2, 0) if len(scaled) == 3 else scaled.mean(axis=0)


def bare(axes: Any) -> Any:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def show(axes: Any, pixels: np.ndarray, title: str = "") -> Any:
    """Draw greys or colours from 0 to 1."""
    bare(axes).set_title(title, fontsize=9)
    return tiles(axes, pixels, 0, 1)


def tiles(axes: Any, values: np.ndarray, low: float, high: float) -> Any:
    """Draw a mosaic of greys, black for `low` and white for `high`, or of colours in [0, 1]."""
    bare(axes).set_facecolor(GROUND)
    if values.ndim == 3:
        values = np.where(np.isnan(values), GROUND, values)
    return axes.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="nearest")


def heat(axes: Any, values: np.ndarray, title: str = "", label: str = "") -> Any:
    """Draw numbers from 0 up as a map of heat with its colour bar."""
    top = float(values.max()) or 1.0
    image = axes.imshow(values, cmap="magma", vmin=0, vmax=top, interpolation="nearest")
    bare(axes).set_title(title, fontsize=9)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    return image
