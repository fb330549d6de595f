"""CPU or GPU? What a step is made of on each, and from which batch size on the GPU is faster."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numcnn.device import DeviceError, get_device

from . import networks
from .compare import surroundings
from .spans import Span, columns, recording
from .steps import Step, first_step

__all__ = ["Question", "ask", "bandwidth", "first_win", "peak", "take_apart"]

Say = Callable[[str], None]

WARM_UP = 2
COPY_BYTES = {"reference": 1 << 14}  # plain Python has no more than that to show
PEAK_SECONDS = 0.1


class Question(NamedTuple):
    """What is to be measured.

    Attributes
    ----------
    devices : tuple of str
        Names of devices; the first is what the others are compared with.
    batch_sizes : tuple of int
        Growing; the step is taken apart at the last.
    rounds : int
        Measurements of each.
    cold : bool
        Time compilation too: the first step of a fresh process with an empty cache.
    """

    devices: tuple[str, ...] = ("cpu", "cuda")
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64, 256)
    rounds: int = 7
    cold: bool = False


def take_apart(step: Step, rounds: int) -> dict[str, Any]:
    """Return a step's columns in seconds, what they add up to, and each kernel's share.

    Returns
    -------
    dict
        ``"columns"`` and ``"wall_s"`` of the step whose wall time is the median; ``"added_up"``,
        the sum of the columns by the wall time; ``"kernels"``, a row for each operation.
    """
    found = []
    for _ in range(rounds):
        with recording(step.device) as spans:
            begin = time.perf_counter()
            step.run()
            end = time.perf_counter()
        found.append((end - begin, columns(spans, begin, end), spans))
    wall, parts, spans = sorted(found, key=lambda one: one[0])[len(found) // 2]
    added = sum(parts.values()) / wall
    return {"columns": parts, "wall_s": wall, "added_up": added, "kernels": _rows(spans)}


def _rows(spans: list[Span]) -> list[dict[str, Any]]:
    """Return calls, seconds, operations and bytes of each kernel, the slowest first."""
    rows: dict[str, dict[str, Any]] = {}
    for span in spans:
        if span.kind != "kernel":
            continue
        row = rows.setdefault(span.name, {"name": span.name, "calls": 0, "kernel_s": 0.0})
        row["calls"] += 1
        took = span.end - span.begin
        own = took if span.device_s is None else span.device_s
        row["kernel_s"] += own
        for key, value in (
            ("launch_s", took - own),
            ("flop", span.flop),
            ("bytes", span.nbytes),
        ):
            row[key] = row.get(key, 0) + value
    return sorted(rows.values(), key=lambda row: -row["kernel_s"])


def _synchronize(device: Any) -> None:
    if device.name == "cuda":
        from numcnn.kernels.cuda import _cuda

        _cuda.cuda.synchronize()


def bandwidth(device: Any, nbytes: int | None = None, rounds: int = 5) -> float:
    """Return the bytes per second, read and written, of a kernel that only copies."""
    nbytes = nbytes or COPY_BYTES.get(device.name, 1 << 26)
    x = device.to_device(np.ones(nbytes // 4, np.float32))
    y = device.empty((nbytes // 4,), np.float32)
    best = float("inf")
    for _ in range(rounds + 1):  # the first compiles
        _synchronize(device)
        begin = time.perf_counter()
        device.kernels.scale_forward(x, 1.0, y)
        _synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * nbytes / best


def peak(device: Any, seconds: float = PEAK_SECONDS) -> float | None:
    """Return the float32 operations per second of multiply-adds in registers; None: no compiler."""
    rounds = 100
    try:
        _multiply_add(device, rounds)  # compiled here
    except RuntimeError:
        return None
    while True:
        begin = time.perf_counter()
        operations = _multiply_add(device, rounds)
        took = time.perf_counter() - begin
        if took >= seconds:
            return operations / took
        rounds = int(rounds * max(2, min(100, 1.2 * seconds / took)))


def _multiply_add(device: Any, rounds: int) -> int:
    if device.name == "cuda":
        from numcnn.kernels.cuda import _peak

        operations, _ = _peak.multiply_add(4096, rounds)
        _synchronize(device)
        return operations
    from numcnn.kernels.cpu import _peak as of_cpu

    return of_cpu.multiply_add(rounds)


def first_win(sizes: list[int], ours: list[float], theirs: list[float]) -> int | None:
    """Return the least batch size from which on `theirs` is always faster; None: never in range."""
    for place, size in enumerate(sizes):
        if all(b < a for a, b in zip(ours[place:], theirs[place:], strict=True)):
            return size
    return None


def _steady(step: Step, rounds: int) -> float:
    """Return the median seconds of a step, left alone."""
    times = []
    for number in range(WARM_UP + rounds):
        begin = time.perf_counter()
        step.run()
        if number >= WARM_UP:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _starts(name: str, size: int, device: str, cold: bool) -> dict[str, float | None]:
    """Return the seconds of loading compiled kernels and, if asked for, of compiling them."""
    warm = first_step(name, size, device)  # it may have to compile, and fills the cache
    warm = first_step(name, size, device)
    found: dict[str, float | None] = {"cache_load_s": warm["first_s"] - warm["third_s"]}
    found["compile_s"] = None
    if cold:
        with tempfile.TemporaryDirectory(prefix="numcnn-bench-") as folder:
            begun = first_step(name, size, device, folder)
        found["compile_s"] = begun["first_s"] - warm["first_s"]
    return found


def _on(name: str, device: str, question: Question, say: Say) -> dict[str, Any]:
    """Return what one device makes of one network."""
    largest = question.batch_sizes[-1]
    say(f"{name} on {device}: fresh processes")
    found: dict[str, Any] = {"start": _starts(name, largest, device, question.cold), "steps": []}
    for size in question.batch_sizes:
        say(f"{name} on {device}: batches of {size}")
        step = Step(name, size, device)
        found["steps"].append({"batch_size": size, "wall_s": _steady(step, question.rounds)})
    say(f"{name} on {device}: taking a step apart")
    return found | take_apart(step, question.rounds)


def ask(names: list[str], question: Question, say: Say = lambda _: None) -> dict[str, Any]:
    """Measure networks on devices; a device that can't be used is reported, not refused.

    Returns
    -------
    dict
        ``"devices"``: copy bandwidth and peak of each, or why it is missing. ``"results"``: for
        each network what each device made of it, and under ``"first_win"`` the batch size from
        which on another device is faster than the first.
    """
    names = [networks.check_name(name) for name in names]
    whole: dict[str, Any] = {"benchmark": "devices", **surroundings(), "devices": {}}
    whole |= {"results": [], "rounds": question.rounds}
    for name in question.devices:
        try:
            device = get_device(name)
        except DeviceError as error:
            whole["devices"][name] = {"missing": str(error)}
            continue
        say(f"{name}: copy bandwidth and peak")
        whole["devices"][name] = {"bytes_per_s": bandwidth(device), "flop_per_s": peak(device)}
    present = [name for name in question.devices if "missing" not in whole["devices"][name]]
    for name in names:
        sides = {device: _on(name, device, question, say) for device in present}
        wins = {
            other: first_win(
                list(question.batch_sizes),
                *([step["wall_s"] for step in sides[d]["steps"]] for d in (present[0], other)),
            )
            for other in present[1:]
        }
        whole["results"].append({"network": name, "sides": sides, "first_win": wins})
    return whole
