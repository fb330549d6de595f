"""The command line: ``numcnn train``, ``evaluate``, ``predict``, ``doctor`` and others.

A command that is used wrongly, or given what it can't use, says so in one sentence and exits
with 2; a check that failed exits with 1. What takes long to import is imported by the command that
needs it, so that help appears at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from . import __version__, cli_gallery, cli_warmup, recipe, runs
from .bench.cli import app as bench
from .checkpoint import weights_hash
from .cli_audit import audit_command
from .cli_errors import Commands
from .cli_lectures import lectures_command
from .cli_options import (
    DATA_SETS,
    MODELS,
    Augment,
    BatchSize,
    Checkpoint,
    ConvGeometry,
    ConvSizes,
    Data,
    Device,
    Epochs,
    Every,
    FileData,
    FileModel,
    LearningRate,
    Limit,
    Model,
    Momentum,
    Optimizer,
    Output,
    Resume,
    Schedule,
    Seed,
    Shift,
)
from .cli_pictures import pictures
from .data import DataLoader
from .losses import CrossEntropyLoss
from .models import ZOO

__all__ = ["app", "main"]

EPOCHS = 4
BATCH_SIZE = 64


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"numcnn {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="NUMCNN_DEBUG", help="Show where an error arose.")
    ] = False,
) -> None:
    """Convolutional networks whose every gradient is a loop nest you can read.

    Begin with [bold]numcnn train[/bold]; then [bold]numcnn predict[/bold] a digit of yours.
    """


@app.command()
def train(
    model: Model = "lenet",
    data: Data = "digits",
    epochs: Epochs = EPOCHS,
    batch_size: BatchSize = BATCH_SIZE,
    optimizer: Optimizer = "adam",
    lr: LearningRate = None,
    momentum: Momentum = None,
    schedule: Schedule = "one-cycle",
    shift: Shift = None,
    augment: Augment = False,
    device: Device = "cpu",
    seed: Seed = 0,
    limit: Limit = None,
    output: Output = None,
    checkpoint: Checkpoint = None,
    every: Every = None,
    resume: Resume = False,
    plot: Annotated[bool, typer.Option("--plot", help="Save history.png too.")] = False,
) -> None:
    """Train a network, test it, and save its weights and its history.

    Without options: LeNet on 12,000 handwritten digits that come with numcnn.

    [bold]Examples[/bold]

    [cyan]numcnn train[/cyan]

    [cyan]numcnn train --model mlp --epochs 10 --plot[/cyan]

    [cyan]numcnn train --data cifar10 --model cifar-demo --optimizer sgd --lr 0.03[/cyan]

    [cyan]numcnn train --data cifar10 --model cifar-demo --augment --epochs 20[/cyan]

    [cyan]numcnn train --checkpoint overnight --resume[/cyan]
    """
    if checkpoint is None and (resume or every):
        raise ValueError("--resume and --every need --checkpoint, the folder to write to")
    started = time.perf_counter()
    examples = runs.data_set(data)
    if augment:
        recipe.check_augment(examples)
    make_optimizer, steps = recipe.optimizer_maker(optimizer, lr, momentum)
    make_schedule = recipe.schedule_maker(schedule)
    network = runs.build(model, examples, device=device, seed=seed)
    folder = runs.make_folder(output or runs.FOLDER / f"{model}-{data}", plot)
    (x, y), (x_test, y_test) = examples.load()
    x, y = x[:limit], y[:limit]
    if device == "reference":  # plain Python would need hours for the whole test set
        x_test, y_test = x_test[:limit], y_test[:limit]
    count = sum(parameter.size for parameter in network.parameters())
    typer.echo(f"model   {model}, {count:,} parameters")
    typer.echo(f"data    {len(x):,} {examples.noun} to train on, {len(x_test):,} to test")
    shift = recipe.default_shift(network, augment) if shift is None else shift
    times = "once" if epochs == 1 else f"{epochs} times"
    typer.echo(f"plan    {times} through them, {batch_size} at a time, {steps}, seed {seed}")
    moves = [f"moved by up to {shift} pixels"] * (shift > 0) + ["mirrored"] * augment
    if moves:
        typer.echo(f"        pictures {' and '.join(moves)} at random, to be seen anew")
    cli_warmup.get_ready(network, (min(batch_size, len(x)), *examples.shape), make_optimizer)
    transform = recipe.transform_maker(examples, shift, augment)
    history = network.fit(
        DataLoader(x, y, batch_size, shuffle=True, seed=seed, transform=transform),
        epochs=epochs,
        optimizer=make_optimizer,
        scheduler=make_schedule,
        checkpoint=checkpoint,
        every=every,
        resume=resume,
    )
    if history.eager_because is not None:
        typer.echo(f"no CUDA graphs: {history.eager_because}")
    figures = {"epochs": epochs, "batch_size": batch_size, "optimizer": steps, "seed": seed}
    figures |= {"schedule": schedule, "shift": shift, "augment": augment, "examples": len(x)}
    figures |= {"mean": list(examples.mean), "std": list(examples.std)}
    run = runs.Run(network, model, examples, {key: str(figures[key]) for key in figures})
    accuracy = network.evaluate(run.normalize(x_test), y_test).accuracy
    assert accuracy is not None
    run.metadata.update(test_examples=str(len(x_test)), test_accuracy=str(accuracy))
    for what, path in runs.save(folder, run, history, plot):
        typer.echo(f"{what}: {path}")
    typer.echo(f"SHA-256 of the weights: {weights_hash(network)}")
    typer.echo(f"time: {time.perf_counter() - started:.0f} s, all included")
    typer.echo(f"test accuracy: {accuracy:.1%}")


def _console() -> Any:
    """Return where tables and pictures go; a pipe or file gets 100 columns."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=100)
    return console


