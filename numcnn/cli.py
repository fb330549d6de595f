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
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from typer.core import TyperGroup

from . import __version__, runs
from .device import DeviceError
from .losses import CrossEntropyLoss
from .models import ZOO

__all__ = ["app", "main"]

EPOCHS = 4
BATCH_SIZE = 64
SLOW = 2.0  # seconds of compiling that are worth a line

MODELS, DATA_SETS, DEVICES = "|".join(ZOO), "|".join(runs.DATA), "cpu|cuda|reference"
AS_FILE = "by default as the weights file says."
Model = Annotated[str, typer.Option(metavar=MODELS, help="The network.")]
Data = Annotated[str, typer.Option(metavar=DATA_SETS, help="What it is to learn.")]
FileModel = Annotated[str | None, typer.Option(metavar=MODELS, help=f"The network; {AS_FILE}")]
FileData = Annotated[str | None, typer.Option(metavar=DATA_SETS, help=f"The data set; {AS_FILE}")]
Epochs = Annotated[int, typer.Option(min=1, help="How often to go through the data.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples taken at a time.")]
Optimizer = Annotated[str, typer.Option(metavar="adam|sgd", help="How a gradient becomes a step.")]
LearningRate = Annotated[
    float | None, typer.Option(help="Learning rate; by default 0.001 for adam, 0.01 for sgd.")
]
Momentum = Annotated[float | None, typer.Option(help=f"For sgd alone; by default {runs.MOMENTUM}.")]
Device = Annotated[
    str,
    typer.Option(metavar=DEVICES, help="All cores, an NVIDIA GPU, or plain Python (slow)."),
]
Seed = Annotated[int, typer.Option(min=0, help="Decides whatever is drawn at random.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first N examples only.")]
Output = Annotated[
    Path | None, typer.Option(help="Folder for the results; by default runs/MODEL-DATA.")
]


