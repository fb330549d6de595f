"""``numcnn diagnose`` and ``numcnn gallery``: what curves of training show."""

from __future__ import annotations

import importlib.util
import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import runs
from .cli_options import Seed
from .history import History

__all__ = ["COMMANDS", "diagnose", "gallery"]

WIDTH = 100  # of a paragraph


def diagnose(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="HISTORY", help="history.json, or its folder; by default the newest in runs/."
        ),
    ] = None,
) -> None:
    """Say what went wrong in a training, from its curves.

    Names a learning rate too high or too low, overfitting, underfitting,
    an exploding loss, dead ReLUs, unshuffled data, dropout in the wrong
    mode, or nothing; with the figures that led there and a remedy.

    [bold]Examples[/bold]

    [cyan]numcnn diagnose[/cyan]

    [cyan]numcnn diagnose runs/mlp-digits[/cyan]
    """
    from .diagnose import diagnose as judge

    path = path or runs.newest_history()
    if path.is_dir():
        path = path / runs.HISTORY
    found = judge(History.load(path))
    typer.echo(f"history: {path}")
    typer.echo(f"diagnosis: {found.name}")
    for sentence in found.evidence:
        typer.echo(textwrap.fill(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    "))
    for label, text in (("why", found.explanation), ("remedy", found.remedy)):
        typer.echo(textwrap.fill(f"{label}: {text}", WIDTH, subsequent_indent="  "))


def gallery(
    output: Annotated[
        Path, typer.Option(help="Where the picture goes: PNG, PDF or SVG, by the ending.")
    ] = Path("gallery.png"),
    seed: Seed = 0,
) -> None:
    """Train eight networks that go wrong and one that doesn't, and draw their curves.

    Each takes about a second, once the kernels are compiled. Under each panel
    stands what [cyan]numcnn diagnose[/cyan] would say.

    [bold]Examples[/bold]

    [cyan]numcnn gallery[/cyan]

    [cyan]numcnn gallery --output curves.pdf --seed 7[/cyan]
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("the gallery needs matplotlib: pip install 'numcnn[plot]'")
    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"{output} should end in .png, .pdf or .svg")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {output.parent} to write {output.name} to")
    from . import gallery as runs_to_see
    from .diagnose import diagnose as judge

    console = Console()
    histories = {}
    for name in runs_to_see.NAMES:
        started = time.perf_counter()
        with console.status(f"Training: {name}…"):
            histories[name] = runs_to_see.run(name, seed)
        seconds = time.perf_counter() - started
        verdict = judge(histories[name]).name
        typer.echo(f"{name:<24}{seconds:5.1f} s  diagnosis: {verdict}")
    runs_to_see.plot(seed, output, histories)
    typer.echo(f"picture: {output}")


COMMANDS = (diagnose, gallery)
