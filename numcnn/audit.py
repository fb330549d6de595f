"""Every layer in float32 beside itself in float64, within bounds that follow from its sums.

``numcnn audit`` prints what `audit` finds. The sizes here are larger than those of
``gradcheck_cases.py``, since a bound grows with the length of a sum.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from . import layer_bounds as bounds
from . import layers
from .gradcheck_all import near_name
from .layer_bounds import Bounds, Passes, both_passes

__all__ = ["AUDITS", "Audit", "Finding", "audit", "explain", "table"]


class Audit(NamedTuple):
    """A layer, the shape of its input, how its bounds follow, and K where it can't count."""

    build: Callable[[], layers.Layer]
    shape: tuple[int, ...]
    bound: Callable[[Passes], Bounds] = bounds.sums
    length: int | None = None

    @property
    def name(self) -> str:
        """The class that is judged."""
        return type(self.build()).__name__


class Finding(NamedTuple):
    """How one array of a layer came out.

    Attributes
    ----------
    layer, array : str
        "y" is the output, "dx" the gradient of the input, "dweight" that of the weight.
    terms : int
        K, the length of the longest sum.
    bound, error : float
        Both where the error uses most of its bound.
    share : float
        Their ratio; more than 1 is a fault.
    """

    layer: str
    array: str
    terms: int
    bound: float
    error: float
    share: float

    @property
    def ok(self) -> bool:
        """Whether the error is within the bound; NaN isn't."""
        return self.share <= 1


def _unpooling() -> layers.MaxUnpool2d:
    """Return an unpooling whose pooling has run."""
    pool = layers.MaxPool2d(3, 2, 1)
    unpool = layers.MaxUnpool2d(3, 2, 1, pool=pool)
    pool(np.random.Generator(np.random.Philox(2)).standard_normal((2, 3, 15, 17)))
    return unpool


ROWS = (7, 300)
PICTURES = (4, 6, 17, 19)
CURVES = ("ELU", "SELU", "GELU", "SiLU", "Softplus", "Softsign", "LogSigmoid", "LeakyReLU")
EXACT = ("ReLU", "ReLU6", "Hardtanh", "Identity", "Flatten", "Step")
DROPS = ("Dropout", "Dropout2d", "GaussianDropout")

AUDITS = (
    Audit(lambda: layers.Conv2d(6, 10, 5, padding=2), PICTURES, bounds.convolution),
    Audit(lambda: layers.Conv2d(32, 40, 3, padding=1), (2, 32, 28, 28), bounds.convolution),
    Audit(lambda: layers.Conv2d(6, 12, (3, 5), 2, 1, 2, 3), PICTURES, bounds.convolution),
    Audit(lambda: layers.ConvTranspose2d(6, 10, (3, 4), 2, 1), PICTURES),
    Audit(lambda: layers.LocallyConnected2d(6, 5, (17, 19), 3), PICTURES),
    Audit(lambda: layers.Linear(3000, 50), (64, 3000)),
    Audit(lambda: layers.Maxout(300, 20, 3), ROWS, bounds.pieces),
    Audit(lambda: layers.AvgPool2d(3, 2, 1), PICTURES, bounds.means, 9),
    Audit(lambda: layers.AdaptiveAvgPool2d((3, 4)), PICTURES, bounds.means, 7 * 6),
    Audit(lambda: layers.AdaptiveAvgPool2d(1), PICTURES, bounds.means, 17 * 19),
    Audit(lambda: layers.MaxPool2d(3, 2, 1), PICTURES, bounds.chosen),
    Audit(lambda: layers.AdaptiveMaxPool2d((3, 4)), PICTURES, bounds.chosen),
    Audit(_unpooling, (2, 3, 8, 9), bounds.chosen),
    Audit(lambda: layers.Upsample(scale_factor=3), PICTURES, bounds.chosen),
    Audit(lambda: layers.Upsample(scale_factor=1.7, mode="bilinear"), PICTURES, bounds.bilinear),
    Audit(lambda: layers.PixelShuffle(2), (3, 8, 5, 7), bounds.chosen),
    Audit(lambda: layers.PixelUnshuffle(2), (3, 2, 6, 8), bounds.chosen),
    *(
        Audit(functools.partial(getattr(layers, name), (2, 1, 0, 3)), PICTURES, bounds.chosen)
        for name in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d")
    ),
    Audit(lambda: layers.ConstantPad2d(2, 0.5), PICTURES, bounds.chosen),
    Audit(lambda: layers.BatchNorm1d(50), (200, 50), bounds.normalised),
    Audit(lambda: layers.BatchNorm2d(6), PICTURES, bounds.normalised),
    Audit(lambda: layers.LayerNorm(300), ROWS, bounds.normalised),
    Audit(lambda: layers.GroupNorm(3, 6), PICTURES, bounds.normalised),
    Audit(lambda: layers.LocalResponseNorm(5, 0.5), PICTURES, bounds.neighbours),
    *(Audit(getattr(layers, name), ROWS, bounds.chosen) for name in EXACT),
    *(Audit(getattr(layers, name), ROWS, bounds.curves) for name in CURVES),
    Audit(layers.Sigmoid, ROWS, bounds.sigmoid),
    Audit(layers.Tanh, ROWS, bounds.tanh),
    Audit(layers.Softmax, ROWS, bounds.softmax),
    Audit(layers.LogSoftmax, ROWS, bounds.log_softmax),
    Audit(lambda: layers.PReLU(6), PICTURES, bounds.slopes),
    *(Audit(getattr(layers, name), PICTURES, bounds.factors) for name in DROPS),
    Audit(layers.Dropout1d, (4, 6, 50), bounds.factors),
    Audit(layers.Dropout3d, (2, 6, 3, 4, 5), bounds.factors),
    Audit(layers.AlphaDropout, ROWS, bounds.moved),
    Audit(layers.GaussianNoise, ROWS, bounds.moved),
    Audit(lambda: layers.Residual(layers.Linear(40, 40)), (7, 40)),
    Audit(lambda: layers.Concat(layers.Linear(40, 30), layers.Linear(40, 20)), (7, 40)),
)


