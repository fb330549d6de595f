"""How good predictions are: accuracy, top-k accuracy, and which class is taken for which.

Scores are what a model puts out, (N, C) or (N, C, ...); labels are the class numbers, (N,) or
(N, ...). The class with the highest score is the guess; of equal scores, that of the lowest
number counts as higher.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .device import is_gpu_array
from .figures import finish, new_figure
from .losses import check_labels

__all__ = ["ConfusionMatrix", "accuracy", "confusion_matrix", "top_k_accuracy"]


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples whose highest score is that of the label.

    Parameters
    ----------
    scores : array, shape (N, C) or (N, C, ...)
    labels : array of int, shape (N,) or (N, ...)

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ShapeError, TypeError, ValueError
        If the two don't fit each other, there is no example, or a score is NaN.
    """
    scores, labels = _checked(scores, labels, "accuracy")
    return float(np.mean(scores.argmax(axis=1) == labels))


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Return the share of examples whose label is among the `k` highest scores.

    Of equal scores, that of the lowest class number counts as higher, so ``k=1`` is `accuracy`.

    Parameters
    ----------
    scores : array, shape (N, C) or (N, C, ...)
    labels : array of int, shape (N,) or (N, ...)
    k : int
        From 1 to C.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `accuracy`, and for another `k`.
    """
    scores, labels = _checked(scores, labels, "top_k_accuracy")
    classes = scores.shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k must be from 1 to the number of classes, {classes}; got {k}")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    number = np.arange(classes).reshape(-1, *(1,) * (scores.ndim - 2))
    before = (scores > own) | ((scores == own) & (number < labels[:, None]))
    return float(np.mean(before.sum(axis=1) < k))


def confusion_matrix(
    predicted: np.ndarray,
    labels: np.ndarray,
    num_classes: int | None = None,
    classes: Sequence[str] | None = None,
) -> ConfusionMatrix:
    """Count how often each class was taken for each other.

    Parameters
    ----------
    predicted : array
        Scores (N, C) or (N, C, ...), or guesses: integers of the labels' shape.
    labels : array of int, shape (N,) or (N, ...)
    num_classes : int, optional
        By default C of the scores, the number of names, or one more than the highest number.
    classes : sequence of str, optional
        The classes' names, for printing and plotting.

    Returns
    -------
    ConfusionMatrix

    Raises
    ------
    ShapeError, TypeError, ValueError
        If the arguments don't fit each other, there is no example, or a score is NaN.
    """
    found, labels = _on_host(predicted, "confusion_matrix"), np.asarray(labels)
    if found.dtype.kind not in "iu" or found.shape != labels.shape:
        scores, labels = _checked(found, labels, "confusion_matrix")
        found = scores.argmax(axis=1)
        num_classes = scores.shape[1] if num_classes is None else num_classes
    if num_classes is None:
        highest = int(max(found.max(initial=0), labels.max(initial=0)))
        num_classes = highest + 1 if classes is None else len(classes)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"confusion_matrix takes class numbers (integers), got {labels.dtype}")
    if not labels.size:
        raise ValueError("confusion_matrix needs at least one example")
    for what, values in (("prediction", found), ("label", labels)):
        wrong = (values < 0) | (values >= num_classes)
        if wrong.any():
            raise ValueError(
                f"{what} {values[wrong][0]} is none of the {num_classes} classes, which are "
                f"numbered 0 to {num_classes - 1}"
            )
    pairs = labels.reshape(-1).astype(np.int64) * num_classes + found.reshape(-1).astype(np.int64)
    counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return ConfusionMatrix(counts, classes)


class ConfusionMatrix:
    """How often each class was taken for each other; print it, plot it, or read its numbers.

    Parameters
    ----------
    counts : array of int, shape (C, C)
        Row: what it was. Column: what it was taken for.
    classes : sequence of str, optional
        Names; by default the numbers.

    Attributes
    ----------
    counts : ndarray of int64, shape (C, C)
    classes : tuple of str

    Notes
    -----
    `precision`, `recall` and `f1` have one number for each class; ``numpy.nanmean`` makes the
    "macro" average of them.
    """

    def __init__(self, counts: np.ndarray, classes: Sequence[str] | None = None) -> None:
        given = np.asarray(counts)
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise ValueError(f"counts must be square, got shape {given.shape}")
        if given.dtype.kind not in "iu":
            raise TypeError(f"counts must be integers, got {given.dtype}")
        self.counts = given.astype(np.int64)
        size = len(self.counts)
        self.classes = tuple(map(str, range(size) if classes is None else classes))
        if len(self.classes) != size:
            raise ValueError(f"there are {size} classes and {len(self.classes)} names for them")

    @property
    def accuracy(self) -> float:
        """Share of all examples that were recognised."""
        return float(_share(np.trace(self.counts), self.counts.sum()))

    @property
    def precision(self) -> np.ndarray:
        """Share of what was taken for a class that is it: TP / (TP + FP); NaN where nothing was."""
        return _share(np.diag(self.counts), self.counts.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """Share of a class that was recognised: TP / (TP + FN); NaN where it has no example."""
        return _share(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of both: 2 TP / (2 TP + FP + FN); NaN where the class never came up."""
        return _share(2 * np.diag(self.counts), self.counts.sum(axis=0) + self.counts.sum(axis=1))

    def __rich__(self) -> Table:
        """Return the table that rich prints."""
        table = Table(title="Rows: what it was; columns: taken for", title_justify="left")
        table.add_column("class", overflow="fold")
        names = [escape(name) for name in self.classes]
        for name in (*names, "precision", "recall", "F1"):
            table.add_column(name, justify="right", overflow="fold")
        figures = np.stack([self.precision, self.recall, self.f1], axis=1)
        for number, (name, row) in enumerate(zip(names, self.counts, strict=True)):
            cells = [f"{count:,}" if count else "·" for count in row.tolist()]
            cells[number] = f"[bold]{row[number]:,}[/bold]"
            shares = ["" if np.isnan(share) else f"{share:.1%}" for share in figures[number]]
            table.add_row(name, *cells, *shares)
        return table

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=40 + 12 * len(self.classes)).print(self)
        return buffer.getvalue()

    __repr__ = __str__

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the matrix; a row's colours are shares of that class, its numbers the counts.

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
            Without matplotlib; ``pip install numcnn[plot]`` brings it.
        """
        size = len(self.classes)
        side = 2 + 0.5 * size
        figure = new_figure(side + 0.6, side)
        axes = figure.subplots()
        shares = np.nan_to_num(_share(self.counts, self.counts.sum(axis=1, keepdims=True)))
        picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(self.counts):
            dark = shares[row, column] > 0.5
            text = f"{self.counts[row, column]:,}"
            axes.text(
                column, row, text, ha="center", va="center", fontsize=8, color="w" if dark else "k"
            )
        axes.set_xticks(range(size), self.classes, rotation=45, ha="right")
        axes.set_yticks(range(size), self.classes)
        axes.set_xlabel("taken for")
        axes.set_ylabel("what it was")
        figure.colorbar(picture, label="share of the class")
        return finish(figure, path)


def _share(part: Any, whole: Any) -> np.ndarray:
    """Return part / whole; NaN, not a warning, where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


def _on_host(values: Any, who: str) -> np.ndarray:
    if is_gpu_array(values):
        raise TypeError(f"{who} works on the host; model.predict(x) returns NumPy arrays")
    return np.asarray(values)


def _checked(scores: Any, labels: Any, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels as arrays that fit each other, or explain."""
    scores = _on_host(scores, who)
    labels = check_labels(labels, scores.shape, who)
    if not labels.size:
        raise ValueError(f"{who} needs at least one example")
    wrong = np.isnan(scores)
    if wrong.any():
        where = ", ".join(map(str, np.argwhere(wrong)[0]))
        raise ValueError(
            f"{who}: the score at [{where}] is NaN, so no class has the highest; the training "
            f"that led here diverged, or the data hold NaN"
        )
    return scores, labels
