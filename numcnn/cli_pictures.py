"""The command ``numcnn pictures``: look into a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import runs
from .cli_options import Device, FileData, FileModel

__all__ = ["pictures"]

NAMES = (  # those of pictures.album.PAGES, which would take long to import; a test compares
    "filters, tuning-curves, feature-maps, saliency, receptive-field, activation-maximization, "
    "deep-dream, dead-units, gradient-flow"
)


def pictures(
    weights: Annotated[
        Path | None, typer.Argument(help="Weights file; by default the newest in runs/.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"One picture alone; may be given several times: {NAMES}."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures; by default pictures/ beside the weights."),
    ] = None,
    example: Annotated[
        int, typer.Option(min=0, help="Number of the test picture that is looked at.")
    ] = 0,
    model: FileModel = None,
    data: FileData = None,
    device: Device = "cpu",
) -> None:
    """Draw what a trained network has learned: filters, maps, saliency, dreams and more.

    Writes a PNG file for each picture, with a line that says what to see in it.
    Needs matplotlib, which pip install numcnn with the extra "plot" brings.

    [bold]Examples[/bold]

    [cyan]numcnn pictures[/cyan]

    [cyan]numcnn pictures --only saliency --example 7[/cyan]

    [cyan]numcnn pictures runs/lenet-digits/weights.safetensors --output looks[/cyan]
    """
    from .pictures import album

    weights = weights or runs.newest_weights()
    run = runs.restore(weights, model, data, device)
    folder = output or weights.parent / "pictures"
    names = only or list(album.PAGES)
    typer.echo(f"weights: {weights}")
    for name, path, what in album.draw_pages(run, folder, names, example):
        if path is None:
            typer.echo(f"{name}: left out, {what}")
        else:
            typer.echo(f"{path}: {what}")
