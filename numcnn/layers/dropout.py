"""Dropout and noise: disturb the input at random while training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..init import next_seed
from ..shapes import ShapeError, as_count
from .activation import SELU
from .base import Layer, Shape
from .conv import need_pictures

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "GaussianDropout",
    "GaussianNoise",
    "RandomLayer",
]


class RandomLayer(Layer):
    """Base class of layers that draw random numbers in each forward pass.

    Attributes
    ----------
    calls : int
        Drawings so far. What is drawn depends on the seed and this number alone, so setting it
        back repeats a drawing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self._seed = next_seed()
        self._key: list[int] | None = None  # of the decisions, made from the seed when needed

    def _reseed_own(self, root: np.random.SeedSequence) -> None:
        self._seed = root.spawn(1)[0]
        self._key = None
        self.calls = 0

    def random_state(self) -> dict[str, Any]:
        """Return what the next drawings follow from, as numbers that JSON can hold."""
        entropy, key = self._seed.entropy, self._seed.spawn_key
        entropy = entropy if isinstance(entropy, int) else list(map(int, entropy or ()))
        return {"entropy": entropy, "spawn_key": list(key), "calls": self.calls}

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        """Go on drawing where `random_state` was asked for."""
        self._seed = np.random.SeedSequence(state["entropy"], spawn_key=tuple(state["spawn_key"]))
        self._key = None
        self.calls = as_count(state["calls"], "calls", 0)

    def _draw(self) -> np.random.Generator:
        """Return the generator of this call; the next call gets another."""
        key = self._seed.generate_state(2, np.uint64)
        draw = np.random.Generator(np.random.Philox(key=key, counter=self.calls << 192))
        self.calls += 1
        return draw


class Dropout(RandomLayer):
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

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p:g}"

    def _rows(self, shape: Shape) -> tuple[int, int]:
        """Return (things kept or dropped as a whole, numbers in each)."""
        return math.prod(shape), 1

    def _forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            self.save_for_backward(None, None)
            return x
        return self._disturb(x, self._rows(tuple(x.shape)))

    def _disturb(self, x: Any, rows: tuple[int, int]) -> Any:
        """Return what becomes of `x` while training."""
        return self._multiply(x, rows, self._decide(rows[0], 1 / max(1 - self.p, 1e-30), x.dtype))

    def _decide(self, size: int, kept: float, dtype: Any) -> Any:
        """Return a mask of this call's decisions, `kept` or 0; the next call gets another."""
        mask = self.device.empty((size,), dtype)
        # in units of 2**-32; p = 1 would need one unit more, and keeps 0 of everything instead
        limit = min(round(self.p * 2**32), 2**32 - 1)
        kept = 0.0 if self.p == 1 else kept
        counter = self.device.numbers(self._counter)
        self.kernels.bernoulli_forward(*counter, limit, kept, mask)
        self.device.repeat(self._count)
        return mask

    def _counter(self) -> tuple[int, int, int]:
        """Return what this call's decisions follow from: the key and the number of the call."""
        if self._key is None:
            self._key = self._seed.generate_state(2).tolist()
        return self._key[0], self._key[1], self.calls

    def _count(self) -> None:
        self.calls += 1

    def _multiply(self, x: Any, rows: tuple[int, int], mask: Any) -> Any:
        """Return `x` with each row multiplied by its number; the gradient will be, too."""
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


class Dropout1d(Dropout):
    """Drop whole channels of sequences, since neighbouring points say much the same.

    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, from 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be that of a batch of sequences."""
        _need_axes(self, shape, "sequences (N, C, L)", 3)
        return shape

    def _rows(self, shape: Shape) -> tuple[int, int]:
        return shape[0] * shape[1], shape[2]


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


class Dropout3d(Dropout):
    """Drop whole channels of volumes, since neighbouring points say much the same.

    Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, from 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be that of a batch of volumes."""
        _need_axes(self, shape, "volumes (N, C, D, H, W)", 5)
        return shape

    def _rows(self, shape: Shape) -> tuple[int, int]:
        return shape[0] * shape[1], math.prod(shape[2:])


