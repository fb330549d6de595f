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
    """Change `x` so that its score rises with every step.

    Each step takes the gradient of the picture moved at random (jitter), scales it to a mean
    square of 1, and goes ``lr`` along it. If the score of the picture, not moved, doesn't rise,
    the step is halved, and the decay with it, until it does; then the gradient without jitter is
    tried. A step that leads nowhere up is given up and not counted.

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
        The new picture, and the score at the start and after each step that was taken: strictly
        rising.
    """
    values = [score(x)]
    for _ in range(steps):
        shift = (int(rng.integers(-jitter, jitter + 1)), int(rng.integers(-jitter, jitter + 1)))
        for moved in (shift, (0, 0)) if any(shift) else (shift,):
            direction = _direction(slope, x, moved)
            for halving in range(HALVINGS if direction.any() else 0):
                share = 0.5**halving
                other = (x + share * lr * direction) * (1 - share * decay)
                other = (other if bounds is None else other.clip(*bounds)).astype(x.dtype)
                risen = score(other)
                if risen > values[-1]:
                    break
            else:
                continue  # the gradient of the picture where it is may still lead up
            x = other
            values.append(risen)
            break
    return x, values


def _direction(
    slope: Callable[[np.ndarray], np.ndarray], x: np.ndarray, shift: tuple[int, int]
) -> np.ndarray:
    """Return the gradient of the picture moved by `shift`, moved back, with a mean square of 1."""
    back = (-shift[0], -shift[1])
    gradient = np.roll(slope(np.roll(x, shift, (2, 3))), back, (2, 3)).astype(np.float64)
    # divided by its largest number first: squares of tiny ones would be 0
    gradient /= np.abs(gradient).max() or 1.0
    return gradient / (np.sqrt(np.mean(gradient**2)) or 1.0)
