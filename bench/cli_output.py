"""What the commands of ``numcnn bench`` share: where tables go, and what happens on the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

__all__ = ["check_outputs", "make_console", "run"]


def make_console() -> Console:
    """Return where tables go; a pipe or a file gets enough columns for all."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=130)
    return console


def run(console: Console, measure: Callable[[Callable[[str], None]], Any]) -> Any:
    """Return what `measure` returns, showing what it does; a wrong result ends with exit code 1."""
    from .check import WrongResultError

    with console.status("…") as status:
        try:
            return measure(status.update)
        except WrongResultError as error:
            typer.echo(f"numcnn: {error}", err=True)
            raise typer.Exit(1) from None


def check_outputs(*paths: Path | None) -> None:
    """Refuse files that can't be written, before anything is measured."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
