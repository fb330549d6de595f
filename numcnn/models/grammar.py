"""The pattern that most convolutional networks of the first years follow."""

from __future__ import annotations

import math
from typing import Any

from ..layers import Conv2d, Flatten, Layer, Linear, MaxPool2d, ReLU
from ..model import Sequential
from ..shapes import as_count

__all__ = ["conv_net"]


def conv_net(
    num_classes: int = 10,
    input_shape: tuple[int, int, int] = (1, 28, 28),
    convs: int = 1,
    pools: int = 3,
    hidden: int = 1,
    maps: int = 32,
    features: int = 128,
    **options: Any,
) -> Sequential:
    """Return ``[(Conv-ReLU)×N-Pool]×M-(FC-ReLU)×K-FC``, with N `convs`, M `pools`, K `hidden`.

    Convolutions are 3×3 and keep the picture's size, pooling halves it, and after each pooling
    there are twice as many maps.

    Parameters
    ----------
    num_classes : int
    input_shape : (int, int, int)
        Channels, height and width.
    convs, pools, hidden : int
        The pattern's N, M and K; `convs` at least 1 where there is pooling, the others from 0.
    maps, features : int
        Maps of the first convolution; width of each hidden layer.
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.

    Raises
    ------
    ValueError
        If the picture can't be halved `pools` times.

    Examples
    --------
    >>> from numcnn.models import conv_net
    >>> len(conv_net(convs=2, pools=3, hidden=1))  # 3 (4 + 1) + Flatten + 2 + 1
    19
    """
    channels, height, width = input_shape
    for name, value, least in (("convs", convs, 1), ("pools", pools, 0), ("hidden", hidden, 0)):
        as_count(value, name, least)
    if min(height, width) < 2**pools:
        raise ValueError(
            f"a picture of {height}×{width} can't be halved {pools} times; "
            f"use pools={int(math.log2(min(height, width)))} at most"
        )
    layers: list[Layer] = []
    for block in range(pools):
        for _ in range(convs):
            layers += [Conv2d(channels, maps * 2**block, 3, padding=1), ReLU()]
            channels = maps * 2**block
        layers.append(MaxPool2d(2))
        height, width = height // 2, width // 2
    layers.append(Flatten())
    size = channels * height * width
    for _ in range(hidden):
        layers += [Linear(size, features), ReLU()]
        size = features
    model = Sequential(*layers, Linear(size, num_classes), **options)
    model.input_shape = (1, *input_shape)
    return model
