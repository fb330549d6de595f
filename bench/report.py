"""What `compare` found, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from numcnn.figures import finish, new_figure

__all__ = ["plot", "table", "write_json"]

TITLES = {"train": "training step", "infer": "inference"}


def write_json(result: dict[str, Any], path: Path) -> None:
    """Write all figures to a file."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _seconds(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f}"


def _milliseconds(number: float) -> str:
    return f"{number:.3f}" if number < 1 else f"{number:.1f}"


def _difference(off: float | None, bound: float) -> str:
    """Return how far a side's results are off; only gradients behind kinks may pass the bound."""
    if off is None:
        return ""
    return f"{off:.0e} < {bound:.0e}" if off < bound else f"{off:.0e}, kinks"


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table; bold is the faster of each peer's variants."""
    title = f"{TITLES[result['benchmark']]}, convolution {result['algorithm']}, "
    title += f"{result['threads']} threads"
    found = Table(title=title, title_justify="left", caption_justify="left")
    for name in ("network", "side"):
        found.add_column(name, no_wrap=True)
    for name in ("cold s", "cache s", "ms", "quartiles", "÷ numcnn", "MB", "differs by"):
        found.add_column(name, justify="right", no_wrap=True)
    for one in result["results"]:
        best = {peer["best"]: peer["over_numcnn"] for peer in one["peers"].values()}
        for number, (name, side) in enumerate(one["sides"].items()):
            memory, off = side["memory_bytes"], side["difference"]
            found.add_row(
                f"{one['network']} ×{one['batch_size']}" if number == 0 else "",
                f"{name} {side['version'].partition('+')[0]}",
                _seconds(side["cold_s"]),
                _seconds(side["cache_load_s"]),
                _milliseconds(side["median_ms"]),
                f"{_milliseconds(side['quartile_1_ms'])}–{_milliseconds(side['quartile_3_ms'])}",
                f"{best[name]:.2f}" if name in best else "",
                "–" if memory is None else f"{memory / 1e6:.0f}",
                _difference(off, one["bound"]),
                style="bold" if name in best or name == "numcnn" else None,
                end_section=number + 1 == len(one["sides"]),
            )
    return found


NOTES = """\
ms: median of {steps} turns, one side after the other. ÷ numcnn: median of the ratios turn by turn,
for the faster variant of each peer. cold, cache: seconds from the start of a process to the end of
its first step, with empty caches (--cold) and with full ones. MB: the most that was held above
what the imports hold. differs by: results before timing, relative to the largest number of a
layer; it must be below the bound, which is 6 eps √terms for so many terms on the longest way:
{terms}. "kinks": a gradient behind ReLU or max pooling passed by its Euclidean norm instead, since
units as near to the kink as two roundings are on for one side alone."""


def notes(result: dict[str, Any]) -> str:
    """Return what the columns mean, and where the bounds come from."""
    terms = ", ".join(f"{one['network']} {one['terms']:,}" for one in result["results"])
    return NOTES.format(steps=result["results"][0]["steps"], terms=terms)


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw a bar for each side of each network: its time as a multiple of numcnn's."""
    rows = [(one, name, side) for one in result["results"] for name, side in one["sides"].items()]
    figure = new_figure(8, 1.2 + 0.3 * len(rows))
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for _, name, _ in rows))
    labels = []
    for place, (one, name, side) in enumerate(rows):
        unit = one["sides"]["numcnn"]["median_ms"]
        low, middle, high = (
            side[key] / unit for key in ("quartile_1_ms", "median_ms", "quartile_3_ms")
        )
        axes.barh(-place, middle, color=f"C{names.index(name) % 10}")
        axes.plot([low, high], [-place, -place], color="black", linewidth=1.5)
        text = f" {_milliseconds(side['median_ms'])} ms"
        axes.text(max(middle, high), -place, text, va="center", fontsize=8)
        labels.append(f"{one['network']}, {name}")
    axes.set_yticks([-place for place in range(len(rows))], labels, fontsize=8)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("time, numcnn = 1; lines: quartiles")
    axes.set_title(f"{TITLES[result['benchmark']]}, {result['threads']} threads")
    finish(figure, path)
