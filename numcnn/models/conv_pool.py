"""ConvPool-CNN-C: convolutions, and nothing but an average before the scores."""

from __future__ import annotations

from typing import Any

from ..layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
)
from ..model import Sequential

__all__ = ["conv_pool_cnn_c"]


def _block(channels: int, maps: int) -> list[Layer]:
    layers: list[Layer] = []
    for _ in range(3):
        layers += [Conv2d(channels, maps, 3, padding=1), LeakyReLU(0.1)]
        channels = maps
    return [*layers, MaxPool2d(2), Dropout(0.5)]


def conv_pool_cnn_c(num_classes: int = 10, **options: Any) -> Sequential:
    """Return ConvPool-CNN-C for 32×32 colour pictures; 1,406,794 parameters.

    Springenberg et al., "Striving for simplicity: the all convolutional net", 2015, in the form
    of Salimans and Kingma, "Weight normalization", 2016: leaky ReLUs, and a linear layer behind
    the average of each map. `numcnn.weight_norm` adds their scales.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    model = Sequential(
        *_block(3, 96),
        *_block(96, 192),
        Conv2d(192, 192, 3),
        LeakyReLU(0.1),
        Conv2d(192, 192, 1),
        LeakyReLU(0.1),
        Conv2d(192, 192, 1),
        LeakyReLU(0.1),
        AdaptiveAvgPool2d(1),
        Flatten(),
        Linear(192, num_classes),
        **options,
    )
    model.input_shape = (1, 3, 32, 32)
    return model
