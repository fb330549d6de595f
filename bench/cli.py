"""``numcnn bench``: timings that can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_devices import Bench, devices, gpu
from .cli_output import check_outputs, make_console, run
from .peers import PEERS

__all__ = ["app"]

app = typer.Typer(
    cls=Bench,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Take timings that can be trusted, alone or side by side with other frameworks.

    [bold]Checked first.[/bold] Every side gets the same weights and the same batch.
    Outputs, loss and every gradient must agree to what rounding explains;
    else nothing is timed.

    [bold]In turn.[/bold] Each side runs in a process of its own, one step after the
    other, again and again: what slows the machine down for a while slows all
    sides down. Look at the ratio, the median of the ratios step by step, and at
    the quartiles; absolute times of a busy machine mean little.

    [bold]Told apart.[/bold] "cold" is the very first step with empty caches, where
    kernels are compiled; "cache" the first step of a fresh process that finds
    them; "ms" a step among many.

    [bold]Examples[/bold]

    [cyan]numcnn bench train --peer torch[/cyan]

    [cyan]numcnn bench infer --model lenet --model vgg6 --peer onnxruntime[/cyan]

    [cyan]numcnn bench conv2d 64 32 26 26 64 3[/cyan]

    [cyan]numcnn bench --device cpu cuda[/cyan]

    [cyan]numcnn bench gpu --out results[/cyan]
    """,
)
app.command()(devices)
app.command()(gpu)

Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="NAME", help="A network; may be given several times."),
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peer", metavar="|".join(PEERS), help="May be given several times."),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Examples in a step; by default the network's own.")
]
Steps = Annotated[int, typer.Option(min=2, help="Timed turns of each side.")]
Algorithm = Annotated[
    str, typer.Option(metavar="NAME", help="numcnn's convolution: auto, loops, direct, winograd…")
]
Starts = Annotated[
    int, typer.Option(min=0, help="Fresh processes of each side, for start and memory.")
]
Cold = Annotated[
    bool, typer.Option("--cold", help="Begin with empty caches: time the very first step too.")
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file.")
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw them: PNG, PDF or SVG, by the ending.")
]


def _side_by_side(task: str, names: list[str], json: Path | None, plot: Path | None, **asked: Any):
    """Compare, print the table, write the files."""
    from . import report
    from .compare import Plan, compare

    check_outputs(json, plot)
    if plot is not None:
        report.new_figure(1, 1)  # what it needs is missing now, not after minutes
    console = make_console()
    result = run(console, lambda say: compare(Plan(task, **asked), names, say))
    console.print(report.table(result))
    typer.echo(report.notes(result))
    if json is not None:
        report.write_json(result, json)
        typer.echo(f"figures: {json}")
    if plot is not None:
        report.plot(result, plot)
        typer.echo(f"picture: {plot}")


@app.command()
def train(
    model: Models = None,
    peer: Peers = None,
    batch_size: Batch = None,
    steps: Steps = 30,
    algorithm: Algorithm = "auto",
    starts: Starts = 1,
    cold: Cold = False,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Time training steps: forward, loss, backward, Adam.

    Networks: lenet, vgg6 (six convolutions with batch normalisation), demo (the
    browser's CIFAR net), odd (sizes nobody tuned for), mlp (2-5-20-2), resnet18
    (for 32×32), alexnet1 (AlexNet's first layer), and those of the zoo.

    [bold]Examples[/bold]

    [cyan]numcnn bench train --peer torch[/cyan]

    [cyan]numcnn bench train -m lenet -m vgg6 -m odd --peer torch --json train.json[/cyan]

    [cyan]numcnn bench train --algorithm loops --peer torch --cold[/cyan]
    """
    asked = {"peers": tuple(peer or ()), "steps": steps, "batch_size": batch_size}
    asked |= {"algorithm": algorithm, "starts": starts, "cold": cold}
    _side_by_side("train", model or ["lenet"], json, plot, **asked)


@app.command()
def infer(
    model: Models = None,
    peer: Peers = None,
    batch_size: Batch = None,
    steps: Steps = 30,
    algorithm: Algorithm = "auto",
    starts: Starts = 1,
    cold: Cold = False,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Time inference: the forward pass in evaluation, nothing kept for a gradient.

    Networks are those of [cyan]numcnn bench train[/cyan].

    [bold]Examples[/bold]

    [cyan]numcnn bench infer --peer torch --peer onnxruntime[/cyan]

    [cyan]numcnn bench infer -m vgg6 --batch-size 1 --plot vgg6.png[/cyan]
    """
    asked = {"peers": tuple(peer or ()), "steps": steps, "batch_size": batch_size}
    asked |= {"algorithm": algorithm, "starts": starts, "cold": cold}
    _side_by_side("infer", model or ["lenet"], json, plot, **asked)


@app.command(context_settings={"allow_interspersed_args": True})
def conv2d(
    sizes: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="N C H W K k",
            help="Batch, channels, height, width, filters, "
            "kernel size; several in a row; by default LeNet's second layer.",
        ),
    ] = None,
    stride: Annotated[int, typer.Option(min=1)] = 1,
    padding: Annotated[int, typer.Option(min=0)] = 0,
    groups: Annotated[int, typer.Option(min=1)] = 1,
    order: Annotated[
        str, typer.Option(metavar="planes|last", help="How pictures lie in memory.")
    ] = "last",
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each pass.")] = 7,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Climb the ladder: one convolution by every algorithm there is.

    Begins at the definition in plain Python (on a smaller picture where it would
    take hours) and ends at the fastest file of kernels/cpu. Each pass is compared
    with its float64 result; the bound of its rounding errors is shown. Beside
    each measurement stands one of the machine's peak.

    [bold]Examples[/bold]

    [cyan]numcnn bench conv2d[/cyan]

    [cyan]numcnn bench conv2d 64 128 16 16 128 3 --padding 1 --plot ladder.png[/cyan]

    [cyan]numcnn bench conv2d 16 3 224 224 64 11 --stride 4 --padding 2[/cyan]
    """
    from . import ladder, ladder_report, report

    sizes = sizes or [64, 32, 26, 26, 64, 3]
    if len(sizes) % 6:
        raise ValueError(f"a convolution has six sizes, N C H W K k; got {len(sizes)} numbers")
    if order not in ladder.ORDERS:
        raise ValueError(f"--order must be planes or last, got {order!r}")
    check_outputs(json, plot)
    if plot is not None:
        report.new_figure(1, 1)
    console = make_console()
    results = []
    for first in range(0, len(sizes), 6):
        case = ladder.Case(*sizes[first : first + 6], stride, padding, groups, order)
        results.append(run(console, lambda say, case=case: ladder.climb(case, rounds, say)))
        console.print(ladder_report.table(results[-1]))
    typer.echo(ladder_report.notes(results[-1]))
    if json is not None:
        report.write_json({"benchmark": "conv2d", "results": results}, json)
        typer.echo(f"figures: {json}")
    if plot is not None:
        for number, result in enumerate(results):
            path = plot.with_stem(f"{plot.stem}-{number + 1}") if len(results) > 1 else plot
            ladder_report.plot(result, path)
            typer.echo(f"picture: {path}")
