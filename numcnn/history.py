"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import json
import os
import reprlib
from pathlib import Path
from typing import Any

from .figures import finish, new_figure

__all__ = ["History"]


class History:
    """Figures of a training run.

    Attributes
    ----------
    epochs : list of dict
        One per epoch: ``epoch`` (from 1), ``loss``, ``lr`` (the learning rate of the last
        step), ``seconds``, ``images_per_s``, and where they apply ``accuracy``, ``penalty``,
        ``val_loss``, ``val_accuracy``.
    batch_losses : list of float
        The loss of every step, in order.
    eager_because : str or None
        On the GPU: why it launched each kernel by itself instead of repeating steps as CUDA
        graphs, where it did. Of the run alone; `save` leaves it out.

    Examples
    --------
    ``history["val_accuracy"][-1]`` is the last epoch's validation accuracy.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.batch_losses: list[float] = []
        self.eager_because: str | None = None

    def __getitem__(self, name: str) -> list[Any]:
        known = {key for epoch in self.epochs for key in epoch}
        if name not in known:
            raise KeyError(f"the history has no {name!r}; it has {', '.join(sorted(known))}")
        return [epoch.get(name) for epoch in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        last = self.epochs[-1] if self.epochs else {}
        figures = ", ".join(f"{k}={v:.4g}" for k, v in last.items() if k != "epoch")
        return f"History({len(self)} epochs; last: {figures})"

    def save(self, path: str | os.PathLike) -> None:
        """Write all figures to a JSON file."""
        content = {"epochs": self.epochs, "batch_losses": self.batch_losses}
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> History:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged or no history; the text names it.
        """
        target = Path(path)
        if not target.is_file():
            raise FileNotFoundError(f"there is no file {target}")
        try:
            content = json.loads(target.read_text(encoding="utf-8"))
        except RecursionError:
            raise ValueError(f"{target} is no history: its brackets are nested too deep") from None
        except ValueError as error:  # no JSON, or not even text
            raise ValueError(f"{target} is no history, or it is damaged: {error}") from None
        if fault := _fault(content):
            raise ValueError(f"{target} is no history, or it is damaged: {fault}")
        history = cls()
        history.epochs = content["epochs"]
        history.batch_losses = content["batch_losses"]
        return history

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw loss and accuracy by epoch.

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
        known = {key for epoch in self.epochs for key in epoch}
        kinds = ["loss"] + ["accuracy"] * ("accuracy" in known)
        figure = new_figure(5 * len(kinds), 3.6)
        from matplotlib.ticker import MaxNLocator

        steps = [epoch["epoch"] for epoch in self.epochs]
        for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
            if kind == "loss" and self.batch_losses and steps:
                per_epoch = len(self.batch_losses) / len(steps)
                at = [(i + 1) / per_epoch for i in range(len(self.batch_losses))]
                axes.plot(at, self.batch_losses, color="0.8", lw=0.7, label="each batch")
            axes.plot(steps, self[kind], "o-", ms=4, label="training")
            if f"val_{kind}" in known:
                axes.plot(steps, self[f"val_{kind}"], "s--", ms=4, label="validation")
            axes.set_xlabel("epoch")
            axes.set_ylabel(kind)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend()
        return finish(figure, path)


def _fault(content: Any) -> str:
    """Return what keeps the content of a file from being a history; nothing if it is one."""
    if not isinstance(content, dict):
        return "it should hold an object with epochs and batch_losses"
    for name in ("epochs", "batch_losses"):
        if not isinstance(content.get(name), list):
            return f"it has no list {name!r}"
    for number, loss in enumerate(content["batch_losses"]):
        if not _is_number(loss):
            return f"batch_losses[{number}] is {reprlib.repr(loss)} and should be a number"
    for number, epoch in enumerate(content["epochs"]):
        if not isinstance(epoch, dict) or "epoch" not in epoch:
            return f"epochs[{number}] should be an object with 'epoch' and other figures"
        for name, figure in epoch.items():
            if not _is_number(figure):
                where, what = reprlib.repr(name), reprlib.repr(figure)
                return f"epochs[{number}][{where}] is {what} and should be a number"
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        float(value)  # JSON has whole numbers of any length
    except OverflowError:
        return False
    return True
