"""Every layer and every loss against finite differences, for ``numcnn gradcheck``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from .gradcheck import MEANING, GradcheckReport, gradcheck
from .gradcheck_cases import CASES, Case
from .layers import Layer

__all__ = ["CASES", "Case", "check_all", "explain", "names", "table"]

WORST_LAST = ("pass", "kink", "precision", "vacuous", "fail")


def names() -> list[str]:
    """Return the layers and losses that there are cases for, in their order."""
    return list(dict.fromkeys(case.name for case in CASES))


def select(name: str | None) -> list[Case]:
    """Return the cases of one layer or loss, in any spelling of its case; all for None.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return near_name(name, CASES, "layer or loss")


def near_name(name: str | None, cases: Sequence[Any], what: str) -> list[Any]:
    """Return the cases of this ``name``, whatever its capitals; all for None.

    Raises
    ------
    ValueError
        If there is none; the text lists what there is, the most similar first.
    """
    if name is None:
        return list(cases)
    found = [case for case in cases if case.name.lower() == name.lower()]
    if not found:
        known = list(dict.fromkeys(case.name for case in cases))
        near = difflib.get_close_matches(name.lower(), [n.lower() for n in known], 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"there is no {what} {name!r} to check; {hint}choose one of {', '.join(known)}"
        )
    return found


def check_all(
    name: str | None = None, device: str = "cpu", seed: int = 0, dtype: str = "float64"
) -> Iterator[GradcheckReport]:
    """Compare every backward pass with finite differences, case by case.

    Parameters
    ----------
    name : str, optional
        Only this layer or loss.
    device : {"cpu", "reference"}
    seed : int
        Of parameters, inputs, targets and upstream gradients.
    dtype : {"float64", "float32"}

    Yields
    ------
    GradcheckReport

    Raises
    ------
    ValueError
        If there is no such layer, loss or device.
    """
    for number, case in enumerate(select(name)):
        rng = np.random.Generator(np.random.Philox([seed, number]))
        subject = case.build().to(device)
        if isinstance(subject, Layer):
            subject.reseed(seed)
        target = None if case.target is None else case.target(rng, case.shape)
        x = case.x(rng, case.shape)
        yield gradcheck(subject, x, target, dtype=dtype, seed=seed)


def _verdict(report: GradcheckReport) -> str:
    """Return the worst verdict of a report."""
    return max((verdict.verdict for verdict in report.verdicts), key=WORST_LAST.index)


def table(reports: list[GradcheckReport]) -> Any:
    """Return a table with one row for each report.

    Parameters
    ----------
    reports : list of GradcheckReport

    Returns
    -------
    rich.table.Table
    """
    rows = Table()
    for column in ("layer or loss, input", "arrays"):
        rows.add_column(column, overflow="fold")
    rows.add_column("elements", justify="right")
    rows.add_column("verdict")
    rows.add_column("difference", justify="right")
    for report in reports:
        verdict = _verdict(report)
        subject = report.subject.rpartition(", ")[0].replace(",\n ", ",").replace("\n", "")
        rows.add_row(
            Text(subject),
            ", ".join(v.name for v in report.verdicts),
            f"{sum(v.elements for v in report.verdicts):,}",
            Text(verdict, "green" if report.ok else "bold red"),
            f"{max(v.error for v in report.verdicts):.0e}",
        )
    return rows


def explain(reports: list[GradcheckReport]) -> str:
    """Return in words what the reports say: what went wrong and where, or that all is well."""
    bad = [report for report in reports if not report.ok]
    elements = sum(verdict.elements for report in reports for verdict in report.verdicts)
    found = {_verdict(report) for report in reports} - {"pass"}
    lines = [f"{name}: {MEANING[name]}" for name in WORST_LAST if name in found]
    if found != {"precision"}:
        lines += [str(report) for report in bad]
    if bad:
        lines.append(f"{len(bad)} of {len(reports)} checks did not show that the gradient is right")
    else:
        lines.append(f"{len(reports)} checks passed; {elements:,} elements were compared")
    return "\n".join(lines)
