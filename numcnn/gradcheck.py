"""Is a gradient right? Ask the function itself, by moving each input a little.

The slope of a function along one coordinate is, to within h², the central difference
``(f(x + h) - f(x - h)) / 2h``. It needs no derivation, so it can judge one. Here f is the
inner product of a layer's output with a random array r (or a loss), and its slopes are
compared with what ``backward(r)`` returned, for every element of the input and of every
parameter.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .layers import Layer
from .layers.dropout import RandomLayer
from .losses import Loss

__all__ = ["GradcheckReport", "Verdict", "gradcheck"]

# Rounding costs about eps/h of f's terms, truncation about h²: both near 1e-10 at this h.
STEP = 2.0**-17
RTOL = 1e-6
KINK_JUMP = 1e-3
RESAMPLES = 3
MEANING = {
    "pass": "the analytic and the numeric gradient agree",
    "fail": "they differ where the function is smooth: the backward pass is wrong",
    "kink": "the function isn't smooth at this point; beside it the gradient is right",
    "vacuous": "both gradients are zero everywhere, so nothing was shown; try other inputs",
    "precision": "differences of float32 numbers can't judge a gradient; use dtype='float64'",
}


@dataclass(frozen=True)
class Verdict:
    """What gradcheck found for one array.

    Attributes
    ----------
    name : str
        ``"x"`` for the input, else the parameter's name.
    verdict : {"pass", "fail", "kink", "vacuous", "precision"}
    error : float
        Largest difference, relative to the larger of the two values (or to the array's scale
        where both are tiny).
    index : tuple of int
        Where that is, the worst element; for a kink, the first place that isn't smooth.
    analytic, numeric : float
        The two values there.
    elements : int
        How many elements were compared.
    step : float
        The h of the difference quotient.
    """

    name: str
    verdict: str
    error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float
    elements: int
    step: float

    @property
    def ok(self) -> bool:
        """Whether the gradient was shown to be right."""
        return self.verdict in ("pass", "kink")

    def __str__(self) -> str:
        where = f"{self.name}{list(self.index)}"
        text = f"{self.verdict:9s} {self.name:12s} {self.elements:6d} elements  "
        if self.verdict in ("pass", "vacuous"):
            return text + f"largest relative difference {self.error:.1e}"
        return text + (
            f"at {where}: analytic {self.analytic:.9g}, numeric {self.numeric:.9g}, "
            f"relative difference {self.error:.1e}, step {self.step:.1e}; {MEANING[self.verdict]}"
        )


@dataclass
class GradcheckReport:
    """Verdicts for one layer, network or loss. True where all is well; print it to read it."""

    subject: str
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every gradient was shown to be right."""
        return all(verdict.ok for verdict in self.verdicts)

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, name: str) -> Verdict:
        return next(verdict for verdict in self.verdicts if verdict.name == name)

    def __str__(self) -> str:
        return "\n".join([self.subject, *(f"  {verdict}" for verdict in self.verdicts)])


