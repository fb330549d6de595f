"""LeNet for digits: as courses show it, and as it was in 1998."""

from __future__ import annotations

from typing import Any

from ..layers import AvgPool2d, Conv2d, Dropout, Dropout2d, Flatten, Linear, MaxPool2d, ReLU, Tanh
from ..model import Sequential

__all__ = ["lenet", "lenet5"]


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


def lenet5(num_classes: int = 10, **options: Any) -> Sequential:
    """Return LeNet-5 for 28×28 grey pictures; 61,706 parameters.

    Two 5×5 convolutions (6 and 16 maps) with averages between, three fully connected layers, and
    tanh throughout. LeCun et al., "Gradient-based learning applied to document recognition",
    1998; here every map of the second convolution sees all six of the first, and scores take the
    place of the distances to drawn digits.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    model = Sequential(
        Conv2d(1, 6, 5, padding=2),
        Tanh(),
        AvgPool2d(2),
        Conv2d(6, 16, 5),
        Tanh(),
        AvgPool2d(2),
        Flatten(),
        Linear(16 * 5 * 5, 120),
        Tanh(),
        Linear(120, 84),
        Tanh(),
        Linear(84, num_classes),
        **options,
    )
    model.input_shape = (1, 1, 28, 28)
    return model
