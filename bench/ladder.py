"""One convolution by every algorithm, each checked and then timed beside the machine's peak."""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from numcnn.error_bounds import OPERATIONS, conv2d_bound, conv2d_exact, conv2d_terms
from numcnn.kernels import cpu, reference
from numcnn.kernels.cpu import _peak, conv2d
from numcnn.layers import Conv2d

from .check import WrongResultError
from .compare import surroundings

__all__ = ["ORDERS", "Case", "algorithms", "climb"]

Say = Callable[[str], None]

ORDERS = ("planes", "last")
REFERENCE_PRODUCTS = 30_000  # plain Python does less than a million in a second
PEAK_SECONDS = 0.004  # of one measurement of the peak
LEAST_SECONDS = 0.004  # shorter calls are repeated


class Case(NamedTuple):
    """A convolution's sizes, and the order in memory of its pictures."""

    batch: int
    channels: int
    height: int
    width: int
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    order: str = "last"

    def layer(self) -> Conv2d:
        """Return the layer; it refuses sizes that don't fit together."""
        sizes = (self.channels, self.filters, self.kernel, self.stride, self.padding)
        return Conv2d(*sizes, groups=self.groups)

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of x, weight and y."""
        x = (self.batch, self.channels, self.height, self.width)
        weight = (self.filters, self.channels // self.groups, self.kernel, self.kernel)
        return x, weight, tuple(self.layer().output_shape(x))

    def products(self) -> int:
        """Return how many products each of the three passes adds up, padding's included."""
        _, weight, y = self.shapes()
        return math.prod(y) * math.prod(weight[1:])

    def __str__(self) -> str:
        text = f"{self.batch}×{self.channels}×{self.height}×{self.width}, {self.filters} filters"
        text += f" of {self.kernel}×{self.kernel}"
        for name, usual in (("stride", 1), ("padding", 0), ("groups", 1)):
            value = getattr(self, name)
            text += "" if value == usual else f", {name} {value}"
        return text


class Task(NamedTuple):
    """One pass of one algorithm, ready to be run."""

    algorithm: str
    operation: str
    case: Case
    run: Callable[[], Any]
    error: float
    bound: float
    used: float


def algorithms() -> dict[str, ModuleType]:
    """Return the files ``kernels/cpu/conv2d_*.py`` that compute convolutions, by their names."""
    found = {}
    for path in sorted(Path(str(cpu.__file__)).parent.glob("conv2d_*.py")):
        module = importlib.import_module(f"{cpu.__name__}.{path.stem}")
        if all(hasattr(module, f"conv2d_{operation}") for operation in OPERATIONS):
            found[path.stem.removeprefix("conv2d_")] = module
    return found


