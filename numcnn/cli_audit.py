"""``numcnn audit``: float32 beside float64, within bounds that follow from the length of sums."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from .cli_options import Seed

__all__ = ["audit_command"]


def audit_command(
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="One layer, for example conv2d.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Show how far every layer in float32 is from float64, and how far it may be.

    A float32 number has 24 bits, so each addition and each multiplication rounds
    by up to 6e-8 of its result. A sum of K terms may be off by K such roundings of
    the sum over the terms' absolute values, in whatever order it is added up: that
    bound is computed for every number, not guessed.

    [bold]length of sum[/bold]: K, counted by the layer itself when fed with ones.
    [bold]bound[/bold] and [bold]seen error[/bold]: where the error uses most of its bound.
    [bold]share of the bound[/bold]: roundings partly cancel, so long sums use little of it;
    more than 100% can't be rounding and is a fault of the kernel.

    y is the output, dx the gradient of the input, dweight that of the weight.
    Exits with 1 if a bound is exceeded.

    [bold]Examples[/bold]

    [cyan]numcnn audit[/cyan]

    [cyan]numcnn audit --layer conv2d --seed 7[/cyan]
    """
    from . import audit

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=100)
    findings = []
    with console.status("Comparing…") as status:
        for found in audit.audit(layer, seed):
            findings.append(found)
            status.update(f"Compared {found.layer.splitlines()[0]}")
    console.print(audit.table(findings))
    typer.echo(audit.explain(findings))
    if not all(found.ok for found in findings):
        raise typer.Exit(1)
