"""tinygrad as a peer: its tensors, its optimizer, and its just-in-time compiler."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from typing import Any

import numpy as np
from tinygrad import Tensor, TinyJit, nn
from tinygrad.helpers import Context

VERSION = importlib.metadata.version("tinygrad")

if shutil.which(os.environ.get("CC", "clang")) is None:
    raise ImportError(
        "tinygrad compiles its kernels with clang, which is not installed: install it (Debian and "
        "Ubuntu: apt-get install clang), or let the environment variable CC name one"
    )

Net = dict[str, Any]
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
POINTWISE = {"ReLU": Tensor.relu, "Sigmoid": Tensor.sigmoid, "Tanh": Tensor.tanh}


class _Side:
    def __init__(self, network: Net, shape: tuple[int, ...]) -> None:
        self.tree = network["layers"]
        self.state = {
            name: Tensor(np.ascontiguousarray(array, np.float32)).realize()
            for name, array in network["state"].items()
        }
        self.weights = {n: t for n, t in self.state.items() if not n.endswith(RUNNING)}
        self.training = False
        self.dropping = True

    def norm(self, layer: Net, x: Tensor) -> Tensor:
        """Return the normalised maps; in training, move the running statistics."""
        at = layer["key"]
        mean, variance = self.state[at + "running_mean"], self.state[at + "running_var"]
        if self.training:
            mean, of_batch = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            count = x.shape[0] * x.shape[2] * x.shape[3]
            fresh = {"running_mean": mean, "running_var": of_batch * (count / (count - 1))}
            for name, value in fresh.items():
                old, rate = self.state[at + name], layer["momentum"]
                old.assign((1 - rate) * old + rate * value.detach())
            variance = of_batch
        factor = (variance + layer["eps"]).rsqrt()
        return x.batchnorm(self.state[at + "weight"], self.state[at + "bias"], mean, factor)

    def layer(self, layer: Net, x: Tensor) -> Tensor:
        """Return the output of a layer."""
        kind, at = layer["kind"], layer["key"]
        if kind == "Sequential":
            for child in layer["layers"]:
                x = self.layer(child, x)
            return x
        if kind == "Residual":
            short = layer["shortcut"]
            return self.layer(layer["branch"], x) + (x if short is None else self.layer(short, x))
        if kind == "Identity":
            return x
        if kind in POINTWISE:
            return POINTWISE[kind](x)
        if kind == "LeakyReLU":
            return x.leaky_relu(layer["negative_slope"])
        if kind == "Flatten":
            return x.flatten(1)
        if kind == "BatchNorm2d":
            return self.norm(layer, x)
        if kind == "AdaptiveAvgPool2d" and tuple(layer["output_size"]) == (1, 1):
            return x.mean((2, 3), keepdim=True)
        if kind in ("Dropout", "Dropout2d"):
            return self._dropout(layer, x)
        bias = self.state[at + "bias"] if layer.get("bias") else None
        if kind == "Linear":
            return x.linear(self.state[at + "weight"].T, bias)
        options = {name: layer[name] for name in ("stride", "dilation", "padding") if name in layer}
        if kind == "Conv2d":
            return x.conv2d(self.state[at + "weight"], bias, layer["groups"], **options)
        if kind == "MaxPool2d":
            return x.max_pool2d(layer["kernel_size"], ceil_mode=layer["ceil_mode"], **options)
        if kind == "AvgPool2d":
            options |= {n: layer[n] for n in ("ceil_mode", "count_include_pad")}
            return x.avg_pool2d(layer["kernel_size"], **options)
        raise ValueError(f"{kind} is not in numcnn/bench/peers/tinygrad.py; leave this peer out")

    def _dropout(self, layer: Net, x: Tensor) -> Tensor:
        if not (self.training and self.dropping and layer["p"]):
            return x
        shape = (*x.shape[:2], 1, 1) if layer["kind"] == "Dropout2d" else x.shape
        kept = Tensor.rand(*shape) >= layer["p"]
        return kept.where(x / (1 - layer["p"]), 0)


class Inference(_Side):
    """The network in evaluation."""

    def __init__(self, network: Net, shape: tuple[int, ...]) -> None:
        super().__init__(network, shape)
        self.forward = TinyJit(lambda x: self.layer(self.tree, x).realize())

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return self.forward(Tensor(x).realize()).numpy()


class Training(_Side):
    """The network in training by Adam on cross-entropy."""

    def __init__(self, network: Net, shape: tuple[int, ...], lr: float) -> None:
        super().__init__(network, shape)
        self.training = True
        self.optimizer = nn.optim.Adam(list(self.weights.values()), lr=lr)
        self.compiled = TinyJit(self._step)

    def results(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Return loss, outputs and gradients by name, dropout being off; nothing is learned."""
        self.dropping = False
        scores = self.layer(self.tree, Tensor(x))
        value = scores.sparse_categorical_crossentropy(Tensor(y.astype(np.int32)))
        value.backward()
        found = {"output": scores, "loss": value}
        found |= {name: weight.grad for name, weight in self.weights.items()}
        arrays = {name: np.array(tensor.numpy()) for name, tensor in found.items()}
        self.optimizer.zero_grad()
        self.dropping = True
        return arrays

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        value = self.layer(self.tree, x).sparse_categorical_crossentropy(y)
        value.backward()
        running = [tensor for name, tensor in self.state.items() if name not in self.weights]
        return value.realize(*self.optimizer.schedule_step(), *running)

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch; return its loss."""
        pictures, labels = Tensor(x).realize(), Tensor(y.astype(np.int32)).realize()
        with Context(TRAINING=1):
            return self.compiled(pictures, labels).item()
