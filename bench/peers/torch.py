"""PyTorch as a peer: the same layers, weights and optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from numcnn.layers import Layer
from numcnn.model import Sequential

VERSION = torch.__version__


def translate(layer: Layer) -> torch.nn.Module:
    """Return torch's layer of the same name and arguments."""
    name = type(layer).__name__
    kind = getattr(torch.nn, name)
    own: dict[str, Any] = vars(layer)
    arguments = {
        "Conv2d": [
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "padding_mode",
        ],
        "Linear": ["in_features", "out_features"],
        "MaxPool2d": ["kernel_size", "stride", "padding", "dilation", "ceil_mode"],
        "AvgPool2d": ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"],
        "Dropout": ["p"],
        "Dropout2d": ["p"],
        "Flatten": ["start_dim", "end_dim"],
    }.get(name, [])
    values = {argument: own[argument] for argument in arguments}
    if name == "Conv2d":
        values |= {"dilation": own["dilation"], "groups": own["groups"]}
    if name in ("Conv2d", "Linear"):
        values["bias"] = own["bias"] is not None
    return kind(**values)


class Trainer:
    """The network `model` in PyTorch, trained by Adam on cross-entropy.

    Parameters
    ----------
    model : numcnn.Sequential
        Gives the layers and the weights.
    lr : float
    channels_last : bool
        Ask for the memory layout that convolutions of some shapes prefer.
    """

    def __init__(self, model: Sequential, lr: float, channels_last: bool = False) -> None:
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.net = torch.nn.Sequential(*(translate(layer) for layer in model))
        weights = {name: torch.from_numpy(value) for name, value in model.state_dict().items()}
        self.net.load_state_dict(weights)
        self.net.to(memory_format=self.layout)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)

    def _batch(self, x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(x).contiguous(memory_format=self.layout), torch.from_numpy(y)

    def loss_and_gradients(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Return loss and gradients with dropout off; nothing is learned."""
        self.net.eval()
        self.optimizer.zero_grad()
        images, labels = self._batch(x, y)
        value = self.loss(self.net(images), labels)
        value.backward()
        grads = {n: p.grad.numpy().copy() for n, p in self.net.named_parameters()}
        self.optimizer.zero_grad()
        return value.item(), grads

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch; return its loss."""
        self.net.train()
        self.optimizer.zero_grad()
        images, labels = self._batch(x, y)
        value = self.loss(self.net(images), labels)
        value.backward()
        self.optimizer.step()
        return value.item()
