"""AlexNet, the network that made convolutions the standard for pictures in 2012."""

from __future__ import annotations

from typing import Any

from ..layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from ..model import Sequential

__all__ = ["alexnet"]


def alexnet(num_classes: int = 1000, groups: int = 2, **options: Any) -> Sequential:
    """Return AlexNet for 224×224 colour pictures; 60,965,224 parameters with 1,000 classes.

    The network of 2012 was too large for the memory of one GPU, so three of its convolutions saw
    only the maps of their own GPU: two groups. Local response normalisation follows the first two
    (Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012). With ``groups=1`` it is the later form for one device, without
    normalisation and with 64 maps at first (Krizhevsky, "One weird trick for parallelizing
    convolutional neural networks", 2014): that is torchvision's ``alexnet``, 61,100,840
    parameters, whose weights load.

    Parameters
    ----------
    num_classes : int
    groups : {2, 1}
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.

    Raises
    ------
    ValueError
        If there is no AlexNet of so many groups.
    """
    if groups not in (1, 2):
        raise ValueError(f"AlexNet exists in 2 groups (2012) and in 1 (2014), not in {groups}")
    first, second, third, fourth = (96, 256, 384, 384) if groups == 2 else (64, 192, 384, 256)
    norm: list[Any] = [lambda: LocalResponseNorm(5, k=2.0)] if groups == 2 else []
    features: list[Layer] = [
        Conv2d(3, first, 11, stride=4, padding=2),
        ReLU(),
        *(make() for make in norm),
        MaxPool2d(3, stride=2),
        Conv2d(first, second, 5, padding=2, groups=groups),
        ReLU(),
        *(make() for make in norm),
        MaxPool2d(3, stride=2),
        Conv2d(second, third, 3, padding=1),
        ReLU(),
        Conv2d(third, fourth, 3, padding=1, groups=groups),
        ReLU(),
        Conv2d(fourth, 256, 3, padding=1, groups=groups),
        ReLU(),
        MaxPool2d(3, stride=2),
    ]
    classifier = Sequential(
        Dropout(0.5),
        Linear(256 * 6 * 6, 4096),
        ReLU(),
        Dropout(0.5),
        Linear(4096, 4096),
        ReLU(),
        Linear(4096, num_classes),
    )
    model = Sequential(
        {
            "features": Sequential(*features),
            "avgpool": AdaptiveAvgPool2d((6, 6)),
            "flatten": Flatten(),
            "classifier": classifier,
        },
        **options,
    )
    model.input_shape = (1, 3, 224, 224)
    return model
