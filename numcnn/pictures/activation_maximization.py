"""The picture that a unit likes best: gradient ascent on the input."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..layers import Chain
from ..shapes import as_seed
from .ascent import check_steps, climb
from .drawing import finish, new_figure, show, to_pixels
from .inner import Prefix, looking_into, picture_shape

__all__ = ["Maximum", "activation_maximization", "plot_maxima"]

STARTS = 10  # pictures of noise to try, until the unit answers to one
NOISE = 0.1


@dataclass(frozen=True)
class Maximum:
    """What `activation_maximization` returns.

    Attributes
    ----------
    picture : ndarray, shape (C, H, W)
    activations : list of float
        The unit's activation at the start and after each step; never falls, and the last is
        above the first.
    layer : str
        The layer in words.
    unit : tuple of int
        Its channel, or its place in the layer's output.
    """

    picture: np.ndarray
    activations: list[float]
    layer: str
    unit: tuple[int, ...]

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the picture, and how the activation rose.

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
        figure = new_figure(7.6, 3.6)
        left, right = figure.subplots(1, 2)
        unit = ", ".join(map(str, self.unit))
        show(left, to_pixels(self.picture), f"what unit {unit} of {self.layer}\nlikes best")
        right.plot(self.activations, "o-", ms=2.5, lw=1)
        right.set_xlabel("step")
        right.set_ylabel("activation")
        right.grid(alpha=0.3)
        return finish(figure, path)


def plot_maxima(maxima: Sequence[Maximum], path: str | os.PathLike | None = None) -> Any:
    """Draw the pictures of several units side by side.

    Parameters
    ----------
    maxima : sequence of Maximum
    path : path, optional
        Save the picture there (PNG, PDF or SVG, by the ending).

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
    if not maxima:
        raise ValueError("there is no picture to draw")
    columns = min(5, len(maxima))
    rows = math.ceil(len(maxima) / columns)
    figure = new_figure(1.9 * columns, 2.1 * rows + 0.4)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(maxima) :]:
        axes.set_axis_off()
    for axes, found in zip(places, maxima, strict=False):
        rise = f"{found.activations[0]:.2g} → {found.activations[-1]:.3g}"
        unit = ", ".join(map(str, found.unit))
        show(axes, to_pixels(found.picture), f"unit {unit}\n{rise}")
    title = f"What units of {maxima[0].layer} like best, and how their activation rose"
    figure.suptitle(title, fontsize=10)
    return finish(figure, path)


def activation_maximization(
    model: Chain,
    unit: int | tuple[int, ...],
    layer: int | str = -1,
    steps: int = 64,
    lr: float = 0.2,
    jitter: int = 1,
    decay: float = 0.01,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
) -> Maximum:
    """Return a picture for which a unit's activation is high, found by gradient ascent.

    It starts from faint noise. Jitter (Mordvintsev, Olah and Tyka, "Inceptionism", 2015) keeps
    out patterns that work at one place alone, and decay what the unit doesn't need. The
    activation never falls: a step that would lead down is halved. Erhan et al., "Visualizing
    higher-layer features of a deep network", 2009.

    Parameters
    ----------
    model : Sequential
    unit : int or tuple of int
        A channel, whose mean over its map counts; or a place in the layer's output, without the
        batch: ``(channel, row, column)``. After a Linear, the number of the output.
    layer : int or str
        Position or name of the layer. After a softmax a probability is made to rise; the scores
        before it give clearer pictures.
    steps : int
    lr : float
        Length of a step: root mean square over the pixels, in the units of the input.
    jitter : int
        Largest shift in pixels before each gradient.
    decay : float
        Share of the picture that each step takes away, from 0 to 1.
    seed : int
        Decides noise and shifts.
    input_shape : tuple of int, optional
        (C, H, W); by default what the model was made for, or saw last.

    Returns
    -------
    Maximum
        ``.picture`` and ``.activations`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError
        If there is no such unit, or nothing makes its activation rise.

    Examples
    --------
    ``activation_maximization(model, 3).plot()`` draws what the network takes for the best 3.
    """
    check_steps(steps, lr, jitter, decay)
    prefix = Prefix(model, layer)
    shape = (1, *picture_shape(model, input_shape))
    place, weights = _unit(prefix, unit, prefix.output_shape(shape))
    rng = np.random.default_rng(as_seed(seed))

    def score(x: np.ndarray) -> float:
        return float((prefix.forward(x) * weights).sum(dtype=np.float64))

    def slope(x: np.ndarray) -> np.ndarray:
        prefix.forward(x)
        return prefix.backward(weights)

    with looking_into(model):
        for _ in range(STARTS):
            noise = (NOISE * rng.standard_normal(shape)).astype(model.dtype or np.float32)
            picture, activations = climb(
                score, slope, noise, steps=steps, lr=lr, jitter=jitter, rng=rng, decay=decay
            )
            if activations[-1] > activations[0]:
                return Maximum(picture[0], activations, prefix.title, place)
    raise ValueError(
        f"nothing makes unit {unit} of {prefix.title} rise: for {STARTS} pictures of noise its "
        f"gradient is 0 or leads nowhere. It may be a dead ReLU; try the layer before"
    )


def _unit(
    prefix: Prefix, unit: int | tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the unit's place, and the weights with which the output's sum is its activation."""
    place = tuple(unit) if isinstance(unit, Sequence) else (unit,)
    sizes = shape[1:]
    inside = 0 < len(place) <= len(sizes) and all(
        isinstance(index, Integral) and not isinstance(index, bool) and 0 <= index < size
        for index, size in zip(place, sizes, strict=False)
    )
    if not inside:
        raise ValueError(
            f"{prefix.title} has no unit {unit!r}: its output for one picture has shape {sizes}, "
            f"counted from 0"
        )
    place = tuple(int(index) for index in place)
    weights = np.zeros(shape)
    index = (0, *place)
    weights[index] = 1.0 / np.size(weights[index])
    return place, weights
