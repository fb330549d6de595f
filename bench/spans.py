"""Where the time of a step goes: every call of a kernel and every copy, one after the other.

While `recording`, each operation is waited for before the next begins, so that their times can be
told apart; a step takes longer then than one that is left alone. On the GPU an operation's own time
is taken by events before and behind it; what the host needed beside that is the cost of launching
it. What lies between two operations is Python's.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from numcnn.device import Device

__all__ = ["COLUMNS", "Span", "columns", "flop", "recording"]

COLUMNS = ("host to device", "launch", "kernel", "device to host", "python")
KERNEL = re.compile(r"\w+_(forward|backward_\w+|update)")
COPIES = {
    "send": "host to device",
    "to_device": "host to device",
    "receive": "host to device",
    "begin_figures": "kernel",
    "end_figures": "device to host",
    "to_host": "device to host",
}


class Span(NamedTuple):
    """One operation: what it is, when it began and ended on the host, and what it moved."""

    kind: str  # one of COLUMNS
    name: str
    begin: float
    end: float
    device_s: float | None = None  # by the GPU's own clock
    flop: int = 0
    nbytes: int = 0


class _HostClock:
    """Operations that end when their call returns."""

    def time(self, call: Callable[[], Any]) -> tuple[Any, float, float, float | None]:
        begin = time.perf_counter()
        result = call()
        return result, begin, time.perf_counter(), None


class _CudaClock:
    """Operations that the GPU does after their call has returned."""

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda
        self.before, self.behind = (cuda.cuda.event() for _ in range(2))

    def time(self, call: Callable[[], Any]) -> tuple[Any, float, float, float | None]:
        begin = time.perf_counter()
        self.before.record(self.cuda.stream())
        result = call()
        self.behind.record(self.cuda.stream())
        self.cuda.cuda.synchronize()
        end = time.perf_counter()
        return result, begin, end, self.before.elapsed_time(self.behind) / 1e3


def _clock(device: Device) -> Any:
    if device.name != "cuda":
        return _HostClock()
    from numcnn.kernels.cuda import _cuda

    return _HostClock() if _cuda.SIMULATED else _CudaClock(_cuda)  # it has no events worth reading


def flop(name: str, arguments: tuple) -> int:
    """Return the operations of a convolution or matrix product by its definition; else 0."""
    arrays = [a for a in arguments if hasattr(a, "shape")]
    op, _, what = name.partition("_")
    if op in ("conv2d", "linear") and what in ("forward", "backward_input"):
        outputs = arrays[-1] if what == "forward" else arrays[0]
        return 2 * math.prod(outputs.shape) * math.prod(arrays[1].shape[1:])
    if op in ("conv2d", "linear") and what == "backward_weight":
        return 2 * math.prod(arrays[0].shape) * math.prod(arrays[-1].shape[1:])
    return 0


class _Watched:
    """A floor of kernels whose calls are timed."""

    def __init__(self, kernels: Any, note: Callable) -> None:
        self._kernels = kernels
        self._note = note

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kernels, name)
        if not KERNEL.fullmatch(name):
            return found

        def timed(*arguments: Any) -> Any:
            moved = sum(math.prod(a.shape) * a.dtype.itemsize for a in arguments if _is_array(a))
            return self._note(
                "kernel", name, lambda: found(*arguments), flop(name, arguments), moved
            )

        return timed


def _is_array(argument: Any) -> bool:
    return hasattr(argument, "shape") and hasattr(argument, "dtype") and bool(argument.shape)


@contextlib.contextmanager
def recording(device: Device) -> Iterator[list[Span]]:
    """Collect the spans of everything that happens on `device` meanwhile."""
    spans: list[Span] = []
    clock = _clock(device)
    inside = False

    def note(kind: str, name: str, call: Callable, flop: int = 0, nbytes: int = 0) -> Any:
        nonlocal inside
        if inside:  # a part of an operation that is being timed
            return call()
        inside = True
        try:
            result, begin, end, on_device = clock.time(call)
        finally:
            inside = False
        spans.append(Span(kind, name, begin, end, on_device, flop, nbytes))
        return result

    def watch(name: str) -> Callable:
        method = getattr(device, name)
        return lambda *args, **kw: note(COPIES[name], name, lambda: method(*args, **kw))

    update_all = device.update_all

    def update(name: str, numbers: tuple, jobs: list) -> None:
        """Take the updates of all parameters as one operation, which they are on the GPU."""
        arrays = [array for grad, moved in jobs for array in (grad, *moved)]
        moved = sum(a.size * a.dtype.itemsize for a in arrays)
        note("kernel", name, lambda: update_all(name, numbers, jobs), nbytes=moved)

    kernels = device.kernels
    copies = COPIES if device.name == "cuda" else {"begin_figures": ""}
    watched = {name: watch(name) for name in copies}
    if device.name == "cuda":
        watched["update_all"] = update
    device.kernels = _Watched(kernels, note)  # type: ignore[assignment]
    for name, method in watched.items():
        setattr(device, name, method)
    try:
        yield spans
    finally:
        device.kernels = kernels
        for name in watched:
            delattr(device, name)


def columns(spans: list[Span], begin: float, end: float) -> dict[str, float]:
    """Return the seconds between `begin` and `end`, sorted by what they were spent on.

    The parts are added up on their own: that they come to the whole shows that no span overlaps
    another and none is missing.
    """
    found = dict.fromkeys(COLUMNS, 0.0)
    before = begin
    for span in spans:
        found["python"] += span.begin - before
        before = span.end
        took = span.end - span.begin
        if span.kind == "kernel" and span.device_s is not None:
            found["kernel"] += span.device_s
            found["launch"] += took - span.device_s
        else:
            found[span.kind] += took
    found["python"] += end - before
    return found
