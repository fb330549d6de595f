"""The networks that benchmarks know by name, and how another framework learns what they are.

`describe` puts a network into plain dicts and lists, so that a peer's process can build the same
network without importing numcnn: its start and its memory are then its own.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from numcnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Chain,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sigmoid,
)
from numcnn.model import Sequential
from numcnn.models import ZOO, cifar_demo, resnet18

__all__ = ["NETWORKS", "build", "check_name", "count_kinks", "describe", "leaves", "terms"]

BATCH = 64


class Network(NamedTuple):
    """How to make a network, and how many examples a step has unless somebody says otherwise."""

    make: Callable[..., Sequential]
    batch_size: int = BATCH


def _shaped(shape: tuple[int, ...], *layers: Layer, **options: Any) -> Sequential:
    model = Sequential(*layers, **options)
    model.input_shape = shape
    return model


def vgg6(**options: Any) -> Sequential:
    """Return six 3×3 convolutions with batch normalisation, 64-64-M-128-128-M-256-256-M."""
    layers: list[Layer] = []
    channels = 3
    for maps in (64, 128, 256):
        for _ in range(2):
            layers += [Conv2d(channels, maps, 3, padding=1), BatchNorm2d(maps), ReLU()]
            channels = maps
        layers.append(MaxPool2d(2))
    return _shaped((1, 3, 32, 32), *layers, Flatten(), Linear(256 * 4 * 4, 10), **options)


def odd(**options: Any) -> Sequential:
    """Return a network whose sizes no tuned kernel was made for."""
    return _shaped(
        (1, 3, 40, 40),
        Conv2d(3, 48, 3),
        ReLU(),
        Conv2d(48, 72, 3, stride=2),
        BatchNorm2d(72),
        ReLU(),
        Conv2d(72, 40, 1),
        ReLU(),
        Conv2d(40, 56, 5),
        ReLU(),
        AvgPool2d(2),
        Flatten(),
        Linear(56 * 7 * 7, 10),
        **options,
    )


def mlp(**options: Any) -> Sequential:
    """Return the 2-5-20-2 perceptron with sigmoids: what a step costs beside its arithmetic."""
    layers = (Linear(2, 5), Sigmoid(), Linear(5, 20), Sigmoid(), Linear(20, 2))
    return _shaped((1, 2), *layers, **options)


def resnet18_cifar(**options: Any) -> Sequential:
    """Return ResNet-18 for 32×32: the first convolution is 3×3, and no pooling follows it."""
    parts = dict(resnet18(10).children())
    parts["conv1"] = Conv2d(3, 64, 3, padding=1, bias=False)
    del parts["maxpool"]
    return _shaped((1, 3, 32, 32), parts, **options)  # type: ignore[arg-type]


def alexnet1(**options: Any) -> Sequential:
    """Return AlexNet's first layer, 11×11 with stride 4, its pooling, and scores of the means."""
    layers = (Conv2d(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, stride=2))
    scores = (AdaptiveAvgPool2d(1), Flatten(), Linear(64, 10))
    return _shaped((1, 3, 224, 224), *layers, *scores, **options)


OWN = {
    "vgg6": Network(vgg6),
    "demo": Network(cifar_demo),
    "odd": Network(odd, 48),
    "mlp": Network(mlp, 32),
    "resnet18": Network(resnet18_cifar),
    "alexnet1": Network(alexnet1),
}
# The zoo's networks too; one whose name stands for another above is called zoo-NAME.
NETWORKS = {
    "lenet": Network(ZOO["lenet"]),
    **OWN,
    **{f"zoo-{n}" if n in OWN else n: Network(make) for n, make in ZOO.items() if n != "lenet"},
}


def check_name(name: str) -> str:
    """Return `name`, or say which networks there are."""
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no network {name!r}; {hint}choose one of {', '.join(NETWORKS)}")
    return name


def build(name: str, algorithm: str = "auto") -> Sequential:
    """Return a network with weights that are the same in every process.

    Running means and variances, and the factors of batch normalisation, get values of their own:
    with 0 and 1 a comparison wouldn't notice who forgets them.

    Raises
    ------
    ValueError
        If there is no such network, or no such algorithm of convolution.
    """
    network = NETWORKS[check_name(name)].make(seed=0)
    for layer in network.layers():
        if isinstance(layer, Conv2d):
            layer.device.algorithm("conv2d", algorithm)  # an unknown name is refused here
            layer.algorithm = algorithm
    state = network.state_dict()
    rng = np.random.default_rng(1)
    for path, layer in leaves(network):
        if isinstance(layer, BatchNorm2d):
            size = layer.num_features
            for own, low, high in (
                ("weight", 0.5, 1.5),
                ("bias", -0.5, 0.5),
                ("running_mean", -0.2, 0.2),
                ("running_var", 0.5, 1.5),
            ):
                state[path + own] = rng.uniform(low, high, size).astype(np.float32)
    network.load_state_dict(state)
    return network


