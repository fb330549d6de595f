"""Compiling on the command line: ``numcnn warmup``, and what ``numcnn train`` does by itself."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import doctor, recipe, runs, warmup
from .cli_options import DATA_SETS, MODELS, BatchSize
from .memory import in_bytes
from .model import Sequential
from .models import ZOO

__all__ = ["get_ready", "warmup_command"]

SLOW = 2.0  # seconds of compiling that are worth a line
LARGE = 64  # pixels; networks for larger pictures are compiled by name only
BATCH_SIZE = 64


def _console() -> Console:
    return Console(stderr=True)


def _compile(needs: list[warmup.Need], jobs: int) -> None:
    """Compile kernels under a bar, which goes away afterwards."""
    columns = (
        TextColumn("Compiling kernels"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task("")
        warmup.compile_all(
            needs, jobs, lambda done, total: bar.update(task, completed=done, total=total)
        )


def get_ready(network: Any, shape: tuple[int, ...], make_optimizer: Any) -> None:
    """Say where the training runs, and compile its kernels for batches of this shape."""
    device = network.device.name
    typer.echo(f"device  {doctor.describe_device(device)}")
    if device == "reference":
        return
    started = time.perf_counter()
    if device == "cpu":
        needs = warmup.missing_kernels(network, shape, make_optimizer)
        if len(needs) > 5:
            typer.echo(f"{len(needs)} kernels are compiled first, once.")
        _compile(needs, doctor.compiling_processes(doctor.cache_report()))
    else:
        with _console().status("Compiling kernels…"):
            warmup.compile_kernels(network, shape, make_optimizer)
    if (seconds := time.perf_counter() - started) > SLOW:
        typer.echo(f"kernels compiled in {seconds:.0f} s")


def _networks(models: list[str], data: str | None, everything: bool) -> list[Sequential]:
    """Return what is to be compiled."""
    if everything:
        return [network for make in ZOO.values() if _is_small(network := make(seed=0))]
    names = [runs.choose("model", model, ZOO) for model in models]
    if data is None:
        return [ZOO[name](seed=0) for name in names]
    examples = runs.data_set(data)
    return [runs.build(name, examples, device="cpu", seed=0) for name in names]


def _is_small(network: Sequential) -> bool:
    return max(_picture(network)[1:]) <= LARGE


def _picture(network: Sequential) -> tuple[int, ...]:
    assert network.input_shape is not None  # every network of the zoo knows its pictures
    return network.input_shape[1:]


def warmup_command(
    model: Annotated[
        list[str], typer.Option(metavar=MODELS, help="The network; may be given several times.")
    ] = ["lenet"],  # noqa: B006  (typer copies it)
    data: Annotated[str | None, typer.Option(metavar=DATA_SETS, help="For these examples.")] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help=f"All networks for pictures up to {LARGE}×{LARGE} pixels."),
    ] = False,
    optimizer: Annotated[
        str, typer.Option(metavar="|".join(recipe.LEARNING_RATE), help="Its kernels too.")
    ] = "adam",
    batch_size: BatchSize = BATCH_SIZE,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="How many processes compile; by default as many as cores."),
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Show what would be compiled, and end.")
    ] = False,
) -> None:
    """Compile the kernels of a network now, so that its first step starts at once.

    What is compiled stays in a cache until numcnn changes; [bold]numcnn train[/bold]
    does the same by itself. [bold]numcnn doctor --clear-cache[/bold] deletes it.

    [bold]Examples[/bold]

    [cyan]numcnn warmup[/cyan]

    [cyan]numcnn warmup --model resnet20 --model cifar-demo --data cifar10[/cyan]

    [cyan]numcnn warmup --all[/cyan]
    """
    started = time.perf_counter()
    make_optimizer, _ = recipe.optimizer_maker(optimizer, None, None)
    found: dict[warmup.Need, None] = {}
    for network in _networks(model, data, everything):
        shape = (batch_size, *_picture(network))
        found.update(dict.fromkeys(warmup.missing_kernels(network, shape, make_optimizer)))
    needs = warmup.largest_first(found)
    if only_list:
        for kernel, _types in needs:
            typer.echo(warmup.name_of(kernel))
        typer.echo(f"{len(needs)} kernels to compile")
        return
    report = doctor.cache_report()
    if not (report["enabled"] and report["writable"]):
        reason = "NUMCNN_CACHE=0 turns it off" if not report["enabled"] else "it can't be written"
        raise ValueError(
            f"compiled kernels would be lost at once: there is no cache in {report['folder']}, "
            f"{reason}; NUMCNN_CACHE_DIR names another folder"
        )
    processes = min(jobs or doctor.compiling_processes(report), max(1, len(needs)))
    _compile(needs, processes)
    seconds = time.perf_counter() - started
    report = doctor.cache_report()
    if needs:
        by = "1 process" if processes == 1 else f"{processes} processes"
        typer.echo(f"compiled {len(needs)} kernels in {seconds:.0f} s, {by}")
    else:
        typer.echo("nothing to compile: every kernel is in the cache")
    size = in_bytes(report["bytes"])
    typer.echo(f"cache: {report['kernels']} kernels, {size}, in {report['folder']}")
