"""3×3 convolutions by each algorithm of the GPU: what decides which of them "auto" should take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numcnn.device import get_device
from numcnn.error_bounds import OPERATIONS, conv2d_bound, conv2d_exact

from .gpu_clock import in_turn, synchronize, tf32

__all__ = ["CASES", "Case", "algorithms"]

DEVICE = "cuda"
GEOMETRY = (1, 1, 1, 1, 1, 1, 1)
ROUNDS = 5
SECONDS = 50.0  # after which no further pass is begun: what was found must get written
LEAST_SECONDS = 0.005  # shorter calls are repeated, so that the host's launches run ahead


class Case(NamedTuple):
    """A convolution with 3×3 filters and padding 1."""

    batch: int
    channels: int
    filters: int
    size: int

    def __str__(self) -> str:
        shape = f"{self.batch}×{self.channels}×{self.size}×{self.size}"
        return f"{shape}, {self.filters} filters of 3×3"


# those of one tile's size first: each further one is compiled anew
CASES = (
    Case(64, 128, 128, 28),
    Case(64, 256, 256, 14),
    Case(64, 512, 512, 7),
    Case(8, 256, 256, 14),
    Case(64, 64, 64, 56),
    Case(64, 64, 64, 28),
    Case(8, 128, 128, 28),
    Case(64, 64, 128, 28),
    Case(64, 256, 512, 7),
)


def _arrays(case: Case) -> dict[str, tuple[tuple[np.ndarray, ...], tuple[int, ...]]]:
    """Return the inputs of each pass, and the shape of its output."""
    n, c, k, size = case
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((n, each, size, size), dtype=np.float32) for each in (c, k))
    weight = rng.standard_normal((k, c, 3, 3), dtype=np.float32)
    bias = rng.standard_normal(k, dtype=np.float32)
    return {
        "forward": ((x, weight, bias), dy.shape),
        "backward_input": ((dy, weight), x.shape),
        "backward_weight": ((dy, x), weight.shape),
    }


def _pass(device: Any, name: str, operation: str, arrays: Any) -> tuple[Callable[[], None], Any]:
    """Return a function that launches a pass, and the array on the GPU that it writes."""
    inputs, shape = arrays
    given = [device.to_device(array) for array in inputs]
    out = device.empty(shape, np.float32)
    function = getattr(device.algorithm("conv2d", name), f"conv2d_{operation}")

    def launch() -> None:
        function(*given, *GEOMETRY, out)

    return launch, out


def _checked(device: Any, names: list[str], operation: str, arrays: Any) -> dict[str, float]:
    """Return which part of its bound each algorithm uses."""
    inputs, shape = arrays
    exact = conv2d_exact(operation, inputs, GEOMETRY, shape)
    plain = conv2d_bound("loops", operation, inputs, GEOMETRY, shape)
    turned = conv2d_bound("winograd", operation, inputs, GEOMETRY, shape)
    used = {}
    for name in names:
        launch, out = _pass(device, name, operation, arrays)
        launch()
        off = np.abs(np.asarray(device.to_host(out), np.float64) - exact)
        used[name] = float((off / (turned if name == "winograd" else plain)).max())
    return used


def _timed(device: Any, names: list[str], operation: str, arrays: Any, rounds: int) -> dict:
    """Return the seconds of each algorithm."""
    sides, repeats = {}, {}
    for name in names:
        launch, _ = _pass(device, name, operation, arrays)

        def timed(count: int = 1, launch: Callable[[], None] = launch) -> None:
            for _ in range(count):
                launch()
            synchronize()

        timed()  # compiles, and asks for memory
        begin = time.perf_counter()
        timed()
        repeats[name] = math.ceil(LEAST_SECONDS / max(1e-5, time.perf_counter() - begin))
        sides[name] = lambda timed=timed, count=repeats[name]: timed(count)
    return {name: each / repeats[name] for name, each in in_turn(sides, rounds).items()}


def _summary(found: list[dict[str, Any]]) -> list[str]:
    """Return a line for each pass: where Winograd's algorithm was faster than implicit GEMM."""
    lines = []
    for operation in OPERATIONS:
        ratios = [
            one["seconds"]["implicit_gemm"] / one["seconds"]["winograd"]
            for one in found
            if one["operation"] == operation
        ]
        if ratios:
            faster = sum(ratio > 1 for ratio in ratios)
            lines.append(
                f"{operation}: winograd is faster than implicit_gemm for {faster} of {len(ratios)} "
                f"shapes, {min(ratios):.2f} to {max(ratios):.2f} times as fast"
            )
    return lines


@tf32(False)
def algorithms(
    cases: tuple[Case, ...] = CASES, rounds: int = ROUNDS, seconds: float = SECONDS
) -> dict[str, Any]:
    """Time every algorithm of the GPU in turn, after comparing each for one picture.

    A pass that one of them gets wrong isn't timed, and once `seconds` are over none is begun.
    """
    device = get_device(DEVICE)
    names = list(device.algorithms("conv2d")[1:])
    found: dict[str, Any] = {"rows": [], "convolutions": [], "failed": [], "left_out": []}
    end = time.perf_counter() + seconds
    for case in cases:
        whole, one_picture = _arrays(case), _arrays(case._replace(batch=1))
        for operation in OPERATIONS:
            what = f"{case}, {operation}"
            if time.perf_counter() > end:
                found["left_out"].append(what)
                continue
            used = _checked(device, names, operation, one_picture[operation])
            wrong = [name for name in names if not used[name] <= 1]  # NaN is wrong too
            if wrong:
                found["failed"].append(f"{what}: WRONG: {', '.join(wrong)}")
                found["rows"].append(found["failed"][-1])
                continue
            times = _timed(device, names, operation, whole[operation], rounds)
            one = {**case._asdict(), "operation": operation, "seconds": times}
            found["convolutions"].append(one | {"bound_used": used})
            each = ", ".join(f"{name} {times[name] * 1e3:.3g} ms" for name in names)
            found["rows"].append(f"{what}: {each}")
    found["rows"] += _summary(found["convolutions"])
    if found["left_out"]:
        found["rows"].append(f"no time for {len(found['left_out'])} passes")
    return found
