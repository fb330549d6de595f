"""numcnn as a side of a comparison, with the same two classes as a peer."""

from __future__ import annotations

from typing import Any

import numpy as np

from numcnn import __version__ as VERSION
from numcnn.layers import no_grad
from numcnn.layers.dropout import RandomLayer
from numcnn.losses import CrossEntropyLoss
from numcnn.optim import Adam

from .networks import build

__all__ = ["VERSION", "Inference", "Training"]


class Inference:
    """The network in evaluation.

    Parameters
    ----------
    network : dict
        ``{"name": ..., "algorithm": ...}``, since numcnn needs no description of its own network.
    shape : tuple of int
    """

    def __init__(self, network: dict[str, Any], shape: tuple[int, ...]) -> None:
        self.model = build(network["name"], network["algorithm"])
        self.model.eval()

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        with no_grad():
            return self.model(x)


class Training:
    """The network in training by Adam on cross-entropy; arguments as for `Inference`."""

    def __init__(self, network: dict[str, Any], shape: tuple[int, ...], lr: float) -> None:
        self.model = build(network["name"], network["algorithm"])
        self.loss = CrossEntropyLoss()
        self.optimizer = Adam(self.model.parameters(), lr=lr)
        self.model.train()

    def results(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Return loss, outputs and gradients by name, dropout being off; nothing is learned."""
        for layer in self.model.layers():
            layer.training = not isinstance(layer, RandomLayer)
        scores = self.model(x)
        found = {"output": np.array(scores), "loss": np.array(self.loss(scores, y))}
        self.model.backward(self.loss.backward())
        for name, parameter in self.model.named_parameters():
            found[name] = np.array(parameter.grad)
        self.model.zero_grad()
        self.model.train()
        return found

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch as `fit` does; return its loss."""
        with self.model.without_input_gradient():
            value = self.loss(self.model(x), y)
            self.model.backward(self.loss.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value
