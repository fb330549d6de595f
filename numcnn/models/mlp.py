"""A network without convolutions, to compare with."""

from __future__ import annotations

from typing import Any

from ..layers import Flatten, Layer, Linear, ReLU
from ..model import Sequential

__all__ = ["mlp"]


def mlp(
    num_classes: int = 10,
    input_shape: tuple[int, ...] = (1, 28, 28),
    hidden: tuple[int, ...] = (128,),
    **options: Any,
) -> Sequential:
    """Return a multi-layer perceptron: flatten, hidden layers with ReLU, scores.

    Parameters
    ----------
    num_classes : int
    input_shape : tuple of int
        Of one example, without the batch.
    hidden : tuple of int
        Sizes of the hidden layers.
    **options
        device, dtype, seed of `numcnn.Sequential`.
    """
    size = 1
    for axis in input_shape:
        size *= axis
    layers: list[Layer] = [Flatten()]
    for width in hidden:
        layers += [Linear(size, width), ReLU()]
        size = width
    model = Sequential(*layers, Linear(size, num_classes), **options)
    model.input_shape = (1, *input_shape)
    return model
