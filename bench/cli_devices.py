"""``numcnn bench --device cpu cuda`` and ``numcnn bench gpu``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from .cli_output import check_outputs, make_console, run

__all__ = ["Bench", "devices", "gpu"]

NAMES = ("cpu", "cuda", "reference")
NO_GPU = 3  # exit status of `gpu` where there is none


class Bench(TyperGroup):
    """The group of benchmarks; without a command's name, ``--device`` begins that of devices."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        """Put the command in that ``--device cpu cuda`` stands for."""
        if args and args[0] == "--device":
            args = ["devices", *args[1:]]
        elif args and args[0].startswith("--device="):
            args = ["devices", args[0].partition("=")[2], *args[1:]]
        return super().parse_args(ctx, args)


def devices(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="DEVICE...", help="cpu, cuda, reference.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME", help="A network; several times."),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(min=1, help="Several times; by default 1 4 16 64 256.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 7,
    cold: Annotated[
        bool, typer.Option("--cold", help="Time compilation too, with an empty cache.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them: PNG, PDF or SVG.")
    ] = None,
) -> None:
    """CPU or GPU? Take a training step apart on each: copies, launches, kernels, Python.

    The same as [cyan]numcnn bench --device cpu cuda[/cyan]. Says from which batch size
    on the second device is faster, or that it never is; each kernel stands beside
    the measured copy bandwidth and the measured peak. What is missing is reported.

    [bold]Examples[/bold]

    [cyan]numcnn bench --device cpu cuda[/cyan]

    [cyan]numcnn bench --device cpu cuda -m lenet -m vgg6 --plot devices.png[/cyan]
    """
    from . import devices as of_devices
    from . import devices_report, report

    chosen = tuple(dict.fromkeys(names or NAMES[:2]))
    for name in chosen:
        if name not in NAMES:
            raise ValueError(f"there is no device {name!r}; choose one of {', '.join(NAMES)}")
    check_outputs(json, plot)
    if plot is not None:
        report.new_figure(1, 1)
    question = of_devices.Question(chosen, rounds=rounds, cold=cold)
    if batch_size:
        question = question._replace(batch_sizes=tuple(sorted(set(batch_size))))
    console = make_console()
    result = run(console, lambda say: of_devices.ask(model or ["lenet"], question, say))
    for table in devices_report.tables(result):
        console.print(table)
    typer.echo(devices_report.answers(result))
    if json is not None:
        report.write_json(result, json)
        typer.echo(f"figures: {json}")
    if plot is not None:
        devices_report.plot(result, plot)
        typer.echo(f"picture: {plot}")


def gpu(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go.")],
    seconds: Annotated[
        float, typer.Option(min=1, help="All parts together end within this time.")
    ] = 470,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PART", help="A part; several times.")
    ] = None,
) -> None:
    """Prove and measure the GPU floor on a machine that has a GPU; nobody need be there.

    Runs the device tests, compute-sanitizer, a comparison with the CPU, and
    benchmarks beside PyTorch. Each part has a process and a time of its own; what
    fails or is missing is reported and the rest goes on. Writes gpu.json and
    gpu.txt into --out, after every part. Ends with 0 if all is well, 1 if a part
    failed, 3 where no GPU can be used.

    [bold]Example[/bold]

    [cyan]python -m numcnn.bench gpu --out bench/results[/cyan]
    """
    from numcnn.device import DeviceError, get_device

    from . import gpu as on_gpu

    parts = on_gpu.choose(only)
    try:
        get_device("cuda")
    except DeviceError as error:
        typer.echo(f"numcnn: nothing was measured: {error}", err=True)
        raise typer.Exit(NO_GPU) from None
    result = on_gpu.run(out, parts, seconds, typer.echo)
    typer.echo(on_gpu.table(result))
    typer.echo(f"figures: {out / 'gpu.json'}")
    if any(part["status"] == "failed" for part in result["parts"].values()):
        raise typer.Exit(1)
