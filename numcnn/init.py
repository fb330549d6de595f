"""Initial values of parameters, with the names and formulas of ``torch.nn.init``.

Each function fills a `Parameter` (or anything with ``shape``, ``dtype`` and a settable
``data``) and returns it. Random ones take a NumPy ``Generator``; without one they draw from the
seed that `manual_seed` sets.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
2010 (Xavier); He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015 (Kaiming).
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

__all__ = [
    "calculate_gain",
    "constant_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "manual_seed",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_lock = threading.Lock()
_root = np.random.SeedSequence()


def manual_seed(seed: int) -> None:
    """Fix every random choice that has no seed of its own, from here on.

    Parameters
    ----------
    seed : int
        Zero or more.
    """
    global _root  # noqa: PLW0603  one root of randomness per process, as torch.manual_seed
    with _lock:
        _root = np.random.SeedSequence(seed)


def next_seed() -> np.random.SeedSequence:
    """Return a seed that nobody else gets."""
    with _lock:
        return _root.spawn(1)[0]


class Uniform:
    """Draws evenly from ±bound; an object, and not a function in a function, so that it pickles."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of `shape`, float64."""
        return rng.uniform(-self.bound, self.bound, shape)


def generator(seed: np.random.SeedSequence) -> np.random.Generator:
    """Return the counter-based generator (Philox) of a seed."""
    return np.random.Generator(np.random.Philox(seed))


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out): how many inputs feed one output, and the reverse.

    Parameters
    ----------
    shape : tuple of int
        (out, in) of a linear weight, (out, in / groups, KH, KW) of a convolution, or
        (out, in, KH, KW, OH, OW) of a locally connected layer, where an output has one filter of
        the OH × OW. A transposed convolution's weight is (in, out / groups, KH, KW); as in
        PyTorch its axes are read all the same, so that its fan_in counts output channels.
    """
    if len(shape) < 2:
        raise ValueError(f"fan_in and fan_out need a weight of two axes or more, got {shape}")
    taps = math.prod(shape[2:4] if len(shape) == 6 else shape[2:])
    return shape[1] * taps, shape[0] * taps


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a nonlinearity shrinks its input's spread (torch's table)."""
    table = {
        "linear": 1.0,
        "conv2d": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "selu": 0.75,
    }
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in table:
        names = ", ".join([*table, "leaky_relu"])
        raise ValueError(f"there is no gain for {nonlinearity!r}; choose one of {names}")
    return table[nonlinearity]


def _rng(rng: np.random.Generator | None) -> np.random.Generator:
    return generator(next_seed()) if rng is None else rng


def _fan(shape: tuple[int, ...], mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(shape)[mode == "fan_out"]


def uniform_(p: Any, a: float = 0.0, b: float = 1.0, rng: np.random.Generator | None = None) -> Any:
    """Fill with numbers drawn evenly from [a, b)."""
    p.data = _rng(rng).uniform(a, b, p.shape).astype(p.dtype)
    return p


def normal_(
    p: Any, mean: float = 0.0, std: float = 1.0, rng: np.random.Generator | None = None
) -> Any:
    """Fill with numbers from the normal distribution."""
    p.data = _rng(rng).normal(mean, std, p.shape).astype(p.dtype)
    return p


def constant_(p: Any, val: float) -> Any:
    """Fill with one number."""
    p.data = np.full(p.shape, val, p.dtype)
    return p


def zeros_(p: Any) -> Any:
    """Fill with zeros (weights that are all equal never learn to differ)."""
    return constant_(p, 0.0)


def ones_(p: Any) -> Any:
    """Fill with ones."""
    return constant_(p, 1.0)


def xavier_uniform_(p: Any, gain: float = 1.0, rng: np.random.Generator | None = None) -> Any:
    """Fill evenly from ±gain √(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6 / sum(fans(p.shape)))
    return uniform_(p, -bound, bound, rng)


def xavier_normal_(p: Any, gain: float = 1.0, rng: np.random.Generator | None = None) -> Any:
    """Fill from a normal distribution of deviation gain √(2 / (fan_in + fan_out))."""
    return normal_(p, 0.0, gain * math.sqrt(2 / sum(fans(p.shape))), rng)


def kaiming_uniform_(
    p: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: np.random.Generator | None = None,
) -> Any:
    """Fill evenly from ±gain √(3 / fan), which for ReLU is ±√(6 / fan) (He et al., 2015)."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(p.shape, mode))
    return uniform_(p, -bound, bound, rng)


def kaiming_normal_(
    p: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: np.random.Generator | None = None,
) -> Any:
    """Fill from a normal distribution of deviation gain / √fan, for ReLU √(2 / fan)."""
    return normal_(p, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(p.shape, mode)), rng)
