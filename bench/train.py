"""Training steps side by side with a peer: checked first, then timed in turn."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

import numcnn
from numcnn.layers import Conv2d
from numcnn.losses import CrossEntropyLoss
from numcnn.model import Sequential
from numcnn.models import ZOO
from numcnn.optim import Adam

__all__ = ["compare", "report"]


class Trainer:
    """The network in numcnn, with the methods of a peer."""

    def __init__(self, model: Sequential, lr: float) -> None:
        self.model = model
        self.loss = CrossEntropyLoss()
        self.optimizer = Adam(model.parameters(), lr=lr)

    def loss_and_gradients(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Return loss and gradients with dropout off; nothing is learned."""
        self.model.eval()
        value = self.loss(self.model(x), y)
        self.model.backward(self.loss.backward())
        grads = {name: np.array(p.grad) for name, p in self.model.named_parameters()}
        self.model.zero_grad()
        return value, grads

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch; return its loss."""
        self.model.train()
        value = self.loss(self.model(x), y)
        self.model.backward(self.loss.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value


def _network(model: str, algorithm: str) -> Sequential:
    net = ZOO[model](seed=0)
    for layer in net.layers():
        if isinstance(layer, Conv2d):
            layer.algorithm = algorithm
    return net


def _batch(net: Sequential, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    assert net.input_shape is not None
    rng = np.random.default_rng(0)
    x = rng.random((batch_size, *net.input_shape[1:]), dtype=np.float32)
    return x, rng.integers(0, 10, batch_size)


def _work(pipe: Any, side: str, model: str, batch_size: int, algorithm: str) -> None:
    """Train one side in a process of its own: two thread pools in one process disturb each other.

    Answers "check" with loss and gradients, "step" with the seconds of one step.
    """
    net = _network(model, algorithm)
    x, y = _batch(net, batch_size)
    if side == "numcnn":
        trainer: Any = Trainer(net, 1e-3)
        version = numcnn.__version__
    else:
        name, _, layout = side.partition(" ")
        peer = importlib.import_module(f"numcnn.bench.peers.{name}")
        trainer = peer.Trainer(net, 1e-3, channels_last=bool(layout))
        version = peer.VERSION
    pipe.send(version)
    while (order := pipe.recv()) != "end":
        if order == "check":
            pipe.send(trainer.loss_and_gradients(x, y))
            continue
        started = time.perf_counter()
        trainer.step(x, y)
        pipe.send(time.perf_counter() - started)


def _difference(ours: tuple[float, dict], theirs: tuple[float, dict]) -> float:
    """Return the largest relative difference of the gradients; refuse to time wrong results."""
    (value, grads), (other, others) = ours, theirs
    worst = abs(value - other) / abs(other)
    for name, grad in grads.items():
        scale = float(np.abs(others[name]).max())
        worst = max(worst, float(np.abs(grad - others[name]).max()) / scale)
    # float32 sums over a batch of pictures: some 1e5 terms, whose rounding grows as their root
    bound = float(np.finfo(np.float32).eps) * 1e5**0.5 * 8
    if worst > bound:
        raise RuntimeError(f"the results differ by {worst:.1e} (bound {bound:.1e}); not timed")
    return worst


def _spread(times: list[float]) -> dict[str, float]:
    quarters = statistics.quantiles(times, n=4)
    return {
        "median_ms": statistics.median(times) * 1e3,
        "quartile_1_ms": quarters[0] * 1e3,
        "quartile_3_ms": quarters[2] * 1e3,
    }


def compare(
    model: str = "lenet",
    batch_size: int = 64,
    steps: int = 30,
    peer: str | None = "torch",
    algorithm: str = "auto",
) -> dict[str, Any]:
    """Time training steps of one network of the zoo, in turn with a peer.

    Parameters
    ----------
    model : str
        A name of `numcnn.models.ZOO`.
    batch_size, steps : int
        Examples in a step, and timed steps of each side (five more come before, untimed).
    peer : {"torch"}, optional
        None times numcnn alone.
    algorithm : {"auto", "loops", "direct"}
        Which convolution numcnn uses.

    Returns
    -------
    dict
        Versions, machine, medians and quartiles in ms, and the ratio of peer to numcnn as the
        median of the ratios step by step.
    """
    result: dict[str, Any] = {
        "benchmark": "train",
        "model": model,
        "batch_size": batch_size,
        "algorithm": algorithm,
        "steps": steps,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "versions": {"numba": numba.__version__},
    }
    names = ["numcnn"] + ([peer, f"{peer} channels_last"] if peer else [])
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    times: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        pipes[name], theirs = context.Pipe()
        arguments = (theirs, name, model, batch_size, algorithm)
        context.Process(target=_work, args=arguments, daemon=True).start()
        theirs.close()
        result["versions"][name.split()[0]] = pipes[name].recv()
    if peer:
        for name in ("numcnn", peer):
            pipes[name].send("check")
        result["difference"] = _difference(pipes["numcnn"].recv(), pipes[peer].recv())
    for step in range(-5, steps):
        for name, pipe in pipes.items():
            pipe.send("step")
            seconds = pipe.recv()
            if step >= 0:
                times[name].append(seconds)
    for pipe in pipes.values():
        pipe.send("end")
    result["sides"] = {name: _spread(values) for name, values in times.items()}
    if peer:
        best = min(names[1:], key=lambda name: statistics.median(times[name]))
        ratios = [b / a for a, b in zip(times["numcnn"], times[best], strict=True)]
        result["best_peer"] = best
        result["peer_over_numcnn"] = statistics.median(ratios)
    return result


def report(result: dict[str, Any], out: Path | None = None) -> str:
    """Return a few lines that say what was measured; write the JSON to `out` if given."""
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    lines = [
        f"training step, {result['model']}, batch {result['batch_size']}, "
        f"convolution {result['algorithm']}, {result['threads']} threads, "
        f"{result['steps']} steps in turn"
    ]
    for name, spread in result["sides"].items():
        lines.append(
            f"  {name:20s} {spread['median_ms']:8.1f} ms  "
            f"(quartiles {spread['quartile_1_ms']:.1f} to {spread['quartile_3_ms']:.1f})"
        )
    if "peer_over_numcnn" in result:
        lines.append(
            f"  {result['best_peer']} / numcnn: {result['peer_over_numcnn']:.2f} "
            f"(gradients agree to {result['difference']:.0e} before timing)"
        )
    return "\n".join(lines)
