"""The parts of ``numcnn bench gpu`` that compute: parity, peers, peak, launches.

Each returns a dict that becomes JSON; under ``"rows"`` are the lines that a person reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from numcnn.device import get_device

from . import check, networks
from .devices import bandwidth, peak, take_apart
from .gpu_algorithms import algorithms
from .gpu_clock import in_turn, synchronize, tf32
from .steps import Step

__all__ = ["launches", "main", "parity", "peak_share", "torch_steps"]

DEVICE = "cuda"
NETWORKS = ("lenet", "demo", "vgg6")
BATCH = 64
ROUNDS = 20
# N, C = K, H = W of tuned convolutions, 3×3 with padding 1
CONVOLUTIONS = ((64, 128, 28), (64, 128, 16), (64, 256, 14), (64, 512, 7))


@tf32(False)
def parity(names: tuple[str, ...] = NETWORKS, batch_size: int = 16) -> dict[str, Any]:
    """Compare loss, outputs and gradients with those of the CPU, within what rounding explains."""
    found: dict[str, Any] = {"rows": [], "networks": {}}
    wrong = []
    for name in names:
        step = Step(name, batch_size, DEVICE)
        terms = networks.terms(step.model, step.x.shape, True)
        allowed = check.bound(terms)
        theirs = Step(name, batch_size, "cpu").results()
        row = f"{name} ×{batch_size}: "
        try:
            off = check.compare(step.results(), theirs, allowed, "cpu", networks.count_kinks(name))
        except check.WrongResultError as error:
            wrong.append(str(error))
            row += f"WRONG: {error}"
        else:
            row += f"differs by {off:.1e}, bound {allowed:.1e}"
            found["networks"][name] = {"difference": off, "bound": allowed, "terms": terms}
        found["rows"].append(row)
    found["failed"] = wrong
    return found


def _ours(step: Step) -> Callable[[], None]:
    repeated = step.repeated(step.device.to_device(step.x))

    def take() -> None:
        repeated()
        synchronize()

    return take


def _theirs(step: Step) -> Callable[[], None]:
    import torch

    from .peers import torch as peer

    named: dict[str, Any] = {}
    described, state = networks.describe(step.model), step.model.state_dict()
    net = peer.translate(described, state, named).cuda().train()
    x, y = torch.from_numpy(step.x).cuda(), torch.from_numpy(step.y).cuda()
    loss, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=1e-3)

    def take() -> None:
        optimizer.zero_grad()
        value = loss(net(x), y)
        value.backward()
        optimizer.step()
        value.item()
        torch.cuda.synchronize()

    return take


def torch_steps(names: tuple[str, ...] = NETWORKS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Time training steps beside PyTorch eager in this process, TF32 on and off on both."""
    import torch

    found: dict[str, Any] = {"rows": [], "steps": [], "torch": torch.__version__}
    for name in names:
        for allowed in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            torch.backends.cudnn.allow_tf32 = allowed
            with tf32(allowed):
                step = Step(name, BATCH, DEVICE)
                times = in_turn({"numcnn": _ours(step), "torch": _theirs(step)}, rounds)
            ratio = times["torch"] / times["numcnn"]
            one = {"network": name, "batch_size": BATCH, "tf32": allowed, "seconds": times}
            found["steps"].append(one | {"torch_over_numcnn": ratio})
            found["rows"].append(
                f"{name} ×{BATCH}, TF32 {'on' if allowed else 'off'}: "
                f"numcnn {times['numcnn'] * 1e3:.2f} ms, torch {times['torch'] * 1e3:.2f} ms, "
                f"torch ÷ numcnn {ratio:.2f}"
            )
    return found


@tf32(False)
def peak_share(
    cases: tuple[tuple[int, int, int], ...] = CONVOLUTIONS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Time convolutions with C, K ≥ 128 beside the float32 peak measured here."""
    device = get_device(DEVICE)
    top, copies = peak(device), bandwidth(device)
    assert top is not None  # there is always a compiler for the GPU
    found: dict[str, Any] = {"flop_per_s": top, "bytes_per_s": copies, "convolutions": []}
    found["rows"] = [f"peak {top / 1e12:.2f} TFLOP/s in float32, copies {copies / 1e12:.2f} TB/s"]
    rng = np.random.default_rng(0)
    for n, c, size in cases:
        x = device.to_device(rng.standard_normal((n, c, size, size), dtype=np.float32))
        weight = device.to_device(rng.standard_normal((c, c, 3, 3), dtype=np.float32))
        bias = device.to_device(np.zeros(c, np.float32))
        y, dx = (device.empty(x.shape, np.float32) for _ in range(2))
        dw = device.empty(weight.shape, np.float32)
        geometry = (1, 1, 1, 1, 1, 1, 1)
        kernels = device.kernels
        calls = {
            "forward": (kernels.conv2d_forward, (x, weight, bias, *geometry, y)),
            "backward_input": (kernels.conv2d_backward_input, (x, weight, *geometry, dx)),
            "backward_weight": (kernels.conv2d_backward_weight, (x, x, *geometry, dw)),
        }
        flop = 2 * n * c * size * size * c * 9
        for operation, (function, arguments) in calls.items():

            def timed(function: Any = function, arguments: Any = arguments) -> None:
                function(*arguments)
                synchronize()

            seconds = in_turn({"": timed}, rounds)[""]
            share = flop / seconds / top
            case = {"N": n, "C": c, "K": c, "H": size, "operation": operation}
            found["convolutions"].append(case | {"seconds": seconds, "share_of_peak": share})
            found["rows"].append(
                f"{n}×{c}×{size}×{size}, {c} filters of 3×3, {operation}: "
                f"{flop / seconds / 1e12:.2f} TFLOP/s, {share:.0%} of the peak"
            )
    return found


def launches(name: str = "lenet", rounds: int = ROUNDS) -> dict[str, Any]:
    """Say what part of a LeNet step the GPU is not computing: launches, copies and Python.

    Of steps whose kernels are launched one by one, and of the same steps repeated as a CUDA graph.
    """
    step, other = (Step(name, BATCH, DEVICE) for _ in range(2))
    sides = {"one by one": step.run, "as a graph": other.repeated()}
    walls = in_turn(sides, rounds)  # the first three of each, not counted, make the graph
    apart = take_apart(step, 5)
    computing = apart["columns"]["kernel"]
    found: dict[str, Any] = {"rows": [], "kernel_s": computing, **apart, "sides": {}}
    for side, wall in walls.items():
        share = max(0.0, 1 - computing / wall)
        found["sides"][side] = {"wall_s": wall, "launch_share": share}
        found["rows"].append(
            f"{name} ×{BATCH}, launched {side}: {wall * 1e3:.2f} ms a step, "
            f"{computing * 1e3:.2f} ms of kernels, launch share {share:.0%}"
        )
    return found


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "parity": parity,
    "torch": torch_steps,
    "peak": peak_share,
    "launches": launches,
    "algorithms": algorithms,
}


def main(name: str, path: str) -> None:
    """Run a part and write its figures; what is wrong in them becomes exit status 1."""
    found = PARTS[name]()
    Path(path).write_text(json.dumps(found), encoding="utf-8")
    print("\n".join(found["rows"]))
    if found.get("failed"):
        raise SystemExit(1)