@app.command()
def evaluate(
    weights: Annotated[
        Path | None, typer.Argument(help="Weights file; by default the newest in runs/.")
    ] = None,
    model: FileModel = None,
    data: FileData = None,
    device: Device = "cpu",
    batch_size: BatchSize = 256,
    limit: Limit = None,
) -> None:
    """Test a trained network: loss, accuracy, and accuracy for each class.

    [bold]Examples[/bold]

    [cyan]numcnn evaluate[/cyan]

    [cyan]numcnn evaluate runs/lenet-digits/weights.safetensors --data mnist[/cyan]
    """
    weights = weights or runs.newest_weights()
    run = runs.restore(weights, model, data, device)
    x, y = run.examples.load(split="test")
    x, y = x[:limit], y[:limit]
    typer.echo(f"weights: {weights}")
    what = f"{len(x):,} {run.examples.noun} of the test set of {run.examples.name}"
    typer.echo(f"{run.model} on {what}")
    scores = run.network.predict(run.normalize(x), batch_size)
    loss = CrossEntropyLoss().to("reference" if device == "reference" else "cpu")(scores, y)
    guesses = np.argmax(scores, axis=1)
    _console().print(runs.per_class(run.examples.classes, y, guesses))
    typer.echo(f"test loss: {loss:.4f}")
    typer.echo(f"test accuracy: {np.mean(guesses == y):.1%}")


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG and so on.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights file; by default the newest in runs/.")
    ] = None,
    model: FileModel = None,
    data: FileData = None,
    device: Device = "cpu",
    invert: Annotated[
        bool | None,
        typer.Option(
            "--invert/--no-invert",
            help="Exchange light and dark, or don't; by default if the border is light.",
        ),
    ] = None,
) -> None:
    """Say what pictures show, with the probability of each class.

    A digit may be a scan, a photograph or a drawing of any size, dark on light
    or light on dark; it is cut out, centred and scaled as MNIST's digits are.

    [bold]Examples[/bold]

    [cyan]numcnn predict seven.png[/cyan]

    [cyan]numcnn predict scans/*.jpg --weights runs/mlp-digits/weights.safetensors[/cyan]
    """
    from . import digit

    run = runs.restore(weights or runs.newest_weights(), model, data, device)
    examples = run.examples
    is_digit = examples.noun == "digits"
    pictures = [digit.prepare(path, examples.shape, invert, is_digit) for path in images]
    x = np.stack([picture.x for picture in pictures])
    scores = run.network.predict(run.normalize(x))
    console = _console()
    for path, picture, share in zip(images, pictures, digit.softmax(scores), strict=True):
        best = int(share.argmax())
        typer.echo(f"{path}: {examples.classes[best]} ({share[best]:.1%})")
        if picture.notes:
            typer.echo(f"  {'; '.join(picture.notes)}")
        console.print(digit.sheet(console, picture, examples.classes, share))


