"""Training steps and inference, side by side with peers: checked first, then timed in turn."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numba
import numpy as np

import numcnn

from . import check, networks
from .peers import find
from .side import Side

__all__ = ["Plan", "compare", "surroundings"]

LR = 1e-3
WARM_UP = 3  # turns before the timed ones
LEAST_TURN = 0.01  # seconds; shorter steps are repeated within a turn
PAUSE = 0.005  # seconds between turns, in which the threads of the last side stop waiting for work
MORE_STEPS = 3  # after the first, before the memory is looked at
CACHES = ("NUMCNN_CACHE_DIR", "XDG_CACHE_HOME")  # where numcnn and peers keep compiled code

Say = Callable[[str], None]


class Plan(NamedTuple):
    """What is to be measured.

    Attributes
    ----------
    task : {"train", "infer"}
    peers : tuple of str
        Names of `peers.PEERS`; none times numcnn alone.
    steps : int
        Timed turns of each side.
    batch_size : int, optional
        By default that of the network.
    algorithm : str
        numcnn's convolution.
    starts : int
        Fresh processes of each side, for the time to the end of the first step and for memory.
    cold : bool
        Begin with empty caches, and say how long the very first step takes.
    """

    task: str
    peers: tuple[str, ...] = ()
    steps: int = 30
    batch_size: int | None = None
    algorithm: str = "auto"
    starts: int = 1
    cold: bool = False


def surroundings() -> dict[str, Any]:
    """Return what the figures depend on beside the code."""
    return {
        "machine": platform.processor() or platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "numcnn": numcnn.__version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
    }


def _jobs(plan: Plan, name: str) -> tuple[dict[str, dict[str, Any]], int]:
    """Return what each side has to build, by its name; and the terms of the longest sum."""
    network = networks.build(name, plan.algorithm)
    assert network.input_shape is not None
    size = plan.batch_size or networks.NETWORKS[name].batch_size
    shape = (size, *network.input_shape[1:])
    classes = network.output_shape(shape)[-1]
    common = {"task": plan.task, "shape": shape, "classes": classes, "lr": LR}
    own = {"name": name, "algorithm": plan.algorithm}
    jobs = {"numcnn": common | {"side": "numcnn", "options": {}, "network": own}}
    if plan.peers:
        told = {"layers": networks.describe(network), "state": network.state_dict()}
        for peer in plan.peers:
            for variant, options in find(peer, plan.task).variants:
                job = common | {"side": peer, "options": options, "network": told}
                jobs[f"{peer} {variant}".strip()] = job
    return jobs, networks.terms(network, shape, plan.task == "train")


def _start(name: str, job: dict[str, Any], environment: dict[str, str], results: Any) -> None:
    """Note how long a fresh process takes to the end of its first step, and its memory."""
    with Side(name, job, environment) as side:
        results["cache_load_s"].append(side.first_step())
        side.ask("turn", MORE_STEPS)
        results["memory_bytes"].append(side.ask("memory"))


def _starts(plan: Plan, jobs: dict[str, Any], environment: dict[str, str], say: Say) -> Any:
    """Return cold and cache-load seconds and the memory of each side."""
    found: dict[str, dict[str, Any]] = {}
    for name, job in jobs.items():
        say(f"{name}: first step, {'caches empty' if plan.cold else 'to fill the caches'}")
        with Side(name, job, environment) as side:
            seconds = side.first_step()
        found[name] = {"cold_s": seconds if plan.cold else None}
        found[name] |= {"cache_load_s": [], "memory_bytes": []}
    for _ in range(plan.starts):
        for name, job in jobs.items():
            say(f"{name}: first step of a fresh process")
            _start(name, job, environment, found[name])
    for result in found.values():
        result["cache_load_s"] = statistics.median(result["cache_load_s"])
        known = [size for size in result["memory_bytes"] if size is not None]
        result["memory_bytes"] = max(known) if known else None
    return found


def _check(sides: dict[str, Side], allowed: float, kinks: int) -> dict[str, float]:
    """Return how far each peer's results are from numcnn's; refuse to go on if too far."""
    ours = sides["numcnn"].ask("results")
    return {
        name: check.compare(ours, side.ask("results"), allowed, name, kinks)
        for name, side in sides.items()
        if name != "numcnn"
    }


def _in_turn(sides: dict[str, Side], steps: int) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each side's steps, and how many steps make one turn."""
    warm = {name: [side.ask("turn", 1) for _ in range(WARM_UP)] for name, side in sides.items()}
    fastest = min(min(seconds) for seconds in warm.values())
    repeats = max(1, math.ceil(LEAST_TURN / fastest))
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for step in range(steps):
        first = step % len(names)  # nobody always follows the same side
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            times[name].append(sides[name].ask("turn", repeats))
    return times, repeats