def _small(case: Case) -> Case:
    """Return a case that plain Python can finish: the largest size is halved until it is small."""
    while case.products() > REFERENCE_PRODUCTS:
        sizes = {"batch": case.batch}
        if case.groups == 1:
            sizes |= {"channels": case.channels, "filters": case.filters}
        least = case.kernel + case.stride
        sizes |= {s: getattr(case, s) for s in ("height", "width") if getattr(case, s) > 2 * least}
        name = max(sizes, key=lambda size: sizes[size])
        if sizes[name] == 1:
            break
        case = case._replace(**{name: (sizes[name] + 1) // 2})
    return case


def _lay(array: np.ndarray, order: str) -> np.ndarray:
    """Return pictures plane by plane, or with all channels of a pixel side by side."""
    if order == "planes" or array.ndim != 4:
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _data(case: Case) -> tuple[dict[str, tuple[np.ndarray, ...]], dict[str, tuple[int, ...]]]:
    """Return the inputs of each pass, and the shape of its output."""
    x_shape, w_shape, y_shape = case.shapes()
    rng = np.random.default_rng(0)
    x, dy = (
        _lay(rng.standard_normal(shape, dtype=np.float32), case.order)
        for shape in (x_shape, y_shape)
    )
    weight = rng.standard_normal(w_shape, dtype=np.float32)
    bias = rng.standard_normal(case.filters, dtype=np.float32)
    inputs = {
        "forward": (x, weight, bias),
        "backward_input": (dy, weight),
        "backward_weight": (dy, x),
    }
    outputs = {"forward": y_shape, "backward_input": x_shape, "backward_weight": w_shape}
    return inputs, outputs


def _geometry(case: Case) -> tuple[int, ...]:
    return (case.stride,) * 2 + (case.padding,) * 2 + (1, 1, case.groups)


def _checked(
    name: str, module: Any, operation: str, case: Case, data: Any, exact: np.ndarray
) -> Task:
    """Run a pass once, compare it with `exact`, and return it as a task.

    Raises
    ------
    WrongResultError
        If a number is further from the exact one than rounding explains.
    """
    inputs, outputs = data[0][operation], data[1][operation]
    geometry = _geometry(case)
    out = np.full(outputs, np.nan, np.float32)
    if operation != "backward_weight":
        out = _lay(out, case.order)
    function = getattr(module, f"conv2d_{operation}")

    def run() -> None:
        function(*inputs, *geometry, out)

    run()
    off = np.abs(out.astype(np.float64) - exact)
    allowed = conv2d_bound(name, operation, inputs, geometry, outputs)
    used = np.where(off == 0, 0, off / np.maximum(allowed, np.finfo(np.float64).tiny))
    worst = np.unravel_index(np.argmax(used), used.shape)  # NaN counts as the largest
    if not used[worst] <= 1:
        raise WrongResultError(
            f"{name}, {operation}: {off[worst]:.1e} from the float64 result at "
            f"{tuple(map(int, worst))}, where rounding explains {allowed[worst]:.1e}; not timed"
        )
    return Task(
        name, operation, case, run, float(off.max()), float(allowed.max()), float(used[worst])
    )


def _tasks(case: Case, say: Say) -> Iterator[Task | dict[str, Any]]:
    """Iterate over everything to be timed; what can't be is a dict with the reason."""
    data = _data(case)
    inputs, outputs = data
    weight = inputs["forward"][1]
    stride = (case.stride, case.stride, 1, 1, case.groups)
    small = _small(case)
    small_data = data if small == case else _data(small)
    for operation in OPERATIONS:
        say(f"checking {operation}")
        exact = conv2d_exact(operation, inputs[operation], _geometry(case), outputs[operation])
        less = exact
        if small != case:
            given, shapes = small_data
            less = conv2d_exact(operation, given[operation], _geometry(small), shapes[operation])
        yield _checked("reference", reference, operation, small, small_data, less)
        for name, module in algorithms().items():
            serves = getattr(module, "serves", None)
            if serves is not None and not serves(weight, *stride):
                yield {
                    "algorithm": name,
                    "operation": operation,
                    "note": "not for such a convolution",
                }
            else:
                yield _checked(name, module, operation, case, data, exact)


class Yardstick:
    """The peak of multiply-adds, measured again beside every measurement.

    The speed of a machine drifts, most of all of one that is shared: only what is measured within
    the same few milliseconds can be compared.
    """

    def __init__(self) -> None:
        self.rounds = 256
        self.measured: list[float] = []
        _peak.multiply_add(self.rounds)  # compiled here
        while self._seconds() < PEAK_SECONDS:
            self.rounds *= 2

    def _seconds(self) -> float:
        started = time.perf_counter()
        self.operations = _peak.multiply_add(self.rounds)
        return time.perf_counter() - started

    def measure(self) -> float:
        """Return the peak of this moment, in operations per second."""
        self.measured.append(self.operations / self._seconds())
        return self.measured[-1]


def _seconds(run: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - started) / repeats


def _bytes(case: Case, operation: str) -> int:
    """Return the bytes of all inputs and outputs: what must be moved at least."""
    x, weight, y = (4 * math.prod(shape) for shape in case.shapes())
    return x + weight + y + (4 * case.filters if operation == "forward" else 0)


def _timed(tasks: list[Task], rounds: int) -> tuple[list[dict[str, Any]], Yardstick]:
    """Return the figures of each task: one task after the other, `rounds` times over."""
    yardstick = Yardstick()
    repeats = [
        max(1, math.ceil(LEAST_SECONDS / max(1e-9, _seconds(task.run, 1)))) for task in tasks
    ]
    seconds: list[list[float]] = [[] for _ in tasks]
    shares: list[list[float]] = [[] for _ in tasks]
    for _ in range(rounds):
        for number, task in enumerate(tasks):
            before = yardstick.measure()
            seconds[number].append(_seconds(task.run, repeats[number]))
            peak = (before + yardstick.measure()) / 2
            shares[number].append(2 * task.case.products() / seconds[number][-1] / peak)
    found = []
    for task, times, share in zip(tasks, seconds, shares, strict=True):
        middle = statistics.median(times)
        low, high = np.quantile(times, (0.25, 0.75)) * 1e3
        figures: dict[str, Any] = {"algorithm": task.algorithm, "operation": task.operation}
        figures |= {"shape": list(task.case[:6]), "ms": middle * 1e3}
        figures |= {"quartile_1_ms": low, "quartile_3_ms": high}
        figures["gflops"] = 2 * task.case.products() / middle / 1e9
        figures["share_of_peak"] = statistics.median(share)
        figures["bytes"] = _bytes(task.case, task.operation)
        figures |= {"error": task.error, "bound": task.bound, "bound_used": task.used}
        found.append(figures)
    return found, yardstick


def _facts(case: Case) -> dict[str, Any]:
    """Return what is computed, not measured, and what "auto" takes, for each pass."""
    _, w, y = case.shapes()
    weight = np.empty(w, np.float32)
    stride = (case.stride, case.stride, 1, 1, case.groups)
    facts = {}
    for operation in OPERATIONS:
        size = _bytes(case, operation)
        facts[operation] = {
            "terms": conv2d_terms(operation, w, y, case.groups),
            "flop": 2 * case.products(),
            "bytes": size,
            "flop_per_byte": 2 * case.products() / size,
            "auto": conv2d.explain(weight, y, *stride),
        }
    return facts


def climb(case: Case, rounds: int = 7, say: Say = lambda _: None) -> dict[str, Any]:
    """Time every algorithm on one convolution: forward, gradient of the input, of the weights.

    Parameters
    ----------
    case : Case
    rounds : int
        Measurements of each; the peak is measured before and behind every one of them.
    say : callable
        Is told what is going on.

    Returns
    -------
    dict
        The machine, ``"passes"`` with K, operations and bytes, and ``"rows"``: milliseconds,
        GFLOP/s and share of the peak, the largest error and its bound; or a note why not.

    Raises
    ------
    WrongResultError
        If an algorithm is further from the float64 result than its rounding explains.
    ShapeError, ValueError
        If the sizes don't fit together.
    """
    case.shapes()
    found = list(_tasks(case, say))
    tasks = [task for task in found if isinstance(task, Task)]
    say(f"timing {len(tasks)} passes")
    rows, yardstick = _timed(tasks, rounds)
    small = _small(case)
    for row in rows:
        if row["algorithm"] == "reference" and small != case:
            row["note"] = f"timed on {small}"
    return {
        "benchmark": "conv2d",
        **surroundings(),
        "case": case._asdict(),
        "rounds": rounds,
        "peak_gflops": statistics.median(yardstick.measured) / 1e9,
        "peak_lowest_gflops": min(yardstick.measured) / 1e9,
        "peak_highest_gflops": max(yardstick.measured) / 1e9,
        "passes": _facts(case),
        "rows": rows + [task for task in found if isinstance(task, dict)],
    }
