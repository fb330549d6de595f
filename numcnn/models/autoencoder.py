"""A network that learns to say a picture in fewer numbers, and to draw it again from them."""

from __future__ import annotations

from typing import Any

from ..layers import Conv2d, ConvTranspose2d, ReLU, Sigmoid
from ..model import Sequential
from ..shapes import as_count

__all__ = ["autoencoder"]


def autoencoder(code_maps: int = 4, **options: Any) -> Sequential:
    """Return a convolutional autoencoder for 28×28 grey pictures with numbers from 0 to 1.

    Two convolutions of stride 2 (``model["encoder"]``) leave `code_maps` maps of 7×7, with 4 maps
    a quarter of the picture's numbers; two transposed convolutions (``model["decoder"]``) draw
    the picture again. It is trained with the picture itself as target:
    ``model.fit(x, x, loss="mse")`` (Hinton and Salakhutdinov, "Reducing the dimensionality of
    data with neural networks", 2006; Masci et al., "Stacked convolutional auto-encoders", 2011).

    Parameters
    ----------
    code_maps : int
        Maps of 7×7 in the middle.
    **options
        device, dtype, seed of `numcnn.Sequential`.
    """
    as_count(code_maps, "code_maps")
    encoder = Sequential(
        Conv2d(1, 16, 3, stride=2, padding=1),
        ReLU(),
        Conv2d(16, code_maps, 3, stride=2, padding=1),
    )
    decoder = Sequential(
        ConvTranspose2d(code_maps, 16, 4, stride=2, padding=1),
        ReLU(),
        ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        Sigmoid(),
    )
    model = Sequential({"encoder": encoder, "decoder": decoder}, **options)
    model.input_shape = (1, 1, 28, 28)
    return model
