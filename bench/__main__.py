"""``python -m numcnn.bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Timings that can be trusted.")


@app.callback()
def main() -> None:
    """Take timings side by side with a peer, after checking that both compute the same."""


@app.command()
def train(
    model: Annotated[str, typer.Option(help="A network of the zoo.")] = "lenet",
    batch_size: Annotated[int, typer.Option(help="Examples in a step.")] = 64,
    steps: Annotated[int, typer.Option(help="Timed steps of each side.")] = 30,
    peer: Annotated[str, typer.Option(help="torch, or '' for none.")] = "",
    algorithm: Annotated[str, typer.Option(help="auto, loops, direct or winograd.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
) -> None:
    """Time training steps.

    Example: ``python -m numcnn.bench train --peer torch --algorithm loops``
    """
    from numcnn.bench.train import compare, report

    typer.echo(report(compare(model, batch_size, steps, peer or None, algorithm), out))


if __name__ == "__main__":
    app()
