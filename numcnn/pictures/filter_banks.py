"""Filters made by formula, as fixed weights of a convolution; and what filters answer to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..shapes import ShapeError, as_count
from .drawing import finish, new_figure, show, to_pixels

__all__ = ["TuningCurves", "filter_bank", "gabor", "gaussian", "grating", "tuning_curves"]

MOST = 12  # curves in one picture
CYCLE = 180.0  # a grating turned by so many degrees is the same


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of each pixel's middle, from the picture's middle, y downward."""
    y, x = np.meshgrid(
        np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
    )
    return x, y


def _positive(value: float, name: str) -> float:
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{name} must be above 0 and finite, got {value}")
    return float(value)


def gaussian(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian filter: a mean in which near pixels count more. It blurs.

    ``exp(-(x² + y²) / 2σ²)``, divided by the sum, so that an even grey stays as it is.

    Parameters
    ----------
    size : int
        Rows and columns.
    sigma : float
        Its width in pixels.

    Returns
    -------
    ndarray of float64, shape (size, size)
        Adds up to 1.

    Raises
    ------
    TypeError, ValueError
        If the size is no whole number of at least 1, or sigma isn't above 0.
    """
    sigma = _positive(sigma, "sigma")
    size = as_count(size, "size")
    x, y = _grid(size, size)
    nearest = (x**2 + y**2).min()  # subtracted, or a tiny sigma would give 0 / 0
    values = np.exp(-(x**2 + y**2 - nearest) / (2 * sigma**2))
    return values / values.sum()


def gabor(
    size: int,
    wavelength: float,
    angle: float,
    sigma: float | None = None,
    phase: float = 0.0,
    gamma: float = 0.5,
) -> np.ndarray:
    """Return a Gabor filter: stripes of one direction and width, seen through a soft window.

    ``exp(-(u² + γ²v²) / 2σ²) cos(2πu/λ + φ)`` with ``u = x cos θ + y sin θ`` and
    ``v = y cos θ - x sin θ`` (Daugman, "Uncertainty relation for resolution in space, spatial
    frequency, and orientation", 1985). Cells of the visual cortex answer in this way, and so do
    filters of many first layers.

    Parameters
    ----------
    size : int
        Rows and columns.
    wavelength : float
        Pixels from one stripe to the next, λ.
    angle : float
        Direction across the stripes, θ, in degrees: 0 for upright stripes, which change from
        left to right; it turns from there downward.
    sigma : float, optional
        Width of the window in pixels; by default 0.56 wavelengths, an octave of bandwidth.
    phase : float
        Shift of the stripes, φ, in degrees: 0 for a light stripe in the middle, 90 for an edge.
    gamma : float
        Width of the window across the stripes, divided by that along them.

    Returns
    -------
    ndarray of float64, shape (size, size)

    Raises
    ------
    TypeError, ValueError
        If the size is no whole number, or wavelength, sigma or gamma isn't above 0.
    """
    wavelength, gamma = _positive(wavelength, "wavelength"), _positive(gamma, "gamma")
    sigma = 0.56 * wavelength if sigma is None else _positive(sigma, "sigma")
    size = as_count(size, "size")
    x, y = _grid(size, size)
    theta = np.deg2rad(angle)
    u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
    window = np.exp(-(u**2 + gamma**2 * v**2) / (2 * sigma**2))
    return window * np.cos(2 * np.pi * u / wavelength + np.deg2rad(phase))


def filter_bank(filters: Sequence[np.ndarray], in_channels: int = 1) -> np.ndarray:
    """Return filters of one size as the weight of a Conv2d.

    Parameters
    ----------
    filters : sequence of ndarray, shape (KH, KW)
    in_channels : int
        Each channel gets the filter divided by this number, so that a grey picture gives the
        same answer in colour.

    Returns
    -------
    ndarray, shape (count, in_channels, KH, KW)

    Raises
    ------
    ShapeError
        If there is none, or their sizes differ.

    Examples
    --------
    >>> from numcnn import Conv2d
    >>> conv = Conv2d(1, 4, 9, bias=False)
    >>> conv.weight.data = filter_bank([gabor(9, 4, angle) for angle in (0, 45, 90, 135)])
    """
    shapes = {np.shape(values) for values in filters}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeError(f"a bank needs filters of one size (KH, KW), got {sorted(shapes)}")
    count = as_count(in_channels, "in_channels")
    return np.stack([np.stack([values] * count) for values in filters]) / count


def grating(size: int, wavelength: float, angle: float, phase: float = 0.0) -> np.ndarray:
    """Return stripes over a whole picture, from -1 to 1: a Gabor filter without its window.

    Parameters
    ----------
    size, wavelength, angle, phase
        As for `gabor`.

    Returns
    -------
    ndarray of float64, shape (size, size)
    """
    size = as_count(size, "size")
    return _stripes(*_grid(size, size), _positive(wavelength, "wavelength"), angle, phase)


def _stripes(x: Any, y: Any, wavelength: float, angle: float, phase: float) -> np.ndarray:
    theta = np.deg2rad(angle)
    u = x * np.cos(theta) + y * np.sin(theta)
    return np.cos(2 * np.pi * u / wavelength + np.deg2rad(phase))


@dataclass(frozen=True)
class TuningCurves:
    """What `tuning_curves` returns.

    Attributes
    ----------
    weights : ndarray, shape (count, C, KH, KW)
        The filters.
    wavelength : float
        Of the gratings, in pixels.
    angles : ndarray, shape (A,)
        Directions across the stripes, in degrees.
    responses : ndarray, shape (count, A)
        How strongly each filter answers to each angle.
    """

    weights: np.ndarray
    wavelength: float
    angles: np.ndarray
    responses: np.ndarray

    @property
    def preferred(self) -> np.ndarray:
        """The angle to which each filter answers strongest, shape (count,)."""
        return self.angles[self.responses.argmax(axis=1)]

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw each filter, and its response over the angle; at most 12 of them.

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
        count = min(MOST, len(self.weights))
        columns = min(4, count)
        rows = -(-count // columns)
        figure = new_figure(2.5 * columns, 3.0 * rows + 0.4)
        places = figure.subplots(2 * rows, columns, squeeze=False)
        top = float(self.responses[:count].max()) * 1.05 or 1.0
        for number in range(rows * columns):
            row, column = divmod(number, columns)
            tile, curve = places[2 * row, column], places[2 * row + 1, column]
            if number >= count:
                tile.set_axis_off()
                curve.set_axis_off()
                continue
            best = float(self.preferred[number])
            size = float(np.abs(self.weights[number]).max()) or 1.0
            show(tile, to_pixels(self.weights[number], -size, size), f"filter {number}")
            for side in tile.spines.values():
                side.set_visible(True)  # or white corners would be lost
            curve.plot(self.angles, self.responses[number])
            curve.axvline(best, color="0.6", lw=0.8, ls="--")
            curve.set_title(f"strongest at {best:g}°", fontsize=8)
            curve.set_ylim(0, top)
            curve.set_xticks([0, 45, 90, 135, 180])
            curve.tick_params(labelsize=7)
        figure.suptitle(
            f"Response to stripes of {self.wavelength:g} pixels, over their angle in degrees\n"
            f"(0°: upright stripes, 90°: level stripes)",
            fontsize=10,
        )
        return finish(figure, path)


def tuning_curves(
    weights: Any, wavelength: float, angles: Sequence[float] | None = None
) -> TuningCurves:
    """Return how strongly filters answer to stripes of each angle.

    The answer to a grating depends on where its stripes lie. Here the stripes are thought to
    move through: the result is the amplitude, ``√(c² + s²)`` with c and s the answers to a
    cosine and a sine grating.

    Parameters
    ----------
    weights : array, shape (count, C, KH, KW)
        Of a Conv2d, or what `filter_bank` returns. Every channel gets the same stripes.
    wavelength : float
        Of the stripes, in pixels.
    angles : sequence of float, optional
        In degrees, as for `gabor`; by default from 0 to 180, 3 apart.

    Returns
    -------
    TuningCurves
        ``.responses`` and ``.preferred`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ShapeError, ValueError
        If the weights aren't those of a convolution, or the wavelength isn't above 0.

    Examples
    --------
    ``tuning_curves(model[0].state_dict()["weight"], 4).plot()``
    """
    weights = np.asarray(weights)
    if weights.ndim != 4 or not weights.size:
        raise ShapeError(f"weights must have shape (count, C, KH, KW), got {weights.shape}")
    _positive(wavelength, "wavelength")
    directions = np.arange(0, CYCLE + 1, 3.0) if angles is None else np.asarray(angles, float)
    x, y = _grid(*weights.shape[2:])
    summed = weights.sum(axis=1, dtype=np.float64)
    waves = [
        np.stack([_stripes(x, y, wavelength, angle, phase) for angle in directions])
        for phase in (0.0, 90.0)
    ]
    answers = [np.einsum("nhw,ahw->na", summed, wave) for wave in waves]
    return TuningCurves(weights, float(wavelength), directions, np.hypot(*answers))
