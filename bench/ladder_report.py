"""What `ladder.climb` found, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from numcnn.error_bounds import OPERATIONS
from numcnn.figures import finish, new_figure

from .ladder import Case

__all__ = ["notes", "plot", "table"]


def _rows(result: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    """Return the rows of one pass, the slowest first, those not timed last."""
    own = [row for row in result["rows"] if row["operation"] == operation]
    return sorted(own, key=lambda row: row.get("gflops", float("inf")))


def _percent(share: float) -> str:
    """Return a share with three digits, however small it is."""
    return f"{100 * share:.1f}%" if share > 0.01 else f"{100 * share:.1g}%"


def _taken(result: dict[str, Any], row: dict[str, Any]) -> bool:
    """Return whether "auto" takes this algorithm for this pass."""
    first = result["passes"][row["operation"]]["auto"][0]
    return f"conv2d_{row['algorithm']}.py" in first


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table, one part for each pass."""
    found = Table(title=str(Case(**result["case"])), title_justify="left")
    found.add_column("pass, algorithm", no_wrap=True)
    for name in ("ms", "GFLOP/s", "% of peak", "max error", "bound", "used"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("")
    for operation in OPERATIONS:
        facts = result["passes"][operation]
        what = f"K = {facts['terms']:,}, {facts['bytes'] / 1e6:.1f} MB"
        what += f", {facts['flop_per_byte']:.0f} FLOP per byte"
        found.add_row(operation, *[""] * 6, what, style="bold")
        for row in _rows(result, operation):
            note = row.get("note", "")
            if "ms" not in row:
                found.add_row(f"  {row['algorithm']}", *["–"] * 6, note, style="dim")
                continue
            found.add_row(
                f"  {row['algorithm']}",
                f"{row['ms']:.2f}",
                f"{row['gflops']:.3g}",
                _percent(row["share_of_peak"]),
                f"{row['error']:.1e}",
                f"{row['bound']:.1e}",
                f"{row['bound_used']:.1%}",
                note or "auto takes it" * _taken(result, row),
            )
        found.add_section()
    return found


def notes(result: dict[str, Any]) -> str:
    """Return what the columns mean."""
    return (
        f"peak: {result['peak_gflops']:.0f} GFLOP/s of multiply-adds in registers on "
        f"{result['threads']} threads, measured beside every pass "
        f"({result['peak_lowest_gflops']:.0f} to {result['peak_highest_gflops']:.0f}); "
        f"% of peak: median of {result['rounds']} ratios.\n"
        "GFLOP/s count the products of the definition, two operations each: an algorithm that "
        "needs fewer may pass 100%.\n"
        "MB: inputs and outputs once. max error: from the float64 result. bound: the largest of "
        "all numbers'; used: of its own bound, by the number nearest to it "
        "(numcnn/error_bounds.py)."
    )


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the ladder: share of the peak by algorithm, for each pass, on a logarithmic axis."""
    figure = new_figure(10, 4)
    for number, operation in enumerate(OPERATIONS):
        axes = figure.add_subplot(1, len(OPERATIONS), number + 1)
        rows = [row for row in _rows(result, operation) if "ms" in row]
        for place, row in enumerate(rows):
            share = 100 * row["share_of_peak"]
            axes.barh(place, share, color="C1" if _taken(result, row) else "C0")
            axes.text(share, place, f" {share:.2g}%", va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), [row["algorithm"] for row in rows], fontsize=8)
        axes.set_xscale("log")
        axes.margins(x=0.25)
        axes.set_title(operation)
        axes.set_xlabel(f"% of {result['peak_gflops']:.0f} GFLOP/s")
    figure.suptitle(f"{Case(**result['case'])}; orange: what auto takes")
    finish(figure, path)