class _Subject:
    """A scalar function of the input and the parameters, with its analytic gradient."""

    def __init__(self, subject: Layer | Loss, x: np.ndarray, target: Any, seed: int) -> None:
        self.subject = subject
        self.target = target
        self.rng = np.random.Generator(np.random.Philox(seed))
        self.x = x
        self.masks = []
        self.arrays: dict[str, np.ndarray] = {"x": x}
        if isinstance(subject, Layer):
            self.masks = [(m, m.calls) for m in subject.layers() if isinstance(m, RandomLayer)]
            self.arrays |= {name: p.data for name, p in subject.named_parameters()}
        self.upstream = self.rng.standard_normal(np.shape(self.output()))

    def output(self) -> np.ndarray:
        """Return the subject's output; dropout repeats the mask of the first time."""
        for layer, calls in self.masks:
            layer.calls = calls
        if isinstance(self.subject, Loss):
            return np.asarray(self.subject(self.x, self.target), np.float64)
        return np.asarray(self.subject(self.x), np.float64)

    def analytic(self) -> dict[str, np.ndarray]:
        """Return what the backward pass says."""
        if isinstance(self.subject, Loss):
            self.output()
            upstream = self.upstream if np.ndim(self.upstream) else float(self.upstream)
            return {"x": np.array(self.subject.backward(upstream))}
        self.subject.zero_grad()
        self.output()
        grads = {"x": np.array(self.subject.backward(self.upstream))}
        for name, parameter in self.subject.named_parameters():
            missing = parameter.grad is None  # reported as a gradient that is no number
            grads[name] = np.array(np.nan if missing else parameter.grad)
        self.subject.zero_grad()
        return grads

    def noise(self) -> float:
        """Return what rounding alone may change the scalar by: differences below say nothing."""
        size = math.fsum(np.abs(self.output() * self.upstream).ravel())
        return 4 * float(np.finfo(self.x.dtype).eps) * size

    def moved(self, array: np.ndarray, index: tuple[int, ...], by: float) -> np.ndarray:
        """Return the output with one element of `array` moved."""
        kept = array[index]
        array[index] = kept + by
        try:
            return np.array(self.output())
        finally:
            array[index] = kept

    def slopes(self, name: str, index: tuple[int, ...], h: float) -> tuple[float, float, float]:
        """Return the slope to the right, to the left, and the central one."""
        array = self.arrays[name]
        above, here, below = (
            self.moved(array, index, h),
            self.output(),
            self.moved(array, index, -h),
        )
        right = math.fsum(((above - here) * self.upstream).ravel()) / h
        left = math.fsum(((here - below) * self.upstream).ravel()) / h
        return right, left, (right + left) / 2

    def central(self, name: str, index: tuple[int, ...], h: float) -> float:
        """Return the central difference alone."""
        array = self.arrays[name]
        difference = self.moved(array, index, h) - self.moved(array, index, -h)
        return math.fsum((difference * self.upstream).ravel()) / (2 * h)


def _indices(array: np.ndarray, limit: int | None, seed: int) -> Iterator[tuple[int, ...]]:
    flat: Any = range(array.size)
    if limit is not None and array.size > limit:
        flat = np.random.Generator(np.random.Philox(seed)).choice(array.size, limit, replace=False)
    for i in flat:
        yield tuple(int(k) for k in np.unravel_index(int(i), array.shape))


def _error(analytic: float, numeric: float, scale: float) -> float:
    """Return the relative difference; infinite where either value is no finite number."""
    if not (math.isfinite(analytic) and math.isfinite(numeric)):
        return math.inf
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-2 * scale)


def _judge(
    subject: _Subject, name: str, analytic: np.ndarray, limit: int | None, seed: int
) -> tuple[Verdict, bool]:
    """Compare one array's gradients; return the verdict and whether a kink was in the way."""
    array = subject.arrays[name]
    h = STEP * max(1.0, float(np.abs(array).max(initial=0)))
    if analytic.shape != array.shape:  # another shape, or no gradient at all
        return Verdict(name, "fail", math.inf, (), math.nan, math.nan, 0, h), False
    pairs = [
        (i, float(analytic[i]), subject.central(name, i, h)) for i in _indices(array, limit, seed)
    ]
    scale = max((abs(v) for _, a, n in pairs for v in (a, n) if math.isfinite(v)), default=0.0)
    finite = all(math.isfinite(a) and math.isfinite(n) for _, a, n in pairs)
    if finite and scale <= (subject.noise() / h if scale else 0.0):
        return Verdict(name, "vacuous", 0.0, (), 0.0, 0.0, len(pairs), h), False
    worst = kink = None
    for index, a, n in pairs:
        error = _error(a, n, scale)
        if error > RTOL and math.isfinite(a):
            right, left, central = subject.slopes(name, index, h / 16)
            if abs(right - left) > KINK_JUMP * max(abs(right), abs(left), 1e-2 * scale):
                kink = kink or Verdict(name, "kink", error, index, a, n, len(pairs), h)
                continue
            # the kink, if any, lies beside the point: the smaller step decides
            n = central
            error = _error(a, n, scale)
            error = 0.0 if error <= 16 * RTOL else error
        if worst is None or error > worst[0]:
            worst = (error, index, a, n)
    if worst is not None and worst[0] > RTOL:
        return Verdict(name, "fail", *worst, len(pairs), h), False
    if kink is not None:
        return kink, True
    assert worst is not None
    return Verdict(name, "pass", *worst, len(pairs), h), False


