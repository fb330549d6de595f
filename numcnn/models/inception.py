"""The Inception block: filters of several sizes look at the same place."""

from __future__ import annotations

from ..layers import Concat, Conv2d, Layer, MaxPool2d, ReLU
from ..model import Sequential

__all__ = ["inception"]


def _conv(channels: int, maps: int, size: int) -> list[Layer]:
    return [Conv2d(channels, maps, size, padding=size // 2), ReLU()]


def inception(
    in_channels: int,
    ch1x1: int,
    ch3x3red: int,
    ch3x3: int,
    ch5x5red: int,
    ch5x5: int,
    pool_proj: int,
) -> Concat:
    """Return an Inception block, a layer that keeps height and width.

    Four branches side by side: 1×1; 1×1 then 3×3; 1×1 then 5×5; 3×3 max-pooling then 1×1. The
    1×1 convolutions before the larger ones reduce the channels, and with them the work (Szegedy
    et al., "Going deeper with convolutions", 2015, whose block 3a is
    ``inception(192, 64, 96, 128, 16, 32, 32)``, 163,696 parameters).

    Parameters
    ----------
    in_channels : int
    ch1x1, ch3x3, ch5x5, pool_proj : int
        Maps that the four branches give; together the block's output channels.
    ch3x3red, ch5x5red : int
        Maps of the 1×1 convolution before the 3×3 and before the 5×5.
    """
    return Concat(
        {
            "branch1": Sequential(*_conv(in_channels, ch1x1, 1)),
            "branch2": Sequential(*_conv(in_channels, ch3x3red, 1), *_conv(ch3x3red, ch3x3, 3)),
            "branch3": Sequential(*_conv(in_channels, ch5x5red, 1), *_conv(ch5x5red, ch5x5, 5)),
            "branch4": Sequential(MaxPool2d(3, 1, 1), *_conv(in_channels, pool_proj, 1)),
        }
    )
