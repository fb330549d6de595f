"""Dropout: switch off random parts of the input while training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..init import next_seed
from .base import Layer, Shape
from .conv import need_pictures

__all__ = ["Dropout", "Dropout2d"]


class Dropout(Layer):
    """Set each number to 0 with probability `p` while training; do nothing in evaluation.

    What is kept is divided by 1 - p, so the expected output is the input ("inverted" dropout;
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014).

    Parameters
    ----------
    p : float
        Probability of dropping, from 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.

    Attributes
    ----------
    calls : int
        Masks drawn so far. The mask depends on the seed and this number alone, so setting it
        back repeats a mask.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, between 0 and 1; got {p}")
        self.p = float(p)
        self.calls = 0
        self._seed = next_seed()

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p:g}"

    def _reseed_own(self, root: np.random.SeedSequence) -> None:
        self._seed = root.spawn(1)[0]
        self.calls = 0

    def _rows(self, shape: Shape) -> tuple[int, int]:
        """Return (things kept or dropped as a whole, numbers in each)."""
        return math.prod(shape), 1

    def _forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            self.save_for_backward(None, x)
            return x
        rows = self._rows(tuple(x.shape))
        key = self._seed.generate_state(2, np.uint64)
        draw = np.random.Generator(np.random.Philox(key=key, counter=self.calls << 192))
        self.calls += 1
        keep = draw.random(rows[0]) >= self.p
        mask = self.device.to_device((keep / max(1 - self.p, 1e-30)).astype(x.dtype))
        y = self.device.empty(tuple(x.shape), x.dtype)
        self.kernels.dropout_forward(x.reshape(*rows), mask, y.reshape(*rows))
        self.save_for_backward(mask, rows)
        return y

    def _backward(self, dy: Any) -> Any:
        mask, rows = self._saved
        if mask is None:
            return dy
        dx = self.device.empty(tuple(dy.shape), dy.dtype)
        self.kernels.dropout_backward_input(dy.reshape(*rows), mask, dx.reshape(*rows))
        return dx


class Dropout2d(Dropout):
    """Drop whole channels (maps) of pictures, since neighbouring pixels say much the same.

    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, from 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be that of a batch of pictures."""
        need_pictures(self, shape)
        return shape

    def _rows(self, shape: Shape) -> tuple[int, int]:
        return shape[0] * shape[1], shape[2] * shape[3]
