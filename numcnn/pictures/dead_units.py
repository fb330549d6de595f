"""ReLU units that are 0 whatever comes: no gradient passes them, so they never learn."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers import Chain, Layer, ReLU, no_grad
from ..layers.parameter import refuse_masked
from ..shapes import as_count
from .drawing import finish, new_figure
from .inner import looking_into

__all__ = ["DeadUnits", "dead_units"]


@dataclass(frozen=True)
class DeadUnits:
    """What `dead_units` returns.

    Attributes
    ----------
    units : dict of str to float
        For each ReLU, by its name: the share of its units that were 0 for every example. In a
        map each pixel is a unit.
    channels : dict of str to float
        For each ReLU the share of channels all of whose units were 0. A dead pixel may lie where
        all pictures are black; a dead channel is a filter that does nothing.
    examples : int
        How many there were.
    """

    units: dict[str, float]
    channels: dict[str, float]
    examples: int

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw the shares as bars.

        Parameters
        ----------
        path : path, optional
            Save the picture there (PNG, PDF or SVG, by the ending).

        Returns
        -------
        matplotlib.figure.Figure
            Shows itself in a notebook.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        figure = new_figure(max(4.5, 1.6 + 0.9 * len(self.units)), 3.6)
        axes = figure.subplots()
        at = np.arange(len(self.units))
        for shift, label, shares in (
            (-0.2, "units", self.units),
            (0.2, "whole channels", self.channels),
        ):
            bars = axes.bar(at + shift, [100 * v for v in shares.values()], 0.4, label=label)
            axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
        axes.set_xticks(at, [f"layer {name}" for name in self.units])
        axes.set_ylabel("never above 0, %")
        axes.set_ylim(0, 108)
        axes.set_title(f"ReLU units that are 0 for all of {self.examples:,} examples", fontsize=10)
        axes.legend(fontsize=8)
        return finish(figure, path)


def dead_units(model: Chain, x: Any, batch_size: int = 256) -> DeadUnits:
    """Return, for each ReLU of a network, the share of units that are 0 for every example.

    Parameters
    ----------
    model : Sequential
        Wherever in it the ReLUs are.
    x : array, shape (N, ...)
        The examples; with few of them many units seem dead.
    batch_size : int
        Examples at a time; bounds the memory.

    Returns
    -------
    DeadUnits
        ``.units`` and ``.channels`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError, ShapeError
        If the network has no ReLU, or there is no example, or they don't fit.

    Examples
    --------
    ``dead_units(model, x_test).units``
    """
    refuse_masked(x, "x")
    x = np.asarray(x)
    batch_size = as_count(batch_size, "batch_size")
    relus = {name: layer for name, layer in _named(model) if isinstance(layer, ReLU)}
    if not relus:
        raise ValueError("the network has no ReLU, so no unit can be dead")
    if x.ndim == 0 or not len(x):
        raise ValueError("dead_units needs at least one example")
    alive: dict[str, np.ndarray] = {}

    def watch(name: str, layer: Layer) -> Callable[[Any], Any]:
        forward = layer.forward

        def watched(values: Any) -> Any:
            y = forward(values)
            answers = (model.device.to_host(y) != 0).any(axis=0)
            alive[name] = alive.get(name, False) | answers
            return y

        return watched

    with looking_into(model), no_grad():
        for name, layer in relus.items():
            vars(layer)["forward"] = watch(name, layer)  # taken back when looking ends
        for begin in range(0, len(x), batch_size):
            batch = np.asarray(x[begin : begin + batch_size], model.dtype or np.float32)
            model.forward(model.device.to_device(batch))
    units = {name: float(1 - np.mean(alive[name])) for name in relus}
    channels = {
        name: float(1 - np.mean(alive[name].reshape(len(alive[name]), -1).any(axis=1)))
        for name in relus
    }
    return DeadUnits(units, channels, len(x))


def _named(layer: Layer, before: str = "") -> list[tuple[str, Layer]]:
    """Return (name, layer) of every layer inside, however deep and in whatever container."""
    found: list[tuple[str, Layer]] = []
    for name, child in layer.children():
        found += [(before + name, child), *_named(child, f"{before}{name}.")]
    return found
