"""VGG: 3×3 convolutions only, and many of them."""

from __future__ import annotations

from typing import Any

from ..init import Constant, Normal
from ..layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from ..model import Sequential
from .initial import he_by_output

__all__ = ["vgg11", "vgg13", "vgg16", "vgg19", "vgg_small"]

# maps of each convolution; 0 stands for pooling (columns A, B, D and E of the paper's table 1)
PLANS = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0),
    19: (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0),
}


def _features(plan: tuple[int, ...], batch_norm: bool = False) -> Sequential:
    layers: list[Layer] = []
    channels = 3
    for maps in plan:
        if maps == 0:
            layers.append(MaxPool2d(2))
            continue
        layers.append(Conv2d(channels, maps, 3, padding=1))
        layers += [BatchNorm2d(maps), ReLU()] if batch_norm else [ReLU()]
        channels = maps
    return Sequential(*layers)


def _vgg(depth: int, num_classes: int, options: dict[str, Any]) -> Sequential:
    classifier = Sequential(
        Linear(512 * 7 * 7, 4096),
        ReLU(),
        Dropout(0.5),
        Linear(4096, 4096),
        ReLU(),
        Dropout(0.5),
        Linear(4096, num_classes),
    )
    model = Sequential(
        {
            "features": _features(PLANS[depth]),
            "avgpool": AdaptiveAvgPool2d((7, 7)),
            "flatten": Flatten(),
            "classifier": classifier,
        },
        **options,
    )
    he_by_output(model)
    for layer in classifier:
        if isinstance(layer, Linear):
            layer.weight.draw_from(Normal(0.01))
            layer.bias.draw_from(Constant(0.0))  # type: ignore[union-attr]
    model.input_shape = (1, 3, 224, 224)
    return model


def vgg11(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return VGG-11 for 224×224 colour pictures; 132,863,336 parameters with 1,000 classes.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
    2015, column A. Two 3×3 convolutions see as much as one of 5×5, with fewer weights and a
    nonlinearity between. Keys are torchvision's.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    return _vgg(11, num_classes, options)


def vgg13(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return VGG-13 (column B), 133,047,848 parameters; arguments as for `vgg11`."""
    return _vgg(13, num_classes, options)


def vgg16(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return VGG-16 (column D), 138,357,544 parameters; arguments as for `vgg11`."""
    return _vgg(16, num_classes, options)


def vgg19(num_classes: int = 1000, **options: Any) -> Sequential:
    """Return VGG-19 (column E), 143,667,240 parameters; arguments as for `vgg11`."""
    return _vgg(19, num_classes, options)


def vgg_small(num_classes: int = 10, **options: Any) -> Sequential:
    """Return a VGG for 32×32 colour pictures: six convolutions with batch normalisation.

    64-64-pool-128-128-pool-256-256-pool, the average of each map, and one linear layer;
    1,149,770 parameters with 10 classes.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    model = Sequential(
        {
            "features": _features((64, 64, 0, 128, 128, 0, 256, 256, 0), batch_norm=True),
            "avgpool": AdaptiveAvgPool2d(1),
            "flatten": Flatten(),
            "classifier": Linear(256, num_classes),
        },
        **options,
    )
    he_by_output(model)
    model.input_shape = (1, 3, 32, 32)
    return model
