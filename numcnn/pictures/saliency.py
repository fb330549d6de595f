"""Which pixels a score depends on: its gradient with respect to the picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain, LogSoftmax, Softmax
from ..shapes import ShapeError, as_count
from .drawing import finish, heat, new_figure, show, to_pixels
from .inner import Prefix, flat, looking_into, one_picture

__all__ = ["Saliency", "saliency"]


@dataclass(frozen=True)
class Saliency:
    """What `saliency` returns.

    Attributes
    ----------
    picture : ndarray, shape (C, H, W)
        The network's input.
    target : int
        The class whose score was differentiated.
    score : float
        That score, before any softmax.
    gradient : ndarray, shape (C, H, W)
        d score / d x.
    """

    picture: np.ndarray
    target: int
    score: float
    gradient: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The saliency map, shape (H, W): the largest |gradient| of a pixel's channels."""
        return np.abs(self.gradient).max(axis=0)

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the map beside the picture.

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
        figure = new_figure(8, 3.6)
        left, right = figure.subplots(1, 2)
        show(left, to_pixels(self.picture), "the picture, as the network gets it")
        title = f"what the score of class {self.target} ({self.score:.3g}) depends on"
        heat(right, self.values, title, "|d score / d pixel|")
        return finish(figure, path)


def saliency(model: Chain, x: Any, target: int | None = None) -> Saliency:
    """Return how strongly the score of a class depends on each pixel: |d score / d x|.

    Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014. As they do, the
    score before the softmax is taken: a probability can also rise because others fall.

    Parameters
    ----------
    model : Sequential
        Its output is one score per class; a Softmax or LogSoftmax at its end is left out.
    x : array, shape (C, H, W) or (1, C, H, W)
    target : int, optional
        The class; by default the one with the highest score.

    Returns
    -------
    Saliency
        ``.values`` is the map, ``.plot()`` draws it.

    Raises
    ------
    ValueError, ShapeError
        If there is no such class, or `x` isn't one picture that fits.

    Examples
    --------
    ``saliency(model, x_test[0]).plot()``
    """
    batch = one_picture(x)
    rows = flat(model)
    ends_in_softmax = isinstance(rows[-1][1], (Softmax, LogSoftmax)) and len(rows) > 1
    prefix = Prefix(model, rows[-2][0] if ends_in_softmax else rows[-1][0])
    shape = prefix.output_shape(batch.shape)
    if len(shape) != 2:
        raise ShapeError(f"saliency needs one score per class, but the network gives {shape[1:]}")
    if target is not None and as_count(target, "target", 0) >= shape[1]:
        raise ValueError(f"target={target}, but the classes are 0 to {shape[1] - 1}")
    with looking_into(model):
        scores = prefix.forward(batch)
        best = int(scores[0].argmax()) if target is None else int(target)
        score = float(scores[0, best])
        dscores = np.zeros(shape, scores.dtype)
        dscores[0, best] = 1
        gradient = np.array(prefix.backward(dscores)[0])
    return Saliency(np.array(batch[0]), best, score, gradient)