def _need_axes(layer: Layer, shape: Shape, what: str, count: int) -> None:
    """Raise `ShapeError` unless `shape` has so many axes."""
    if len(shape) != count:
        hint = "; one alone needs a batch axis: x[None]" if len(shape) == count - 1 else ""
        raise ShapeError(
            f"{layer!r} expects a batch of {what}, {count} axes, got {len(shape)}: {shape}{hint}"
        )


class AlphaDropout(Dropout):
    """Dropout for `SELU`: what is dropped becomes SELU's lowest value, and mean and variance stay.

    ``y = a x + b`` where x is kept, ``a low + b`` where it is dropped; low = -1.7581 is what SELU
    comes down to. An input of mean 0 and variance 1 keeps both with
    ``a = ((1 - p) (1 + p low²))^-½`` and ``b = -a p low``. Klambauer et al., "Self-normalizing
    neural networks", 2017.

    Parameters
    ----------
    p : float
        Probability of dropping, from 0 to 1; at 1 the output is 0.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    LOW = -SELU.ALPHA * SELU.SCALE

    def _disturb(self, x: Any, rows: tuple[int, int]) -> Any:
        kept = (1 - self.p) * (1 + self.p * self.LOW**2)
        a = 1 / math.sqrt(kept) if kept else 0.0
        mask = self._decide(rows[0], a, x.dtype)
        y = self._multiply(x, rows, mask)
        # the mask is 0 or a; so is a low (1 - p) - low mask what is added to either
        shift = self.device.empty(rows[:1], x.dtype)
        self.kernels.scale_forward(mask, -self.LOW, shift)
        most = self.device.constant(a * self.LOW * (1 - self.p), rows[:1], x.dtype)
        self.kernels.add_forward(shift, most, shift)
        flat = y.reshape(-1)
        self.kernels.add_forward(flat, shift, flat)
        return y


class GaussianDropout(Dropout):
    """Multiply each number by one from the normal distribution of mean 1 and variance p / (1 - p).

    These are the mean and the variance of Dropout's own factors (Srivastava et al., 2014,
    section 10). Does nothing in evaluation.

    Parameters
    ----------
    p : float
        From 0 to below 1; as much noise as `Dropout` makes with this probability.

    Raises
    ------
    ValueError
        If `p` is outside.
    """

    def __init__(self, p: float = 0.5) -> None:
        if p == 1:
            raise ValueError("p must be below 1: the variance p / (1 - p) would be infinite")
        super().__init__(p)

    def host_work(self) -> str | None:
        """Return that the factors are drawn on the host."""
        return "its factors are drawn on the host" if self.p else None

    def _disturb(self, x: Any, rows: tuple[int, int]) -> Any:
        factors = self._draw().normal(1.0, math.sqrt(self.p / (1 - self.p)), rows[0])
        return self._multiply(x, rows, self.device.to_device(factors.astype(x.dtype)))


class GaussianNoise(RandomLayer):
    """Add noise from a normal distribution while training; do nothing in evaluation.

    For small noise this has the effect of a penalty on the network's slopes (Bishop, "Training
    with noise is equivalent to Tikhonov regularization", 1995).

    Parameters
    ----------
    std : float
        Standard deviation of the noise, 0 or more.

    Raises
    ------
    ValueError
        If `std` is below 0 or no finite number.
    """

    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        if not 0 <= std < math.inf:
            raise ValueError(f"std must be a finite number of 0 or more, got {std}")
        self.std = float(std)

    def extra_repr(self) -> str:
        """Return the standard deviation."""
        return f"std={self.std:g}"

    def host_work(self) -> str | None:
        """Return that the noise is drawn on the host."""
        return "its noise is drawn on the host" if self.std else None

    def _forward(self, x: Any) -> Any:
        self.save_for_backward()
        if not self.training or self.std == 0:
            return x
        noise = self._draw().normal(0.0, self.std, math.prod(x.shape)).astype(x.dtype)
        y = self.device.empty(tuple(x.shape), x.dtype)
        self.kernels.add_forward(x.reshape(-1), self.device.to_device(noise), y.reshape(-1))
        return y

    def _backward(self, dy: Any) -> Any:
        return dy
