"""JAX as a peer: the network as one pure function, differentiated and compiled by XLA."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

VERSION = jax.__version__

Net = dict[str, Any]
Arrays = dict[str, Any]
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
ORDER = ("NCHW", "OIHW", "NCHW")
BETAS = 0.9, 0.999
EPS = 1e-8
POINTWISE = {"ReLU": jax.nn.relu, "Sigmoid": jax.nn.sigmoid, "Tanh": jnp.tanh}


def _pads(layer: Net) -> list[tuple[int, int]]:
    return [(pad, pad) for pad in layer["padding"]]


def _pool(layer: Net, x: Any) -> Any:
    """Return maxima or means of windows."""
    if layer["ceil_mode"]:
        raise ValueError(f"{layer['kind']}(ceil_mode=True) is not in numcnn/bench/peers/jax.py")
    window, stride = (1, 1, *layer["kernel_size"]), (1, 1, *layer["stride"])
    pads = [(0, 0), (0, 0), *_pads(layer)]
    if layer["kind"] == "MaxPool2d":
        step = (1, 1, *layer["dilation"])
        return lax.reduce_window(x, -jnp.inf, lax.max, window, stride, pads, None, step)
    sums = lax.reduce_window(x, 0.0, lax.add, window, stride, pads)
    if layer["count_include_pad"]:
        return sums / (window[2] * window[3])
    return sums / lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, window, stride, pads)


def _dropout(layer: Net, x: Any, key: Any) -> Any:
    """Return x with each number, or each map, dropped with probability p."""
    if key is None or layer["p"] == 0:
        return x
    shape = (*x.shape[:2], 1, 1) if layer["kind"] == "Dropout2d" else x.shape
    return jnp.where(jax.random.bernoulli(key, 1 - layer["p"], shape), x / (1 - layer["p"]), 0)


class Pass:
    """One forward pass: what it needs beside the input, and what it leaves behind."""

    def __init__(self, weights: Arrays, running: Arrays, training: bool, key: Any) -> None:
        self.weights, self.running, self.training, self.key = weights, dict(running), training, key

    def norm(self, layer: Net, x: Any) -> Any:
        """Return the normalised maps; in training, move the running statistics."""
        at, column = layer["key"], (1, -1, 1, 1)
        mean, variance = self.running[at + "running_mean"], self.running[at + "running_var"]
        if self.training:
            count = x.size // x.shape[1]
            mean = x.mean((0, 2, 3))
            variance = jnp.square(x - mean.reshape(column)).mean((0, 2, 3))
            fresh = {"running_mean": mean, "running_var": variance * count / (count - 1)}
            for name, value in fresh.items():
                kept = (1 - layer["momentum"]) * self.running[at + name]
                self.running[at + name] = kept + layer["momentum"] * lax.stop_gradient(value)
        factor = self.weights[at + "weight"] * lax.rsqrt(variance + layer["eps"])
        centred = (x - mean.reshape(column)) * factor.reshape(column)
        return centred + self.weights[at + "bias"].reshape(column)

    def layer(self, layer: Net, x: Any) -> Any:
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
            return jax.nn.leaky_relu(x, layer["negative_slope"])
        if kind == "Flatten":
            return x.reshape(x.shape[0], -1)
        if kind == "BatchNorm2d":
            return self.norm(layer, x)
        if kind in ("MaxPool2d", "AvgPool2d"):
            return _pool(layer, x)
        if kind == "AdaptiveAvgPool2d" and tuple(layer["output_size"]) == (1, 1):
            return x.mean((2, 3), keepdims=True)
        if kind in ("Dropout", "Dropout2d"):
            if self.key is None:
                return x
            self.key, own = jax.random.split(self.key)
            return _dropout(layer, x, own)
        if kind not in ("Conv2d", "Linear"):
            raise ValueError(f"{kind} is not in numcnn/bench/peers/jax.py; leave this peer out")
        weight = self.weights[at + "weight"]
        if kind == "Linear":
            return x @ weight.T + (self.weights[at + "bias"] if layer["bias"] else 0)
        y = lax.conv_general_dilated(
            x,
            weight,
            layer["stride"],
            _pads(layer),
            rhs_dilation=layer["dilation"],
            dimension_numbers=ORDER,
            feature_group_count=layer["groups"],
        )
        return y + self.weights[at + "bias"].reshape(1, -1, 1, 1) if layer["bias"] else y


def _loss(weights: Arrays, running: Arrays, x: Any, y: Any, key: Any, tree: Net) -> Any:
    """Return cross-entropy, and beside it outputs and running statistics."""
    forward = Pass(weights, running, True, key)
    scores = forward.layer(tree, x)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1)
    return -chosen.mean(), (scores, forward.running)


def _adam(weight: Any, grad: Any, first: Any, second: Any, count: Any, lr: float) -> Any:
    """Return weight and both means after a step of Adam."""
    first = BETAS[0] * first + (1 - BETAS[0]) * grad
    second = BETAS[1] * second + (1 - BETAS[1]) * grad * grad
    mean, square = first / (1 - BETAS[0] ** count), second / (1 - BETAS[1] ** count)
    return weight - lr * mean / (jnp.sqrt(square) + EPS), first, second


class _Side:
    def __init__(self, network: Net, shape: tuple[int, ...]) -> None:
        state = {name: jnp.asarray(value) for name, value in network["state"].items()}
        self.tree = network["layers"]
        self.running = {n: a for n, a in state.items() if n.endswith(RUNNING)}
        self.weights = {n: a for n, a in state.items() if n not in self.running}


class Inference(_Side):
    """The network in evaluation."""

    def __init__(self, network: Net, shape: tuple[int, ...]) -> None:
        super().__init__(network, shape)
        self.forward = jax.jit(
            lambda weights, running, x: Pass(weights, running, False, None).layer(self.tree, x)
        )

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return np.asarray(self.forward(self.weights, self.running, x))


class Training(_Side):
    """The network in training by Adam on cross-entropy."""

    def __init__(self, network: Net, shape: tuple[int, ...], lr: float) -> None:
        super().__init__(network, shape)
        self.lr = lr
        self.key = jax.random.key(0)
        means = [{n: jnp.zeros_like(a) for n, a in self.weights.items()} for _ in range(2)]
        self.moving = [self.weights, self.running, *means, jnp.zeros(())]
        self.compiled = jax.jit(self._step, donate_argnums=(0,))

    def results(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Return loss, outputs and gradients by name, dropout being off; nothing is learned."""
        weights, running = self.moving[:2]
        slope = jax.value_and_grad(functools.partial(_loss, tree=self.tree), has_aux=True)
        (value, (scores, _)), grads = jax.jit(slope)(weights, running, x, y, None)
        found = {"output": scores, "loss": value, **grads}
        return {name: np.array(array) for name, array in found.items()}

    def _step(self, moving: list[Any], x: Any, y: Any, key: Any) -> tuple[list[Any], Any]:
        weights, running, first, second, count = moving
        slope = jax.value_and_grad(functools.partial(_loss, tree=self.tree), has_aux=True)
        (value, (_, running)), grads = slope(weights, running, x, y, key)
        count = count + 1
        new: list[Arrays] = [{}, {}, {}]
        for name, weight in weights.items():
            moved = _adam(weight, grads[name], first[name], second[name], count, self.lr)
            for target, array in zip(new, moved, strict=True):
                target[name] = array
        return [new[0], running, new[1], new[2], count], value

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Train on one batch; return its loss."""
        self.key, own = jax.random.split(self.key)
        self.moving, value = self.compiled(self.moving, x, y, own)
        jax.block_until_ready(self.moving)  # the loss alone would be there before the weights
        return float(value)
