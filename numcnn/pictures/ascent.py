"""Gradient ascent on a picture: the steps that activation_maximization and deep_dream share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..shapes import as_count

__all__ = ["check_steps", "climb"]

HALVINGS = 12  # a step that doesn't lead up is halved so often before it is given up


def check_steps(steps: int, lr: float, jitter: int, decay: float = 0.0) -> None:
    """Refuse numbers that make no ascent."""
    as_count(steps, "steps")
    as_count(jitter, "jitter", 0)
    if not (lr > 0 and np.isfinite(lr)):
        raise ValueError(f"lr must be above 0 and finite, got {lr}")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be at least 0 and below 1, got {decay}")


def climb(
    score: Callable[[np.ndarray], float],
    slope: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    *,
    steps: int,
    lr: float,
    jitter: int,
    rng: np.random.Generator,
    decay: float = 0.0,
    bounds: tuple[float, float] | None = None,
) -> tuple[np.ndarray, list[float]]:
    """Change `x` so that its score rises, and never falls.

    Each step takes the gradient of the picture moved at random (jitter), scales it to a mean
    square of 1, and goes ``lr`` along it. If the score of the picture, not moved, doesn't rise,
    the step is halved, and the decay with it, until it does; or the picture stays as it is.

    Parameters
    ----------
    score, slope : callable
        The score of a batch of one picture, and its gradient.
    x : ndarray, shape (1, C, H, W)
    steps : int
    lr : float
        Length of a step: root mean square over the pixels.
    jitter : int
        Largest shift in pixels, up or down, left or right; the picture is taken as a torus.
    rng : numpy.random.Generator
        Draws the shifts.
    decay : float
        Share of the picture that each step takes away (L2 decay).
    bounds : (float, float), optional
        Smallest and largest value of a pixel.

    Returns
    -------
    (ndarray, list of float)
        The new picture, and the score at the start and after each step.
    """
    values = [score(x)]
    for _ in range(steps):
        shift = tuple(int(s) for s in rng.integers(-jitter, jitter + 1, 2))
        back = (-shift[0], -shift[1])
        gradient = np.roll(slope(np.roll(x, shift, (2, 3))), back, (2, 3)).astype(np.float64)
        # Divided by its largest number first: squares of tiny ones would be 0.
        gradient /= np.abs(gradient).max() or 1.0
        size = np.sqrt(np.mean(gradient**2))
        value = values[-1]
        for halving in range(HALVINGS if size > 0 else 0):
            share = 0.5**halving
            other = (x + share * lr * gradient / size) * (1 - share * decay)
            other = other if bounds is None else other.clip(*bounds)
            other = other.astype(x.dtype)
            risen = score(other)
            if risen > value:
                x, value = other, risen
                break
        values.append(value)
    return x, values
