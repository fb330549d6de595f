"""Training steps side by side with a peer: checked first, then timed in turn."""

from __future__ import annotations

import importlib
import json
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


def _check(ours: Any, theirs: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest relative difference of the gradients; refuse to time wrong results."""
    (value, grads), (other, others) = (t.loss_and_gradients(x, y) for t in (ours, theirs))
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
    net = ZOO[model](seed=0)
    for layer in net.layers():
        if isinstance(layer, Conv2d):
            layer.algorithm = algorithm
    assert net.input_shape is not None
    rng = np.random.default_rng(0)
    x = rng.random((batch_size, *net.input_shape[1:]), dtype=np.float32)
    y = rng.integers(0, 10, batch_size)
    sides: dict[str, Any] = {"numcnn": Trainer(net, 1e-3)}
    result: dict[str, Any] = {
        "benchmark": "train",
        "model": model,
        "batch_size": batch_size,
        "algorithm": algorithm,
        "steps": steps,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "versions": {"numcnn": numcnn.__version__, "numba": numba.__version__},
    }
    if peer:
        module = importlib.import_module(f"numcnn.bench.peers.{peer}")
        result["versions"][peer] = module.VERSION
        sides[peer] = module.Trainer(net, 1e-3)
        sides[f"{peer} channels_last"] = module.Trainer(net, 1e-3, channels_last=True)
        result["difference"] = _check(sides["numcnn"], sides[peer], x, y)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for step in range(-5, steps):
        for name, side in sides.items():
            started = time.perf_counter()
            side.step(x, y)
            if step >= 0:
                times[name].append(time.perf_counter() - started)
    result["sides"] = {name: _spread(values) for name, values in times.items()}
    if peer:
        best = min((name for name in sides if name != "numcnn"), key=lambda n: np.median(times[n]))
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