class Commands(TyperGroup):
    """Commands whose expected errors become one sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` anywhere on the line, not before the command alone."""
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except BrokenPipeError:  # who reads our output has seen enough; typer ends quietly
            raise
        except (ValueError, TypeError, OSError, DeviceError, ImportError) as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            typer.echo(f"numcnn: {_sentence(error)}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("numcnn: stopped by Ctrl-C", err=True)
            raise typer.Exit(130) from None


def _sentence(error: Exception) -> str:
    """Return what an error says, without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show a warning as one line without source code, and those of one place once."""
    seen = set()

    def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if (filename, lineno) not in seen:
            seen.add((filename, lineno))
            typer.echo(f"numcnn: warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


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
    device: Device = "cpu",
    seed: Seed = 0,
    limit: Limit = None,
    output: Output = None,
    plot: Annotated[bool, typer.Option("--plot", help="Save history.png too.")] = False,
) -> None:
    """Train a network, test it, and save its weights and its history.

    Without options: LeNet on 12,000 handwritten digits that come with numcnn.

    [bold]Examples[/bold]

      numcnn train

      numcnn train --model mlp --epochs 10 --plot

      numcnn train --data cifar10 --model cifar-demo --optimizer sgd --lr 0.005
    """
    examples = runs.data_set(data)
    make_optimizer, steps = runs.optimizer_maker(optimizer, lr, momentum)
    network = runs.build(model, examples, device=device, seed=seed)
    folder = runs.make_folder(output or runs.FOLDER / f"{model}-{data}", plot)
    (x, y), (x_test, y_test) = examples.load()
    x, y = x[:limit], y[:limit]
    if device == "reference":  # plain Python would need hours for the whole test set
        x_test, y_test = x_test[:limit], y_test[:limit]
    count = sum(parameter.size for parameter in network.parameters())
    typer.echo(f"model   {model}, {count:,} parameters")
    typer.echo(f"data    {len(x):,} {examples.noun} to train on, {len(x_test):,} to test")
    times = "once" if epochs == 1 else f"{epochs} times"
    typer.echo(f"plan    {times} through them, {batch_size} at a time, {steps}, seed {seed}")
    _get_ready(network, examples, make_optimizer)
    history = network.fit(x, y, epochs, batch_size, optimizer=make_optimizer)
    accuracy = network.evaluate(x_test, y_test).accuracy
    assert accuracy is not None
    figures = {"epochs": epochs, "batch_size": batch_size, "optimizer": steps, "seed": seed}
    figures |= {"examples": len(x), "test_examples": len(x_test), "test_accuracy": accuracy}
    run = runs.Run(network, model, examples, {key: str(figures[key]) for key in figures})
    for what, path in runs.save(folder, run, history, plot):
        typer.echo(f"{what}: {path}")
    typer.echo(f"test accuracy: {accuracy:.1%}")


def _console() -> Any:
    """Return where tables and pictures go; a pipe or file gets 100 columns."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=100)
    return console


def _get_ready(network: Any, examples: runs.DataSet, make_optimizer: Any) -> None:
    """Say where the training runs, and compile its kernels."""
    from . import doctor

    device = network.device.name
    typer.echo(f"device  {doctor.describe_device(device)}")
    if device == "reference":
        return
    if device == "cpu" and not doctor.cache_report()["kernels"]:
        typer.echo("The kernels are compiled first, which takes about half a minute, once.")
    started = time.perf_counter()
    with _console().status("Compiling kernels…"):
        runs.compile_kernels(network, examples, make_optimizer)
    if (seconds := time.perf_counter() - started) > SLOW:
        typer.echo(f"kernels compiled in {seconds:.0f} s")


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

      numcnn evaluate

      numcnn evaluate runs/lenet-digits/weights.safetensors --data mnist
    """
    weights = weights or runs.newest_weights()
    run = runs.restore(weights, model, data, device)
    x, y = run.examples.load(split="test")
    x, y = x[:limit], y[:limit]
    typer.echo(f"weights: {weights}")
    what = f"{len(x):,} {run.examples.noun} of the test set of {run.examples.name}"
    typer.echo(f"{run.model} on {what}")
    scores = run.network.predict(x, batch_size)
    loss = CrossEntropyLoss().to("reference" if device == "reference" else "cpu")(scores, y)
    guesses = np.argmax(scores, axis=1)
    _console().print(runs.per_class(run.examples.classes, y, guesses))
    typer.echo(f"test loss: {loss:.4f}")
    typer.echo(f"test accuracy: {np.mean(guesses == y):.1%}")


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures, any format.")],
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

      numcnn predict seven.png

      numcnn predict scans/*.jpg --weights runs/mlp-digits/weights.safetensors
    """
    from . import digit

    run = runs.restore(weights or runs.newest_weights(), model, data, device)
    examples = run.examples
    is_digit = examples.noun == "digits"
    pictures = [digit.prepare(path, examples.shape, invert, is_digit) for path in images]
    scores = run.network.predict(np.stack([picture.x for picture in pictures]))
    console = _console()
    for path, picture, share in zip(images, pictures, digit.softmax(scores), strict=True):
        best = int(share.argmax())
        typer.echo(f"{path}: {examples.classes[best]} ({share[best]:.1%})")
        if picture.notes:
            typer.echo(f"  {'; '.join(picture.notes)}")
        console.print(digit.sheet(console, picture, examples.classes, share))


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

      numcnn gradcheck

      numcnn gradcheck --layer conv2d --device reference
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

      numcnn summary lenet

      numcnn summary mlp --data cifar10
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
) -> None:
    """Show what this machine offers: versions, threads, SIMD, kernel cache, memory, GPU.

    [bold]Examples[/bold]

      numcnn doctor

      numcnn doctor --json
    """
    from . import doctor as examine

    if clear_cache:
        count, size = examine.clear_cache()
        typer.echo(f"deleted {count} compiled kernels, {examine.in_bytes(size)}")
        return
    findings = examine.diagnose()
    if as_json:
        typer.echo(json.dumps(findings, indent=2))
        return
    _console().print(examine.render(findings))


def main() -> None:
    """Run the command line; the entry point of ``numcnn`` and of ``python -m numcnn``."""
    for stream in (sys.stdout, sys.stderr):  # where × or … can't be shown, show ?
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app(prog_name="numcnn")


if __name__ == "__main__":
    main()
