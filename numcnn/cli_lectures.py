"""``numcnn lectures``: the course's facts, computed anew before the learner's eyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:  # otherwise imported by the command alone, so that help appears at once
    from . import lectures

__all__ = ["lectures_command"]


def _show(console: Console, result: lectures.Result, whole: bool) -> None:
    """Print a fact; its comparisons too where it is one to look at, or doesn't hold."""
    mark = Text("  holds ", "green") if result.holds else Text("  FAILS ", "bold red")
    console.print(mark + Text(result.fact.statement, "bold" if whole else ""))
    if whole or not result.holds:
        for line in result.lines:
            _show_line(console, line)
    if result.error:
        console.print(Text(f"          broken off by {result.error}", "red"))


def _show_line(console: Console, line: lectures.Line) -> None:
    indent = " " * 10
    computed = line.computed.replace("\n", f"\n{indent}  ")
    if "\n" in computed:
        computed = f"\n{indent}  {computed}"
    said = f"{indent}{line.what}: {computed}"
    if line.computed != line.expected:
        expected = line.expected.replace("\n", f"\n{indent}  ")
        said += f"  ({expected})" if line.holds else f"  — expected {expected}"
    console.print(Text(said, "" if line.holds else "red"))


def _chosen(topic: str | None) -> list[lectures.Fact]:
    from . import lectures

    if topic is None:
        return list(lectures.FACTS)
    found = [fact for fact in lectures.FACTS if topic.lower() in fact.topic.lower()]
    if not found:
        topics = ", ".join(dict.fromkeys(fact.topic for fact in lectures.FACTS))
        raise ValueError(f"there is no topic {topic!r}; there are {topics}")
    return found


def _errata(console: Console) -> None:
    from . import lectures

    console.print(Text("\nErrata of the printed material", "bold underline"))
    for erratum in lectures.ERRATA:
        console.print(Text(f"  printed  {erratum.printed}\n  correct  {erratum.correct}\n"))


def lectures_command(
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only one topic, for example networks.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="cpu|reference", help="Compiled loops, or plain Python.")
    ] = "cpu",
    pictures: Annotated[
        Path | None, typer.Option(help="Save the pictures that belong to facts in this folder.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every comparison of every fact.")
    ] = False,
) -> None:
    """Replay what a course on convolutional networks states, on the real kernels.

    Each fact is computed anew and compared with what it should be. The central
    ones show their numbers; slips of the printed material are listed with their
    corrections. Exits with 1 if a fact doesn't hold.

    [bold]Examples[/bold]

    [cyan]numcnn lectures[/cyan]

    [cyan]numcnn lectures --topic arithmetic --verbose[/cyan]

    [cyan]numcnn lectures --pictures pictures[/cyan]
    """
    from . import lectures

    if device not in ("cpu", "reference"):
        raise ValueError(f"lectures run on cpu or reference, not on {device!r}")
    facts = _chosen(topic)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    counts = {True: 0, False: 0}
    heading = ""
    results = lectures.replay(facts, device, pictures)
    status = console.status("Computing…")
    with status:
        for result in results:
            if result.fact.topic != heading:
                heading = result.fact.topic
                console.print(Text(f"\n{heading}", "bold underline"))
            _show(console, result, result.fact.shown or verbose)
            counts[result.holds] += 1
            status.update(f"Computing… {sum(counts.values())} of {len(facts)}")
    if topic is None:
        _errata(console)
    told = f"{counts[True]} facts hold, {counts[False]} fail; {len(lectures.ERRATA)} errata"
    typer.echo(told)
    if counts[False]:
        raise typer.Exit(1)
