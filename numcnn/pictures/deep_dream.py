"""A picture in which a network sees more and more of what it knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain
from ..shapes import ShapeError, as_count, as_seed
from .ascent import check_steps, climb
from .drawing import finish, new_figure, show, to_pixels
from .inner import Prefix, looking_into, one_picture

__all__ = ["Dream", "deep_dream"]


@dataclass(frozen=True)
class Dream:
    """What `deep_dream` returns.

    Attributes
    ----------
    before, after : ndarray, shape (C, H, W)
    norms : list of list of float
        For each octave, the smallest first, the squared norm of the layer's activation at its
        start and after each step; within an octave it never falls.
    layer : str
        The layer in words.
    bounds : (float, float)
        Smallest and largest value that a pixel may have.
    """

    before: np.ndarray
    after: np.ndarray
    norms: list[list[float]]
    layer: str
    bounds: tuple[float, float]

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the picture before and after.

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
        figure = new_figure(8, 4.8)
        left, right = figure.subplots(1, 2)
        show(left, to_pixels(self.before, *self.bounds), "before")
        rise = f"{self.norms[-1][0]:.4g} → {self.norms[-1][-1]:.4g}"
        title = f"after: more of what {self.layer} sees\n|activation|² in the last octave {rise}"
        show(right, to_pixels(self.after, *self.bounds), title)
        return finish(figure, path)


def deep_dream(
    model: Chain,
    image: Any,
    layer: int | str,
    octaves: int = 3,
    scale: float = 1.4,
    steps: int = 10,
    lr: float = 0.1,
    jitter: int = 2,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Dream:
    """Return a picture changed so that a layer's activation has a larger squared norm.

    Whatever the layer sees a little of is amplified (Mordvintsev, Olah and Tyka, "Inceptionism",
    2015). It begins with the picture made small and goes on in larger and larger ones
    (octaves), so that patterns of several sizes appear. A picture without pure black and white
    leaves it more room.

    Parameters
    ----------
    model : Sequential
        Only the layers up to `layer` are used. If those are convolutions, poolings and
        activations, a picture of any size will do.
    image : array, shape (C, H, W) or (1, C, H, W)
        Normalised as the network wants it.
    layer : int or str
        Position or name.
    octaves : int
        Sizes to work in; 1 for the picture's own alone.
    scale : float
        Ratio of one size to the next, above 1.
    steps : int
        Steps in each octave.
    lr : float
        Length of a step: root mean square over the pixels, in the units of the input.
    jitter : int
        Largest shift in pixels before each gradient.
    seed : int
        Decides the shifts.
    bounds : (float, float), optional
        Smallest and largest value of a pixel, black and white; by default the picture's own.

    Returns
    -------
    Dream
        ``.after`` and ``.norms`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError, ShapeError
        If there is no such layer, the network can't take every octave's size, or the layer
        gives zeros for all of them.

    Examples
    --------
    ``deep_dream(model, x_test[0], layer=3).plot()``
    """
    from scipy.ndimage import zoom  # takes long to import

    check_steps(steps, lr, jitter)
    if not scale > 1:
        raise ValueError(f"scale must be above 1, got {scale}")
    image = one_picture(image, "image").astype(model.dtype or np.float32)
    prefix = Prefix(model, layer)
    sizes = _sizes(prefix, image.shape, as_count(octaves, "octaves"), scale)
    rng = np.random.default_rng(as_seed(seed))
    bounds = _bounds(image, bounds)

    def resize(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        factors = (1, 1, size[0] / x.shape[2], size[1] / x.shape[3])
        return zoom(x, factors, order=1, mode="nearest")

    def score(x: np.ndarray) -> float:
        return float(np.square(prefix.forward(x), dtype=np.float64).sum())

    def slope(x: np.ndarray) -> np.ndarray:
        return prefix.backward(2 * prefix.forward(x))

    norms = []
    detail = np.zeros_like(image)
    with looking_into(model):
        for size in sizes:
            plain = resize(image, size)
            x = (plain + resize(detail, size)).clip(*bounds)
            if score(plain) > score(x):  # what a smaller size brought doesn't help here
                x = plain
            x, values = climb(
                score, slope, x, steps=steps, lr=lr, jitter=jitter, rng=rng, bounds=bounds
            )
            norms.append(values)
            detail = x - plain
    if all(values[-1] == values[0] for values in norms):
        raise ValueError(
            f"nothing makes the activation of {prefix.title} grow: its gradient is 0 or leads "
            f"out of the picture's range, {bounds[0]:.3g} to {bounds[1]:.3g}"
        )
    return Dream(image[0], x[0], norms, prefix.title, bounds)


def _bounds(image: np.ndarray, given: tuple[float, float] | None) -> tuple[float, float]:
    low, high = float(image.min()), float(image.max())
    if given is None:
        return low, high
    if not given[0] <= low <= high <= given[1]:
        raise ValueError(f"bounds={given} leave out pixels of the image, {low:.3g} to {high:.3g}")
    return float(given[0]), float(given[1])


def _sizes(
    prefix: Prefix, shape: tuple[int, ...], octaves: int, scale: float
) -> list[tuple[int, int]]:
    """Return the octaves' sizes, the smallest first; the network must take all of them."""
    sizes = []
    for octave in reversed(range(octaves)):
        height, width = (max(1, round(pixels / scale**octave)) for pixels in shape[2:])
        try:
            prefix.output_shape((*shape[:2], height, width))
        except ShapeError as error:
            if octave == 0:
                raise
            raise ShapeError(
                f"{prefix.title} can't be reached with a picture of {height}×{width}, octave "
                f"{octaves - octave} of {octaves}: {error}. Use fewer octaves, a smaller scale, "
                f"or a layer before which there are convolutions and poolings only"
            ) from None
        sizes.append((height, width))
    return sizes
