"""What `devices.ask` found: tables, the sentence that answers the question, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from numcnn.figures import finish, new_figure

from .spans import COLUMNS

__all__ = ["answers", "plot", "step_table", "tables"]

SHOWN = 12  # kernels of a network


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.3g}"


def step_table(result: dict[str, Any]) -> Table:
    """Return a row for each network and device: from compiling to the loss on the host, in ms."""
    found = Table(title="a training step, milliseconds", title_justify="left")
    for name in ("network", "device"):
        found.add_column(name, no_wrap=True)
    for name in ("compile", "cache load", *COLUMNS, "wall", "sum ÷ wall", "left alone"):
        found.add_column(name, justify="right")
    for one in result["results"]:
        for number, (device, side) in enumerate(one["sides"].items()):
            size = side["steps"][-1]["batch_size"]
            start = side["start"]
            found.add_row(
                f"{one['network']} ×{size}" if number == 0 else "",
                device,
                _ms(start["compile_s"]),
                _ms(start["cache_load_s"]),
                *(_ms(side["columns"][name]) for name in COLUMNS),
                _ms(side["wall_s"]),
                f"{side['added_up']:.1%}",
                _ms(side["steps"][-1]["wall_s"]),
            )
    return found


def _kernel_table(one: dict[str, Any], device: str, known: dict[str, Any]) -> Table:
    found = Table(title=f"{one['network']} on {device}, by kernel", title_justify="left")
    found.add_column("kernel", no_wrap=True)
    for name in ("calls", "launch ms", "kernel ms", "% of copy bandwidth", "% of peak"):
        found.add_column(name, justify="right")
    for row in one["sides"][device]["kernels"][:SHOWN]:
        took = row["kernel_s"] or float("inf")
        top = known["flop_per_s"]
        found.add_row(
            row["name"],
            str(row["calls"]),
            _ms(row["launch_s"]),
            _ms(row["kernel_s"]),
            f"{row['bytes'] / took / known['bytes_per_s']:.0%}",
            f"{row['flop'] / took / top:.0%}" if row["flop"] and top else "–",
        )
    return found


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the table of steps, and one of kernels for each network and device."""
    found = [step_table(result)] if result["results"] else []
    for one in result["results"]:
        found += [_kernel_table(one, d, result["devices"][d]) for d in one["sides"]]
    return found


def answers(result: dict[str, Any]) -> str:
    """Return what there is to say in words: who wins from where on, and what is missing."""
    lines = []
    for name, known in result["devices"].items():
        if "missing" in known:
            lines.append(f"{name} was not measured: {known['missing']}")
            continue
        text = f"{name}: copies {known['bytes_per_s'] / 1e9:.1f} GB/s"
        if known["flop_per_s"]:
            text += f", computes at most {known['flop_per_s'] / 1e9:,.0f} GFLOP/s"
        lines.append(text)
    for one in result["results"]:
        first = next(iter(one["sides"]))
        sizes = [step["batch_size"] for step in one["sides"][first]["steps"]]
        for other, size in one["first_win"].items():
            where = f"never in the range {sizes[0]} to {sizes[-1]}"
            if size is not None:
                where = f"from batches of {size} on"
            lines.append(f"{one['network']}: {other} is faster than {first} {where}")
    lines.append(
        "Columns: each operation is waited for before the next begins; 'left alone' is the step "
        "without that. Bytes are those of inputs and outputs, once."
    )
    return "\n".join(lines)


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw milliseconds per step over the batch size, a line for each device."""
    count = max(1, len(result["results"]))
    figure = new_figure(4.5 * count, 3.5)
    for number, one in enumerate(result["results"]):
        axes = figure.add_subplot(1, count, number + 1)
        for device, side in one["sides"].items():
            sizes = [step["batch_size"] for step in side["steps"]]
            axes.plot(sizes, [s["wall_s"] * 1e3 for s in side["steps"]], marker="o", label=device)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("batch size")
        axes.set_ylabel("milliseconds per training step")
        axes.set_title(one["network"])
        axes.legend()
    finish(figure, path)
