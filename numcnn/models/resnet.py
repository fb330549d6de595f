"""Residual networks: blocks that learn what to add to their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
)
from ..model import Sequential
from .initial import he_by_output

__all__ = ["resnet18", "resnet20", "resnet34", "resnet50"]

# maps that come in, maps inside, stride -> (block, maps that go out)
Block = Callable[[int, int, int], tuple[Layer, int]]


def _block(branch: dict[str, Layer], channels: int, out: int, stride: int) -> Layer:
    """Return a block with torchvision's keys: those of the branch, and ``downsample``."""
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = Sequential(Conv2d(channels, out, 1, stride, bias=False), BatchNorm2d(out))
    residual = Residual(Sequential(branch), shortcut, names=("", "downsample"))
    return Sequential({"": residual, "relu": ReLU()})


def basic_block(channels: int, maps: int, stride: int) -> tuple[Layer, int]:
    """Return two 3×3 convolutions beside a shortcut, and how many maps come out."""
    branch: dict[str, Layer] = {
        "conv1": Conv2d(channels, maps, 3, stride, 1, bias=False),
        "bn1": BatchNorm2d(maps),
        "relu1": ReLU(),
        "conv2": Conv2d(maps, maps, 3, 1, 1, bias=False),
        "bn2": BatchNorm2d(maps),
    }
    return _block(branch, channels, maps, stride), maps


def bottleneck(channels: int, maps: int, stride: int) -> tuple[Layer, int]:
    """Return 1×1, 3×3, 1×1 convolutions beside a shortcut, and how many maps come out.

    The 3×3 works on a quarter of the maps. It takes the stride, as in torchvision; the paper
    gave it to the first 1×1.
    """
    out = 4 * maps
    branch: dict[str, Layer] = {
        "conv1": Conv2d(channels, maps, 1, bias=False),
        "bn1": BatchNorm2d(maps),
        "relu1": ReLU(),
        "conv2": Conv2d(maps, maps, 3, stride, 1, bias=False),
        "bn2": BatchNorm2d(maps),
        "relu2": ReLU(),
        "conv3": Conv2d(maps, out, 1, bias=False),
        "bn3": BatchNorm2d(out),
    }
    return _block(branch, channels, out, stride), out


def _stages(block: Block, counts: tuple[int, ...], first: int) -> tuple[dict[str, Layer], int]:
    """Return ``layer1``, ``layer2``, ...: each halves the picture and doubles the maps."""
    stages: dict[str, Layer] = {}
    channels = first
    for number, count in enumerate(counts):
        blocks = []
        for position in range(count):
            stride = 2 if number > 0 and position == 0 else 1
            made, channels = block(channels, first * 2**number, stride)
            blocks.append(made)
        stages[f"layer{number + 1}"] = Sequential(*blocks)
    return stages, channels


def _imagenet(
    block: Block, counts: tuple[int, ...], num_classes: int, options: dict[str, Any]
) -> Sequential:
    stages, channels = _stages(block, counts, 64)
    model = Sequential(
        {
            "conv1": Conv2d(3, 64, 7, 2, 3, bias=False),
            "bn1": BatchNorm2d(64),
            "relu": ReLU(),
            "maxpool": MaxPool2d(3, 2, 1),
            **stages,
            "avgpool": AdaptiveAvgPool2d(1),
            "flatten": Flatten(),
            "fc": Linear(channels, num_classes),
        },
        **options,
    )
    he_by_output(model)
    model.input_shape = (1, 3, 224, 224)
    return model


def resnet18(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return ResNet-18 for 224×224 colour pictures; 11,689,512 parameters with 1,000 classes.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. Keys are
    torchvision's.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    return _imagenet(basic_block, (2, 2, 2, 2), num_classes, options)


def resnet34(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return ResNet-34, 21,797,672 parameters; arguments as for `resnet18`."""
    return _imagenet(basic_block, (3, 4, 6, 3), num_classes, options)


def resnet50(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return ResNet-50, with bottlenecks, 25,557,032 parameters; arguments as for `resnet18`."""
    return _imagenet(bottleneck, (3, 4, 6, 3), num_classes, options)


def resnet20(num_classes: int = 10, **options: Any) -> Sequential:
    """Return the paper's ResNet-20 for 32×32 colour pictures; 272,474 parameters.

    Three stages of three blocks with 16, 32 and 64 maps. Where the maps double, the shortcut is
    a 1×1 convolution (the paper's option B; its option A, zeros for the new maps, would have
    269,722).

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    stages, channels = _stages(basic_block, (3, 3, 3), 16)
    model = Sequential(
        {
            "conv1": Conv2d(3, 16, 3, 1, 1, bias=False),
            "bn1": BatchNorm2d(16),
            "relu": ReLU(),
            **stages,
            "avgpool": AdaptiveAvgPool2d(1),
            "flatten": Flatten(),
            "fc": Linear(channels, num_classes),
        },
        **options,
    )
    he_by_output(model)
    model.input_shape = (1, 3, 32, 32)
    return model