app.command()(pictures)


@app.command()
def gradcheck(
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="One layer or loss, for example conv2d.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="cpu|reference", help="Compiled loops or plain Python.")
    ] = "cpu",
    seed: Seed = 0,
    dtype: Annotated[
        str, typer.Option(metavar="float64|float32", help="Precision of the comparison.")
    ] = "float64",
) -> None:
    """Compare every gradient that numcnn computes with finite differences.

    Each element of each input and parameter is moved up and down a little; the
    slope that the output then shows must be the gradient that the backward pass
    gives. Exits with 1 if a gradient was not shown to be right.

    [bold]Examples[/bold]

    [cyan]numcnn gradcheck[/cyan]

    [cyan]numcnn gradcheck --layer conv2d --device reference[/cyan]
    """
    from . import gradcheck_all

    console = _console()
    checks = gradcheck_all.check_all(layer, device, seed, dtype)
    reports = []
    with console.status("Checking…") as status:
        for report in checks:
            reports.append(report)
            status.update(f"Checked {len(reports)}: {report.subject.splitlines()[0]}")
    console.print(gradcheck_all.table(reports))
    typer.echo(gradcheck_all.explain(reports))
    if not all(reports):
        raise typer.Exit(1)


@app.command()
def summary(
    model: Annotated[str, typer.Argument(metavar=MODELS, help="The network.")],
    data: Annotated[
        str | None, typer.Option(metavar=DATA_SETS, help="Make it for these examples.")
    ] = None,
) -> None:
    """Show what a network is made of, layer by layer.

    [bold]Examples[/bold]

    [cyan]numcnn summary lenet[/cyan]

    [cyan]numcnn summary mlp --data cifar10[/cyan]
    """
    if data is None:
        network = ZOO[runs.choose("model", model, ZOO)]()
    else:
        network = runs.build(model, runs.data_set(data))
    _console().print(network.summary())


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete all compiled kernels, and end.")
    ] = False,
    conv: ConvSizes = None,
    geometry: ConvGeometry = None,
) -> None:
    """Show what this machine offers: versions, threads, SIMD, kernel cache, memory, GPU.

    With [cyan]--conv[/cyan], say instead which algorithm computes such a convolution, and why:
    batch, channels, height, width, filters, kernel size; then stride and padding.

    [bold]Examples[/bold]

    [cyan]numcnn doctor[/cyan]

    [cyan]numcnn doctor --json[/cyan]

    [cyan]numcnn doctor --conv 64 32 26 26 64 3[/cyan]
    """
    from . import doctor as examine
    from .memory import in_bytes

    if conv is not None or geometry:
        for line in examine.explain_conv(conv, *(geometry or ())):
            typer.echo(line)
        return
    if clear_cache:
        count, size = examine.clear_cache()
        typer.echo(f"deleted {count} compiled kernels, {in_bytes(size)}")
        return
    findings = examine.diagnose()
    if as_json:
        typer.echo(json.dumps(findings, indent=2))
        return
    _console().print(examine.render(findings))


app.command("warmup")(cli_warmup.warmup_command)
app.command("lectures")(lectures_command)
app.command("audit")(audit_command)
app.add_typer(bench, name="bench")
for _command in cli_gallery.COMMANDS:
    app.command()(_command)


def main() -> None:
    """Run the command line; the entry point of ``numcnn`` and of ``python -m numcnn``."""
    for stream in (sys.stdout, sys.stderr):  # where × or … can't be shown, show ?
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app(prog_name="numcnn")


if __name__ == "__main__":
    main()
