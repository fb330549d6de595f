"""How a long run tells that it is alive: a bar where one watches, lines where one logs."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["TrainingProgress"]

LINE_EVERY_S = 10.0


class TrainingProgress:
    """Show the progress of `fit`: epoch, batch, loss, accuracy, images/s, time left.

    In a terminal or notebook this is a bar per epoch; piped to a file it is one line per epoch,
    and one every ten seconds within a long epoch.

    Parameters
    ----------
    epochs, batches : int
        Number of epochs, and of batches in each.
    enabled : bool
        Show nothing if False.
    console : rich.console.Console, optional
        Where to write; by default the standard output.
    """

    def __init__(
        self, epochs: int, batches: int, enabled: bool = True, console: Console | None = None
    ) -> None:
        self.epochs = epochs
        self.batches = batches
        self.enabled = enabled
        self.console = console or Console()
        self.live = self.console.is_terminal or self.console.is_jupyter
        self._bar: Progress | None = None
        self._task: Any = None
        self._last_line = 0.0
        self._started = 0.0

    def __enter__(self) -> TrainingProgress:
        if self.enabled and self.live:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                console=self.console,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Show a line of text."""
        if self.enabled:
            self.console.print(text, soft_wrap=True, highlight=False)

    def start_epoch(self, epoch: int) -> None:
        """Begin epoch number `epoch`, counted from 0."""
        self._started = self._last_line = time.monotonic()
        name = f"epoch {epoch + 1}/{self.epochs}"
        if self._bar is not None:
            self._task = self._bar.add_task(name, total=self.batches, figures="")

    def update(self, epoch: int, batch: int, figures: dict[str, Any]) -> None:
        """Show the figures after `batch` batches of the epoch."""
        if self._bar is not None:
            self._bar.update(self._task, completed=batch, figures=describe(figures))
        elif self.enabled and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            left = (self._last_line - self._started) / batch * (self.batches - batch)
            self._line(epoch, f"{batch}/{self.batches}", figures, f"{left:.0f} s left")

    def end_epoch(self, epoch: int, figures: dict[str, Any]) -> None:
        """Show the final figures of the epoch."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self.batches, figures=describe(figures))
        elif self.enabled:
            self._line(epoch, "done", figures, f"{figures['seconds']:.1f} s")

    def _line(self, epoch: int, state: str, figures: dict[str, Any], end: str) -> None:
        text = f"epoch {epoch + 1}/{self.epochs}  {state}  {describe(figures)}  {end}"
        self.console.print(text, soft_wrap=True, highlight=False)
        self.console.file.flush()


def describe(figures: dict[str, Any]) -> str:
    """Return the figures of an epoch as a short text."""
    parts = [f"loss {figures['loss']:.4f}"]
    if "penalty" in figures:
        parts.append(f"penalty {figures['penalty']:.4f}")
    if "accuracy" in figures:
        parts.append(f"accuracy {figures['accuracy']:.1%}")
    if "val_loss" in figures:
        parts.append(f"val loss {figures['val_loss']:.4f}")
    if "val_accuracy" in figures:
        parts.append(f"val accuracy {figures['val_accuracy']:.1%}")
    parts.append(f"{figures['images_per_s']:,.0f} images/s")
    return "  ".join(parts)
