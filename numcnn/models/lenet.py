"""LeNet for digits, in the form that courses show."""

from __future__ import annotations

from typing import Any

from ..layers import Conv2d, Dropout, Dropout2d, Flatten, Linear, MaxPool2d, ReLU
from ..model import Sequential

__all__ = ["lenet"]


def lenet(num_classes: int = 10, **options: Any) -> Sequential:
    """Return the slides' LeNet for 28×28 grey pictures; 1,199,882 parameters.

    Two 3×3 convolutions (32 and 64 maps), pooling, two fully connected layers, dropout. After
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    model = Sequential(
        Conv2d(1, 32, 3),
        ReLU(),
        Conv2d(32, 64, 3),
        MaxPool2d(2),
        ReLU(),
        Dropout2d(0.25),
        Flatten(),
        Linear(64 * 12 * 12, 128),
        ReLU(),
        Dropout(0.5),
        Linear(128, num_classes),
        **options,
    )
    model.input_shape = (1, 1, 28, 28)
    return model