def select(name: str | None) -> list[Audit]:
    """Return the audits of one layer, in any spelling of its case; all for None.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return near_name(name, AUDITS, "layer")


def _findings(case: Audit, seed: int) -> Iterator[Finding]:
    rng = np.random.Generator(np.random.Philox(seed))
    single, double = case.build(), case.build().to("float64")
    for layer in (single, double):
        layer.reseed(seed)
    double.load_state_dict(single.state_dict())
    x = rng.standard_normal(case.shape).astype(np.float32)
    dy = rng.standard_normal(single.output_shape(case.shape)).astype(np.float32)
    got = both_passes(single, x, dy)
    wide = x.astype(np.float64), dy.astype(np.float64)
    exact = both_passes(double, *wide)
    found = case.bound(Passes(case.build, double, *wide, exact, case.length))
    for name, (terms, bound) in found.items():
        error = np.abs(got[name].astype(np.float64) - exact[name])
        allowed = np.broadcast_to(bound, error.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(error == 0, 0.0, error / allowed)
        worst = np.nan_to_num(shares, nan=np.inf) if shares.any() else allowed
        at = np.unravel_index(int(np.argmax(worst)), error.shape)
        shown = repr(single).replace(",\n", ",").replace("\n", "")
        yield Finding(shown, name, terms, *(float(a[at]) for a in (allowed, error, shares)))


def audit(name: str | None = None, seed: int = 0) -> Iterator[Finding]:
    """Compare layers in float32 with themselves in float64.

    Parameters
    ----------
    name : str, optional
        Only this layer.
    seed : int
        Of weights, inputs and upstream gradients, all drawn from normal distributions.

    Yields
    ------
    Finding

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    for case in select(name):
        yield from _findings(case, seed)


def table(findings: list[Finding]) -> Any:
    """Return a table with one row for each finding.

    Parameters
    ----------
    findings : list of Finding

    Returns
    -------
    rich.table.Table
    """
    rows = Table()
    rows.add_column("layer", overflow="fold")
    rows.add_column("array")
    for column in ("length of sum", "bound", "seen error", "share of the bound"):
        rows.add_column(column, justify="right")
    before = ""
    for found in findings:
        rows.add_row(
            Text("" if found.layer == before else found.layer),
            found.array,
            f"{found.terms:,}",
            f"{found.bound:.1e}" if found.bound else "exact",
            f"{found.error:.1e}" if found.error else "0",
            Text(f"{found.share:.1%}", "green" if found.ok else "bold red"),
        )
        before = found.layer
    return rows


def explain(findings: list[Finding]) -> str:
    """Return in words what was found: which bounds were exceeded, or that none was."""
    bad = [found for found in findings if not found.ok]
    lines = [
        f"{found.array} of {found.layer} is {found.error:.2e} away from float64, and sums of "
        f"{found.terms:,} terms explain no more than {found.bound:.2e}"
        for found in bad
    ]
    if bad:
        return "\n".join([*lines, f"{len(bad)} of {len(findings)} bounds are exceeded"])
    most = max(findings, key=lambda found: found.share)
    return (
        f"{len(findings)} bounds hold; {most.array} of {most.layer} uses most of its own, "
        f"{most.share:.0%}"
    )
