"""A rich progress bar in the form in which pooch wants one."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class DownloadBar:
    """A context manager that is also pooch's progress bar object.

    Pooch sets `total` once the server has named the size, calls `update` for each piece, and at
    the end `reset`, `update(total)` and `close`; after a failure it calls nothing, which is why
    leaving the context stops the display.

    Parameters
    ----------
    name : str
        What is being downloaded.
    console : rich.console.Console, optional
        Where to draw; standard error by default. Nothing is drawn if it is neither a
        terminal nor a notebook.
    """

    def __init__(self, name: str, console: Console | None = None):
        console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (console.is_terminal or console.is_jupyter),
        )
        self.task = self.progress.add_task(name, total=None)

    def __enter__(self) -> "DownloadBar":
        """Start drawing."""
        self.progress.start()
        return self

    def __exit__(self, *exc_info) -> None:
        """Stop drawing, also after an error."""
        self.progress.stop()

    @property
    def total(self) -> float | None:
        """Size of the download in bytes; None while the server has not named one."""
        return self.progress.tasks[0].total

    @total.setter
    def total(self, total: int) -> None:
        # Pooch passes 0 when the server names no size.
        self.progress.update(self.task, total=total or None)

    def update(self, count: int) -> None:
        """Add `count` bytes; pooch rounds the last piece up, so the sum is held at the total."""
        done = self.progress.tasks[0].completed + count
        if self.total is not None:
            done = min(done, self.total)
        self.progress.update(self.task, completed=done)

    def reset(self) -> None:
        """Return to zero without restarting the clock, as pooch does just before the end."""
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        """Draw the final state; the context's end stops the display."""
        self.progress.refresh()