def _spread(times: list[float]) -> dict[str, float]:
    """Return the median and the quartiles in milliseconds."""
    low, middle, high = np.quantile(times, (0.25, 0.5, 0.75)) * 1e3
    return {"median_ms": middle, "quartile_1_ms": low, "quartile_3_ms": high}


def _ratios(plan: Plan, times: dict[str, list[float]]) -> dict[str, Any]:
    """Return, for each peer, the best of its variants and how much longer than numcnn it takes."""
    found = {}
    for peer in plan.peers:
        variants = [name for name in times if name.split()[0] == peer]
        best = min(variants, key=lambda name: statistics.median(times[name]))
        pairs = zip(times["numcnn"], times[best], strict=True)
        found[peer] = {"best": best, "over_numcnn": statistics.median(b / a for a, b in pairs)}
    return found


def _one(plan: Plan, name: str, environment: dict[str, str], say: Say) -> dict[str, Any]:
    """Return the figures of one network."""
    jobs, terms = _jobs(plan, name)
    allowed = check.bound(terms)
    found = _starts(plan, jobs, environment, say) if plan.starts or plan.cold else {}
    with contextlib.ExitStack() as stack:
        sides = {
            side: stack.enter_context(Side(side, job, environment)) for side, job in jobs.items()
        }
        versions = {side: process.receive() for side, process in sides.items()}
        say("comparing results")
        differences = _check(sides, allowed, networks.count_kinks(name))
        say("taking steps in turn")
        times, repeats = _in_turn(sides, plan.steps)
    result = {
        "network": name,
        "batch_size": jobs["numcnn"]["shape"][0],
        "steps": plan.steps,
        "repeats": repeats,
        "terms": terms,
        "bound": allowed,
        "sides": {},
        "peers": _ratios(plan, times),
    }
    nothing = {"cold_s": None, "cache_load_s": None, "memory_bytes": None}
    for side, seconds in times.items():
        result["sides"][side] = {
            "version": versions[side],
            **_spread(seconds),
            **found.get(side, nothing),
            "difference": differences.get(side),
        }
    return result


def compare(plan: Plan, names: Iterable[str], say: Say = lambda _: None) -> dict[str, Any]:
    """Time one task on several networks, in turn with peers.

    Parameters
    ----------
    plan : Plan
    names : iterable of str
        Names of `networks.NETWORKS`.
    say : callable
        Is told what is going on.

    Returns
    -------
    dict
        The machine, and under ``"results"`` for each network: medians and quartiles of each side,
        seconds to the end of the first step in a fresh process, memory, how far the results were
        apart, and under ``"peers"`` the median of the step-by-step ratios.

    Raises
    ------
    ValueError, ImportError
        If a network or peer is unknown, or the peer isn't installed; before anything runs.
    WrongResultError
        If two sides compute different things.
    """
    names = [networks.check_name(name) for name in names]
    for peer in plan.peers:
        find(peer, plan.task)
    whole = {"benchmark": plan.task, "algorithm": plan.algorithm, **surroundings(), "results": []}
    for name in names:
        with contextlib.ExitStack() as stack:
            environment = {}
            if plan.cold:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="numcnn-bench-"))
                environment = dict.fromkeys(CACHES, folder)
            whole["results"].append(
                _one(plan, name, environment, lambda text, name=name: say(f"{name}: {text}"))  # type: ignore[misc]
            )
    return whole
