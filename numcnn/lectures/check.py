"""Facts: what the course states, and the lines that compute it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FACTS", "Check", "Fact", "Line", "Result", "draws", "fact", "replay"]


@dataclass(frozen=True)
class Line:
    """One comparison: what it is of, what was computed, what was expected."""

    what: str
    computed: str
    expected: str
    holds: bool


def text(value: Any) -> str:
    """Return a value as a learner would write it."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, np.ndarray):
        return np.array2string(np.asarray(value), separator=", ", precision=4, suppress_small=True)
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, tuple) and len(value) > 1 and all(isinstance(v, int) for v in value):
        return "×".join(map(str, value))
    return str(value)


@dataclass
class Check:
    """What a fact's function writes its comparisons into.

    Attributes
    ----------
    device : str
        Where the kernels of the fact run.
    pictures : Path or None
        Folder for pictures; None where nobody wants any.
    """

    device: str = "cpu"
    pictures: Path | None = None
    lines: list[Line] = field(default_factory=list)

    def equal(self, what: str, computed: Any, expected: Any) -> None:
        """Note whether two values are the same, arrays number by number."""
        same = np.array_equal(computed, expected)
        self.lines.append(Line(what, text(computed), text(expected), bool(same)))

    def near(self, what: str, computed: Any, expected: Any, within: float) -> None:
        """Note whether the largest difference is at most `within`; both must be finite."""
        difference = np.abs(np.asarray(computed, np.float64) - np.asarray(expected, np.float64))
        largest = float(difference.max(initial=0.0))
        holds = bool(difference.size) and bool(np.isfinite(largest)) and largest <= within
        if difference.ndim == 0:
            self.lines.append(Line(what, text(computed), f"{text(expected)} ± {within:g}", holds))
        else:
            told = f"differs by {largest:.1e}"
            self.lines.append(Line(what, told, f"{within:g} at most", holds))

    def holds(self, what: str, computed: Any, condition: bool, expected: str) -> None:
        """Note whether a condition holds, which `expected` says in words."""
        self.lines.append(Line(what, text(computed), expected, bool(condition)))

    def refuses(self, what: str, call: Callable[[], Any], *parts: str) -> None:
        """Note whether a call is refused with a ValueError whose text holds all `parts`."""
        expected = "an error with " + " and ".join(map(repr, parts))
        try:
            given = call()
        except ValueError as error:
            said = str(error)
            self.lines.append(Line(what, said, expected, all(part in said for part in parts)))
        else:
            self.lines.append(Line(what, f"no error but {text(given)}", expected, False))


@dataclass(frozen=True)
class Fact:
    """A statement of the course.

    Attributes
    ----------
    topic, statement : str
    compute : callable
        ``compute(check)`` computes it anew and notes its comparisons.
    shown : bool
        Whether learners are shown every comparison of it, unasked.
    """

    topic: str
    statement: str
    compute: Callable[[Check], None]
    shown: bool


@dataclass(frozen=True)
class Result:
    """What became of a fact: its comparisons, and what broke off the computation, if anything."""

    fact: Fact
    lines: tuple[Line, ...]
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether something was compared and all of it came out as stated."""
        return not self.error and bool(self.lines) and all(line.holds for line in self.lines)


FACTS: list[Fact] = []


def draws(seed: int) -> np.random.Generator:
    """Return a generator of random numbers: a fact has the same ones every time."""
    return np.random.default_rng(seed)


def fact(topic: str, statement: str, shown: bool = False) -> Callable:
    """Make a function ``f(check)`` a fact, in the order of the files."""

    def register(compute: Callable[[Check], None]) -> Callable[[Check], None]:
        FACTS.append(Fact(topic, statement, compute, shown))
        return compute

    return register


def replay(
    facts: list[Fact], device: str = "cpu", pictures: Path | None = None
) -> Iterator[Result]:
    """Compute facts anew, one by one.

    Parameters
    ----------
    facts : list of Fact
    device : {"cpu", "reference"}
    pictures : path, optional
        Folder, which exists, for pictures that belong to facts.

    Yields
    ------
    Result
        A fact whose computation fails does not hold; its error is told.
    """
    for each in facts:
        check = Check(device, pictures)
        try:
            each.compute(check)
        except Exception as error:  # whatever it is, this fact was not shown
            yield Result(each, tuple(check.lines), f"{type(error).__name__}: {error}")
        else:
            yield Result(each, tuple(check.lines))
