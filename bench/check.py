"""Nothing is timed before it is checked: how near two float32 results of one network must be.

Each sum of K products is rounded K times. The errors have either sign, so they grow like a random
walk: about √(K/2) rounding units (eps / 2) of the sum's own size, whatever the order. On the way
to a result such sums follow one another, and their errors add up in the same way, so with T the
terms of all sums on the way (`networks.terms`) two results differ by about eps/2 √T, relative to
the largest number among those of a layer. `SAFETY` covers what that leaves out: the largest of a
million errors is five times a usual one, and Winograd's algorithm has about twice the errors.

Where a network has kinks (`ReLU`, `MaxPool2d`), a unit whose input is as near to the kink as two
results are apart is on for one side and off for the other. With e that distance, relative to the
inputs, this happens to about a share e √(2/π) of the units of a layer; each changes a gradient by
its own size, so the Euclidean norm of the gradients behind L such layers changes by a part of about
√(e L). So gradients behind kinks may also pass by that measure, with e taken from the outputs and
with `FLIPS` for what that leaves out; outputs and losses, which have no jumps, may not.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["SAFETY", "WrongResultError", "bound", "compare"]

SAFETY = 12.0
FLIPS = 6.4  # eight times √(2/π): inner layers are a little further apart than the outputs
CONTINUOUS = {"loss", "output"}


class WrongResultError(RuntimeError):
    """Two sides computed different things, so there is nothing to time."""


def bound(terms: int) -> float:
    """Return the largest difference that rounding explains, relative to a layer's largest number.

    Parameters
    ----------
    terms : int
        What `networks.terms` returned.
    """
    return SAFETY * float(np.finfo(np.float32).eps) / 2 * math.sqrt(terms)


def _group(name: str) -> str:
    """Return what shares a scale: weight and bias of one layer.

    The bias before a batch normalisation has a gradient of exactly 0, of which rounding leaves
    noise; beside the gradient of the weights it is small.
    """
    return name.rpartition(".")[0] or name


def _apart(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Return how far the outputs are apart, relative to their Euclidean norm."""
    if "output" not in ours or not np.any(theirs["output"]):
        return 0.0
    difference = ours["output"].astype(np.float64) - theirs["output"]
    return float(np.linalg.norm(difference) / np.linalg.norm(theirs["output"]))


def compare(
    ours: dict[str, np.ndarray],
    theirs: dict[str, np.ndarray],
    allowed: float,
    who: str,
    kinks: int = 0,
) -> float:
    """Return the largest relative difference; refuse results that differ by more than `allowed`.

    Behind so many `kinks`, gradients may differ in their Euclidean norm by what flips explain.

    Raises
    ------
    WrongResultError
        Names the result that is furthest off.
    """
    if ours.keys() != theirs.keys():
        odd = ", ".join(sorted(ours.keys() ^ theirs.keys()))
        raise WrongResultError(f"{who} and numcnn have different results: {odd}; not timed")
    scales: dict[str, float] = {}
    norms: dict[str, float] = {}
    for name, array in theirs.items():
        group = _group(name)
        scales[group] = max(scales.get(group, 0.0), float(np.abs(array).max()))
        norms[group] = math.hypot(norms.get(group, 0.0), float(np.linalg.norm(array)))
    apart = max(float(np.finfo(np.float32).eps), _apart(ours, theirs))
    rough = allowed + math.sqrt(FLIPS * apart * kinks)
    largest, worst, where = 0.0, 0.0, ""
    for name, array in ours.items():
        if array.shape != theirs[name].shape:
            shapes = f"{array.shape} and {theirs[name].shape}"
            raise WrongResultError(f"{name} has the shapes {shapes} in numcnn and {who}; not timed")
        scale = scales[_group(name)]
        difference = array.astype(np.float64) - theirs[name]
        off = float(np.abs(difference).max()) / scale if scale else 1.0
        largest = max(largest, off)
        norm = float(np.linalg.norm(difference))
        if kinks and name not in CONTINUOUS and scale:
            off = 0.0 if norm <= rough * norms[_group(name)] else off
        if not off <= worst:
            worst, where = off, name
        if math.isnan(off):  # nothing is worse
            break
    if not worst <= allowed:
        raise WrongResultError(
            f"the results of numcnn and {who} differ by {worst:.1e} in {where}, where rounding "
            f"explains {allowed:.1e}; not timed"
        )
    return largest
