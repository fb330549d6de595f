"""How parts of ``numcnn bench gpu`` take times: waiting for the GPU, and side by side."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from numcnn.kernels.cuda import _precision

__all__ = ["in_turn", "synchronize", "tf32"]


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let numcnn's products take tensor cores, or not; afterwards it is as it was."""
    before = _precision.tf32_allowed()
    _precision.allow_tf32(allowed)
    try:
        yield
    finally:
        _precision.allow_tf32(before)


def synchronize() -> None:
    """Wait until the GPU has done all that it was given."""
    from numcnn.kernels.cuda import _cuda

    _cuda.cuda.synchronize()


def in_turn(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each side; they take turns, so that all have the same clocks."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 3):
        for name, operation in sides.items():
            begin = time.perf_counter()
            operation()
            if number >= 3:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(each) for name, each in times.items()}
