"""PyTorch as a peer: the same layers, weights and optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

VERSION = torch.__version__

Net = dict[str, Any]


class _Residual(torch.nn.Module):
    def __init__(self, branch: torch.nn.Module, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)


def translate(layer: Net, state: dict[str, np.ndarray], named: dict[str, Any]) -> torch.nn.Module:
    """Return torch's layer of the same name and arguments, with its weights.

    Its parameters are added to `named`, by the names that numcnn gives them.
    """
    if layer["kind"] == "Sequential":
        inner = (translate(child, state, named) for child in layer["layers"])
        return torch.nn.Sequential(*inner)
    if layer["kind"] == "Residual":
        branch = translate(layer["branch"], state, named)
        short = layer["shortcut"]
        if short is None:
            return _Residual(branch, torch.nn.Identity())
        return _Residual(branch, translate(short, state, named))
    arguments = {name: value for name, value in layer.items() if name not in ("kind", "key")}
    module = getattr(torch.nn, layer["kind"])(**arguments)
    own = {name: torch.from_numpy(state[layer["key"] + name]) for name in module.state_dict()}
    module.load_state_dict(own)
    named.update({layer["key"] + name: value for name, value in module.named_parameters()})
    return module


class _Side:
    def __init__(self, network: Net, shape: tuple[int, ...], channels_last: bool = False) -> None:
        self.layout = torch.contiguous_format
        if channels_last and len(shape) == 4:
            self.layout = torch.channels_last
        self.named: dict[str, torch.nn.Parameter] = {}
        self.net = translate(network["layers"], network["state"], self.named)
        self.net.to(memory_format=self.layout)

    def _pictures(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x).contiguous(memory_format=self.layout)


class Inference(_Side):
    """The network in evaluation; `channels_last` asks for that order in memory."""

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        self.net.eval()
        with torch.inference_mode():
            return self.net(self._pictures(x)).numpy()


class Training(_Side):
    """The network in training by Adam on cross-entropy."""

    def __init__(self, network: Net, shape: tuple[int, ...], lr: float, **options: bool) -> None:
        super().__init__(network, shape, **options)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)
        self.net.train()

    def results(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Return loss, outputs and gradients by name, dropout being off; nothing is learned."""
        for module in self.net.modules():
            module.training = "Dropout" not in type(module).__name__
        scores = self.net(self._pictures(x))
        value = self.loss(scores, torch.from_numpy(y))
        value.backward()
        found = {"output": scores.detach().numpy().copy(), "loss": value.detach().numpy().copy()}
        for name, parameter in self.named.items():
            assert parameter.grad is not None
            found[name] = np.array(parameter.grad.numpy())
        self.optimizer.zero_grad()
        self.net.train()
        return found

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch; return its loss."""
        self.optimizer.zero_grad()
        value = self.loss(self.net(self._pictures(x)), torch.from_numpy(y))
        value.backward()
        self.optimizer.step()
        return value.item()
