"""How much of the gradient reaches each layer, and how far a step would move it."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import training
from ..layers import Chain
from ..losses import Loss, as_loss
from .drawing import finish, new_figure
from .inner import looking_into

__all__ = ["GradientFlow", "gradient_flow"]

USUAL = 1e-3  # a step that changes weights by about so much is neither timid nor wild


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` returns; all by the layer's name, in the order of the layers.

    Attributes
    ----------
    gradients : dict of str to float
        Norm of the gradient of all parameters of a layer together.
    weights : dict of str to float
        Norm of those parameters.
    lr : float
        Learning rate of the step that is compared with the weights.
    loss : float
        The batch's loss.
    """

    gradients: dict[str, float]
    weights: dict[str, float]
    lr: float
    loss: float

    @property
    def ratios(self) -> dict[str, float]:
        """Norm of a step of plain SGD over norm of the weights; infinite if all of these are 0."""
        return {
            name: self.lr * norm / self.weights[name] if self.weights[name] else float("inf")
            for name, norm in self.gradients.items()
        }

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Draw norms and ratios as bars, on a logarithmic scale.

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
        figure = new_figure(9, 3.6)
        left, right = figure.subplots(1, 2)
        names = [f"layer {name}" for name in self.gradients]
        _bars(left, names, list(self.gradients.values()), "norm of the gradient")
        _bars(right, names, list(self.ratios.values()), "norm of a step / norm of the weights")
        left.set_title(f"What reaches each layer (loss {self.loss:.3g})", fontsize=10)
        right.set_title(f"How far SGD with lr {self.lr:g} would move it", fontsize=10)
        right.axhline(USUAL, color="0.5", ls="--", lw=1, label=f"a rule of thumb, {USUAL:g}")
        right.legend(fontsize=8)
        return finish(figure, path)


def _bars(axes: Any, names: list[str], values: list[float], label: str) -> None:
    """Draw bars on a logarithmic scale, on which a 0 has no bar but its label."""
    drawn = [value if np.isfinite(value) and value > 0 else np.nan for value in values]
    known = [value for value in drawn if value == value]
    axes.set_yscale("log")
    if known:  # a bar has to begin somewhere
        axes.set_ylim(min([*known, USUAL]) / 5, max([*known, USUAL]) * 5)
    axes.bar(range(len(names)), drawn)
    for at, value in enumerate(values):
        top = drawn[at] if drawn[at] == drawn[at] else axes.get_ylim()[0]
        axes.annotate(
            f"{value:.1e}" if value else "0",
            (at, top),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.set_xticks(range(len(names)), names)
    if len(names) > 6:
        axes.tick_params(axis="x", rotation=60)
    axes.set_ylabel(label)


def gradient_flow(
    model: Chain, x: Any, y: Any, loss: Loss | str = "cross_entropy", lr: float = 0.01
) -> GradientFlow:
    """Return how large the gradient of each layer is on a batch, and how far a step would go.

    Norms that shrink from the last layer to the first show vanishing gradients (Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010).
    The network is in training mode, as when it learns, but learns nothing.

    Parameters
    ----------
    model : Sequential
    x, y : array, shape (N, ...)
        A batch and its targets.
    loss : Loss or {"cross_entropy", "nll", "mse", "l1", ...}
    lr : float
        Learning rate of the plain SGD whose step is compared with the weights.

    Returns
    -------
    GradientFlow
        ``.gradients`` and ``.ratios`` are the numbers, ``.plot()`` draws them.

    Raises
    ------
    ValueError, ShapeError
        If the network has no parameters, or data, network and loss don't fit together.

    Examples
    --------
    ``gradient_flow(model, x_test[:64], y_test[:64]).plot()``
    """
    if not (lr > 0 and np.isfinite(lr)):
        raise ValueError(f"lr must be above 0 and finite, got {lr}")
    measure = copy.copy(as_loss(loss))  # what the user's own keeps stays as it is
    training.check_data(model, measure, x, y)
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ValueError("the network has no parameters, so no gradient flows into any")
    measure.to(model.device.name)
    gradients: dict[str, float] = {}
    weights: dict[str, float] = {}
    with looking_into(model, training=True):
        dtype = model.dtype or np.float32
        scores = model.forward(model.device.to_device(np.asarray(x, dtype)))
        target = y if measure.takes_labels(y) else model.device.to_device(np.asarray(y, dtype))
        value = measure(scores, target)
        model.backward(measure.backward())
        for name, parameter in parameters.items():
            layer = name.rpartition(".")[0]
            for norms, array in ((gradients, parameter.grad), (weights, parameter.data)):
                numbers = parameter.device.to_host(array).astype(np.float64)
                norms[layer] = float(np.hypot(norms.get(layer, 0.0), np.linalg.norm(numbers)))
    return GradientFlow(gradients, weights, float(lr), float(value))
