"""Initial values of parameters, with the names and formulas of ``torch.nn.init``.

Each function fills a `Parameter` (or anything with ``shape``, ``dtype`` and a settable
``data``) and returns it. Random ones take a NumPy ``Generator``; without one they draw from the
seed that `manual_seed` sets.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
2010 (Xavier); He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015 (Kaiming); Saxe,
McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
neural networks", 2014 (orthogonal); Martens, "Deep learning via Hessian-free optimization", 2010
(sparse).
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "manual_seed",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
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


class Constant:
    """Gives one number; an object for the same reason."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of `shape`, float64."""
        return np.full(shape, self.value)


class Normal:
    """Draws from the normal distribution around 0; an object, as `Uniform` is."""

    def __init__(self, std: float) -> None:
        self.std = std

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array of `shape`, float64."""
        return rng.normal(0.0, self.std, shape)


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


LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a nonlinearity shrinks its input's spread (torch's table)."""
    table = {
        **dict.fromkeys(LINEAR, 1.0),
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


def eye_(p: Any) -> Any:
    """Fill a weight of two axes with the identity: outputs are inputs, as many as there are."""
    _need_axes(p.shape, (2,), "eye_")
    p.data = np.eye(*p.shape, dtype=p.dtype)
    return p


def dirac_(p: Any, groups: int = 1) -> Any:
    """Fill a convolution's weight so that each filter passes on its own channel, unchanged.

    Parameters
    ----------
    p : Parameter, shape (out, in / groups, ...)
        With one, two or three axes of taps; the middle one gets the 1, the others 0. Filters
        beyond the number of channels (of a group) are 0.
    groups : int
        Of the convolution.
    """
    _need_axes(p.shape, (3, 4, 5), "dirac_")
    filters = p.shape[0] // groups
    if filters * groups != p.shape[0]:
        raise ValueError(f"{p.shape[0]} filters can't be divided into {groups} groups")
    values = np.zeros(p.shape, p.dtype)
    middle = tuple(size // 2 for size in p.shape[2:])
    for group in range(groups):
        for c in range(min(filters, p.shape[1])):
            values[group * filters + c, c][middle] = 1
    p.data = values
    return p


def orthogonal_(p: Any, gain: float = 1.0, rng: np.random.Generator | None = None) -> Any:
    """Fill so that the rows, each seen as a vector, are orthogonal and of length `gain`.

    With more rows than columns it is the columns. Evenly distributed over all such matrices:
    the QR decomposition of normal numbers, its signs chosen so that R's diagonal is positive
    (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
    """
    if len(p.shape) < 2:
        raise ValueError(f"orthogonal_ needs a weight of two axes or more, got {p.shape}")
    rows, columns = p.shape[0], math.prod(p.shape[1:])
    q, r = np.linalg.qr(_rng(rng).standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -gain, gain)
    p.data = (q if rows >= columns else q.T).reshape(p.shape).astype(p.dtype)
    return p


def sparse_(
    p: Any, sparsity: float, std: float = 0.01, rng: np.random.Generator | None = None
) -> Any:
    """Fill from a normal distribution, and set a share of each column to 0.

    Parameters
    ----------
    p : Parameter, shape (rows, columns)
    sparsity : float
        The share, from 0 to 1; of each column ``ceil(sparsity * rows)`` numbers are 0.
    std : float
        Standard deviation of the others.
    rng : numpy.random.Generator, optional
    """
    _need_axes(p.shape, (2,), "sparse_")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity is a share, between 0 and 1; got {sparsity}")
    rng = _rng(rng)
    values = rng.normal(0.0, std, p.shape)
    zeros = math.ceil(sparsity * p.shape[0])
    for column in range(p.shape[1]):
        values[rng.permutation(p.shape[0])[:zeros], column] = 0
    p.data = values.astype(p.dtype)
    return p


def trunc_normal_(
    p: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    rng: np.random.Generator | None = None,
) -> Any:
    """Fill from the normal distribution, without the numbers outside of [a, b].

    Its distribution function is turned around, in logarithms, which keeps the tails exact.
    """
    from scipy.special import log_ndtr, ndtri_exp

    if not a < b or not std > 0:
        raise ValueError(f"a must be below b and std above 0, got a={a}, b={b}, std={std}")
    low, high = (a - mean) / std, (b - mean) / std
    sign = -1 if low > 0 else 1  # the lower tail is the one that logarithms hold exactly
    low, high = sorted((sign * low, sign * high))
    u = _rng(rng).uniform(0.0, 1.0, p.shape)
    with np.errstate(divide="ignore"):  # u may be 0, whose logarithm is right here
        logs = np.logaddexp(log_ndtr(high) + np.log(u), log_ndtr(low) + np.log1p(-u))
    p.data = np.clip(mean + std * sign * ndtri_exp(logs), a, b).astype(p.dtype)
    return p


def _need_axes(shape: tuple[int, ...], counts: tuple[int, ...], who: str) -> None:
    if len(shape) not in counts:
        wanted = " or ".join(map(str, counts))
        raise ValueError(f"{who} needs a weight of {wanted} axes, got shape {shape}")


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
