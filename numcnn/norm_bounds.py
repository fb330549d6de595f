"""How near two normalisations are: bounds derived, not measured.

All sums are float64, also over float32 numbers. Let eps be the spacing of the dtype at 1 and e that
of float64, K the numbers that are normalised together, i = 1 / sqrt(var + eps) and A the mean of
|x| times i: how far from 0 the numbers lie, in deviations.

- The mean is off by at most (K + 1) e / 2 of the mean of |x|; xhat by (K + 1) e A then, for two
  implementations that differ. The variance is off by (K + 4) e of itself, and each sum of the
  backward pass by (K + 6) e of that over the absolute values of its terms.
- Where x - mean is computed in the dtype, with the mean rounded to it and the remainder added
  later, remainder and its rounding take part: eps A in size.
- At most eight operations of the dtype, or of float64, follow one another, each rounding by
  eps / 2 of its result.

So let X = |xhat| + eps A + (K + 1) (e / eps) A, and M be the formulas of y and the gradients with X
for xhat, absolute values everywhere and a plus for each minus. Two results differ by at most
(8 + (K + 6) e / eps) eps M: 8 eps M for float32, the usual sum's bound for float64. Inputs a
million deviations away from 0 are held to that as well, which a mean in float32 would miss by far.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["BATCH", "DOUBLE", "GROUPS", "ROWS", "Plan", "bound", "magnitudes", "spread", "terms"]

DOUBLE = np.finfo(np.float64).eps


def terms(count: int, dtype: Any) -> float:
    """Return (K + 6) e / eps, what `near` and `bound` take beside their 8."""
    return (count + 6) * DOUBLE / np.finfo(dtype).eps


def bound(count: int, dtype: Any, size: Any) -> Any:
    """Return how far two results of `count` numbers each may differ; `size` is their M."""
    return (8 + terms(count, dtype)) * np.finfo(dtype).eps * size


class Plan(NamedTuple):
    """Which axes are normalised together, and over which a weight is the same."""

    together: tuple[int, ...]
    shared: tuple[int, ...]


BATCH = Plan((0, 2), (0, 2))  # of (N, C, S)
ROWS = Plan((1,), (0,))  # of (R, M)
GROUPS = Plan((2, 3), (0, 3))  # of (N, G, C / G, S)


def spread(x: Any, plan: Plan, eps: float, dtype: Any, given: Any = None) -> tuple[Any, Any]:
    """Return i and X; `given` are mean and variance where they aren't those of x."""
    x = x.astype(np.float64)
    unit = np.finfo(dtype).eps
    if given is None:
        count = np.prod([x.shape[axis] for axis in plan.together])
        mean = x.mean(plan.together, keepdims=True)
        inverse = 1 / np.sqrt(((x - mean) ** 2).mean(plan.together, keepdims=True) + eps)
        away = np.abs(x).mean(plan.together, keepdims=True) * inverse
        remainder = unit + (count + 1) * DOUBLE / unit
    else:
        mean, inverse = given[0], 1 / np.sqrt(given[1] + eps)
        away = np.abs(mean) * inverse
        remainder = unit
    return inverse, np.abs(x - mean) * inverse + remainder * away


def magnitudes(
    x: Any, dy: Any, weight: Any, bias: Any, plan: Plan, eps: float, dtype: Any, given: Any = None
) -> dict[str, Any]:
    """Return M of y, dx, dweight and dbias; weight and bias have as many axes as x."""
    inverse, xhat = spread(x, plan, eps, dtype, given)
    dy, weight, bias = (np.abs(a).astype(np.float64) for a in (dy, weight, bias))
    gradient = weight * dy
    inner = gradient
    if given is None:
        means = [(gradient * k).mean(plan.together, keepdims=True) for k in (1, xhat)]
        inner = gradient + means[0] + xhat * means[1]
    return {
        "y": weight * xhat + bias,
        "dx": inverse * inner,
        "dweight": (dy * xhat).sum(plan.shared),
        "dbias": dy.sum(plan.shared),
    }
