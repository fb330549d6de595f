"""The small network for colour pictures that ran in browsers."""

from __future__ import annotations

from typing import Any

from ..layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from ..model import Sequential

__all__ = ["cifar_demo"]


def cifar_demo(num_classes: int = 10, **options: Any) -> Sequential:
    """Return the browser demo's network for 32×32 colour pictures; 22,466 parameters.

    Three blocks of 5×5 convolution, ReLU and pooling, after the CIFAR-10 demo of ConvNetJS
    (Karpathy, 2014), which trained it by Adadelta with batches of 4 and an L2 penalty of 1e-4:
    ``fit(..., batch_size=4, optimizer="adadelta", penalty=L2(1e-4))``. The demo's softmax is in
    the loss here.

    Parameters
    ----------
    num_classes : int
    **options
        device, dtype, seed, strict of `numcnn.Sequential`.
    """
    model = Sequential(
        Conv2d(3, 16, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 20, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Conv2d(20, 20, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(20 * 4 * 4, num_classes),
        **options,
    )
    model.input_shape = (1, 3, 32, 32)
    return model
