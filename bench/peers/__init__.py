"""Other frameworks: one file each, imported in a process of its own and only when asked for.

A peer's file imports its framework and NumPy, and nothing of numcnn. It has ``VERSION`` and

``Inference(network, shape, **options)``
    with ``run(x)``, which returns the outputs;
``Training(network, shape, lr, **options)``
    with ``results(x, y)``, which returns outputs, loss and gradients by name with dropout off,
    and ``step(x, y)``, a step of Adam on cross-entropy.

``network`` is ``{"layers": what numcnn.bench.networks.describe returns, "state": weights}``. Both
methods return when the numbers are there, not when they have been asked for.
"""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

__all__ = ["PEERS", "Peer", "find"]


class Peer(NamedTuple):
    """What is known of a framework without importing it."""

    packages: tuple[str, ...]
    tasks: tuple[str, ...]
    install: str
    variants: tuple[tuple[str, dict[str, Any]], ...] = (("", {}),)


BOTH = ("train", "infer")
LAYOUTS = (("", {}), ("channels_last", {"channels_last": True}))
PEERS = {
    "torch": Peer(("torch",), BOTH, "torch==2.13.0", LAYOUTS),
    "onnxruntime": Peer(("onnxruntime", "onnx"), ("infer",), "onnxruntime onnx"),
    "jax": Peer(("jax",), BOTH, "jax"),
    "tinygrad": Peer(("tinygrad",), BOTH, "tinygrad"),
}


def find(name: str, task: str) -> Peer:
    """Return a peer that can be compared with.

    Raises
    ------
    ValueError
        If there is no such peer, or it has no such task.
    ImportError
        If it isn't installed; the text says how to get it.
    """
    if name not in PEERS:
        raise ValueError(f"there is no peer {name!r}; choose one of {', '.join(PEERS)}")
    peer = PEERS[name]
    if task not in peer.tasks:
        able = ", ".join(other for other, known in PEERS.items() if task in known.tasks)
        raise ValueError(f"{name} does not {task}; peers that do are {able}")
    missing = [package for package in peer.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"{name} is not installed ({', '.join(missing)} not found); "
            f"python -m pip install {peer.install}"
        )
    return peer
