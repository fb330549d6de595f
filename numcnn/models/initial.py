"""Initial weights of deep networks without which they would not begin to learn."""

from __future__ import annotations

import math

from ..init import Constant, Normal, fans
from ..layers import Conv2d, Layer

__all__ = ["he_by_output"]


def he_by_output(network: Layer) -> None:
    """Let every convolution begin with weights of deviation √(2 / fan_out), and no bias.

    ReLU halves the power of what passes it; the 2 makes up for that, so that gradients keep
    their size through many layers (He et al., "Delving deep into rectifiers", 2015). PyTorch's
    default is smaller by √6 and lets them fade.
    """
    for layer in network.layers():
        if isinstance(layer, Conv2d):
            fan_out = fans(layer.weight.shape)[1] / layer.groups
            layer.weight.draw_from(Normal(math.sqrt(2 / fan_out)))
            if layer.bias is not None:
                layer.bias.draw_from(Constant(0.0))