# ---- descriptions ------------------------------------------------------------------------------

ARGUMENTS = {
    "AdaptiveAvgPool2d": ("output_size",),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "BatchNorm2d": ("num_features", "eps", "momentum"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"),
    "Dropout": ("p",),
    "Dropout2d": ("p",),
    "Flatten": (),
    "Identity": (),
    "LeakyReLU": ("negative_slope",),
    "Linear": ("in_features", "out_features"),
    "LocalResponseNorm": ("size", "alpha", "beta", "k"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "ReLU": (),
    "Sigmoid": (),
    "Tanh": (),
}


def _inside(prefix: str, name: str) -> str:
    """Return the beginning of the keys of a layer inside another; no name leaves no trace."""
    return f"{prefix}{name}." if name else prefix


def leaves(layer: Layer, key: str = "") -> Iterator[tuple[str, Layer]]:
    """Iterate over (beginning of its keys, layer) of all layers that hold no others."""
    children = list(layer.children())
    if not children:
        yield key, layer
    for name, child in children:
        yield from leaves(child, _inside(key, name))


def describe(layer: Layer, key: str = "") -> dict[str, Any]:
    """Return a layer as plain data: kind, key, its arguments, and what is inside.

    Raises
    ------
    ValueError
        If it has a layer, or an argument, that can't be told to a peer.
    """
    kind = type(layer).__name__
    if isinstance(layer, Chain):
        inner = [describe(child, _inside(key, name)) for name, child in layer.children()]
        return {"kind": "Sequential", "key": key, "layers": inner}
    if isinstance(layer, Residual):
        parts = [describe(child, _inside(key, name)) for name, child in layer.children()]
        shortcut = parts[1] if len(parts) > 1 else None
        return {"kind": "Residual", "key": key, "branch": parts[0], "shortcut": shortcut}
    plain = kind in ARGUMENTS and (kind != "Flatten" or repr(layer) == "Flatten()")
    if not plain or getattr(layer, "padding_mode", "zeros") != "zeros":
        raise ValueError(f"no peer can be told about {layer!r}; add it to numcnn/bench/networks.py")
    own: dict[str, Any] = vars(layer)
    told = {name: own[name] for name in ARGUMENTS[kind]}
    if isinstance(layer, Conv2d):
        if any(before != behind for before, behind in layer.pads):
            raise ValueError(f"no peer can be told about {layer!r}: its padding is one-sided")
        told["padding"] = tuple(before for before, _ in layer.pads)
    if isinstance(layer, (Conv2d, Linear)):
        told["bias"] = layer.bias is not None
    return {"kind": kind, "key": key, **told}


def terms(layer: Layer, shape: tuple[int, ...], training: bool) -> int:
    """Return how many terms are added up on the longest way to any result of a network.

    Forward, each output of a convolution is a sum of C·kh·kw products. Backward, the gradient of
    an input is one of K·kh·kw, and that of a weight, where each way ends, one over all pictures
    and places. Means and variances of batch normalisation are sums over pictures and places too.
    """
    total = longest = 0

    def visit(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
        nonlocal total, longest
        out = layer.output_shape(shape)
        if isinstance(layer, Residual):
            for _, branch in layer.branches():
                visit(branch, shape)
        elif isinstance(layer, Chain):
            for child in layer:
                shape = visit(child, shape)
        elif isinstance(layer, (Conv2d, Linear)):
            weight = layer.weight.shape
            total += math.prod(weight[1:])
            total += training * weight[0] * math.prod(weight[2:])
            longest = max(longest, math.prod(out) // out[1])
        elif isinstance(layer, BatchNorm2d) and training:
            total += 4 * math.prod(shape) // shape[1]  # mean and variance, and their gradients
        elif isinstance(layer, (AvgPool2d, AdaptiveAvgPool2d)):
            total += math.prod(shape) // math.prod(out)
        return out

    visit(layer, shape)
    return total + training * longest


def count_kinks(name: str) -> int:
    """Return how many layers of network `name` have a slope that jumps, as that of `ReLU` at 0."""
    return sum(isinstance(layer, (ReLU, MaxPool2d)) for layer in build(name).layers())