def _check(
    build: Callable[[np.ndarray], _Subject], x: np.ndarray, limit: int | None, seed: int
) -> list[Verdict]:
    """Judge every array; where a kink is in the way, judge again beside it."""
    rng = np.random.Generator(np.random.Philox(seed + 1))
    found: dict[str, Verdict] = {}
    here = x
    for _ in range(1 + RESAMPLES):
        subject = build(here)
        again = False
        for name, gradient in subject.analytic().items():
            verdict, kinked = _judge(subject, name, gradient, limit, seed)
            if name not in found or verdict.verdict == "fail":
                found[name] = verdict
            again |= kinked
        if not again:
            return list(found.values())
        spread = float(np.abs(x).max(initial=0)) or 1.0
        here = x + rng.uniform(-0.05, 0.05, x.shape) * spread
    stuck = (verdict for verdict in found.values() if verdict.verdict == "kink")
    name = next(stuck).name
    raise ValueError(
        f"{name}: every point near the given one has a kink, so no gradient could be checked; "
        f"use fewer elements, or values that are further apart"
    )


def gradcheck(
    subject: Layer | Loss,
    x: Any,
    target: Any = None,
    *,
    dtype: str = "float64",
    seed: int = 0,
    limit: int | None = None,
) -> GradcheckReport:
    """Compare a backward pass with finite differences, element by element.

    Parameters
    ----------
    subject : Layer or Loss
        A layer, a whole network, or a loss. It is copied, so nothing of it changes. Its device
        and mode (train or eval) are kept; dropout repeats one mask.
    x : array
        Input of the layer, or prediction for a loss. Small arrays are enough: every element
        costs two forward passes.
    target : array, optional
        What the loss compares with.
    dtype : {"float64", "float32"}
        Float32 is accepted and answered with the verdict ``precision``.
    seed : int
        Of the random upstream gradient.
    limit : int, optional
        Compare at most so many elements of each array, chosen at random.

    Returns
    -------
    GradcheckReport
        True if every gradient was shown to be right. Its verdicts, one per array:
        ``pass``; ``fail`` with the worst element, its index, analytic and numeric value;
        ``kink`` where the function isn't smooth at the given point (a tie in max pooling, ReLU
        at 0) but passed at a point beside it; ``vacuous`` where both gradients are zero, which
        shows nothing; ``precision`` for float32.

    Examples
    --------
    >>> import numpy as np
    >>> from numcnn import Conv2d, gradcheck
    >>> bool(gradcheck(Conv2d(2, 3, 3), np.random.default_rng(0).normal(size=(2, 2, 5, 6))))
    True
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
    if isinstance(subject, Loss) and target is None:
        raise TypeError("a loss needs its target: gradcheck(loss, prediction, target)")
    if subject.device.name == "cuda":
        raise ValueError("gradcheck judges the loops on the host; move to 'cpu' or 'reference'")
    tested = copy.deepcopy(subject)
    if isinstance(tested, Layer):
        tested.to(dtype=dtype)
    # the layer must see this very array, so that moving one of its elements moves the input
    point = np.array(x, dtype=dtype, order="C")

    def build(at: np.ndarray) -> _Subject:
        return _Subject(copy.deepcopy(tested), np.array(at, dtype), target, seed)

    report = GradcheckReport(f"{subject!r}, input {point.shape}, {dtype}")
    if dtype == "float64":
        report.verdicts = _check(build, point, limit, seed)
    else:
        inner = build(point)
        for name, gradient in inner.analytic().items():
            verdict, _ = _judge(inner, name, gradient, limit, seed)
            report.verdicts.append(
                Verdict(
                    name,
                    "precision",
                    *[
                        getattr(verdict, k)
                        for k in ("error", "index", "analytic", "numeric", "elements", "step")
                    ],
                )
            )
    return report
