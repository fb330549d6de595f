"""What `numcnn.diagnose` reads: curves, and dead ReLUs if somebody records them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .evaluation import predict
from .history import History
from .layers import Layer, ReLU

__all__ = ["Curves", "last_quarter", "record_dead"]

SURE = 3.0  # standard errors: chance alone goes that far once in 700 times


class Curves:
    """The figures of a history, and the few numbers that several rules need.

    ``line`` is the loss of each step, or of each epoch where steps weren't kept; ``start`` its
    first value, that of the untrained network; ``thirds`` its means over thirds of the run;
    ``per_epoch`` the number of batches in an epoch, 0 if unknown.
    """

    def __init__(self, history: History) -> None:
        self.batches = np.array(history.batch_losses, float)
        self.loss = _figure(history, "loss")
        self.val = _figure(history, "val_loss")
        self.dead = _figure(history, "dead")
        self.epochs = len(self.loss)
        whole = self.epochs and len(self.batches) % self.epochs == 0
        self.per_epoch = len(self.batches) // self.epochs if whole else 0
        self.line = self.batches if len(self.batches) else self.loss
        self.start = float(self.line[0]) if len(self.line) else math.nan
        thirds = np.array_split(self.line, 3) if len(self.line) >= 3 else []
        self.thirds = [float(third.mean()) for third in thirds]
        with np.errstate(invalid="ignore"):  # inf - inf, in a run that exploded
            self.errors = [float(third.std() / math.sqrt(len(third))) for third in thirds]
            self.noise = float(thirds[2].std()) if thirds else math.nan

    @property
    def validated(self) -> bool:
        """Whether every epoch has a finite validation loss."""
        return (
            self.epochs > 0 and len(self.val) == self.epochs and bool(np.isfinite(self.val).all())
        )

    @property
    def reached(self) -> float:
        """The loss at the end, of training or validation, whichever is lower.

        Dropout and pictures moved about make the training loss worse than the network is.
        """
        end = self.thirds[2]
        return min(end, last_quarter(self.val)) if self.validated else end

    @property
    def moved(self) -> bool:
        """Whether the loss fell by more than chance would let it."""
        first, _, last = self.thirds
        error = math.hypot(self.errors[0], self.errors[2])
        return first - last > SURE * error or self.start - last > SURE * self.noise

    @property
    def evenness(self) -> float:
        """The fall from the middle to the last third, as a share of the whole fall.

        That of a straight line is 2/5 (1/3 out of 5/6). Where the whole fall is lost in the scatter
        of the batches, the fall from the first to the last third stands for it: 4/5 as long.
        """
        first, middle, last = self.thirds
        fall = self.start - last
        if fall <= SURE * self.noise:
            fall = (first - last) * 5 / 4
        return (middle - last) / fall if fall > 0 else 0.0

    def rows(self) -> np.ndarray:
        """Return the batch losses, a row per epoch."""
        return self.batches.reshape(self.epochs, self.per_epoch)


def _figure(history: History, name: str) -> np.ndarray:
    """Return a figure of all epochs; empty if some epoch lacks it."""
    values = [epoch.get(name) for epoch in history.epochs]
    return np.array([] if None in values else values, float)


def last_quarter(values: np.ndarray) -> float:
    """Return the mean over the last quarter of the epochs, which single epochs disturb less."""
    return float(values[-max(1, len(values) // 4) :].mean())


def record_dead(model: Layer, x: Any) -> Callable[[int, dict[str, Any]], None]:
    """Return a callback for `fit` that adds ``dead`` to the figures of each epoch.

    ``dead`` is the share of ReLUs that give 0 for every example of `x`. The unit that counts is
    a column of a ``(N, features)`` array, or a whole channel of pictures.

    Parameters
    ----------
    model : Layer
        The network in training.
    x : array, shape (N, ...)
        Some hundred examples; they pass the network once per epoch, in evaluation mode.

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    relus = [layer for layer in model.layers() if isinstance(layer, ReLU)]
    if not relus:
        raise ValueError("record_dead counts the ReLUs that never fire, and this network has none")

    def record(epoch: int, figures: dict[str, Any]) -> None:
        fired: dict[Layer, np.ndarray] = {}
        with contextlib.ExitStack() as watches:
            for layer in relus:
                watches.enter_context(_watch(layer, fired))
            predict(model, x)
        figures["dead"] = float(1 - np.concatenate(list(fired.values())).mean())

    return record


@contextlib.contextmanager
def _watch(layer: Layer, fired: dict[Layer, np.ndarray]) -> Iterator[None]:
    """Note for a while which units of a layer ever give more than 0."""
    forward = layer._forward

    def watched(x: Any) -> Any:
        y = forward(x)
        others = tuple(axis for axis in range(y.ndim) if axis != 1)
        now = np.any(layer.device.to_host(y) > 0, axis=others)
        fired[layer] = fired.get(layer, False) | now
        return y

    vars(layer)["_forward"] = watched  # of this one layer, hiding that of its class
    try:
        yield
    finally:
        del vars(layer)["_forward"]
