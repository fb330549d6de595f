"""The two passes without training: `evaluate` and `predict`. Both work on any `Layer`."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .data.loader import DataLoader
from .layers import Layer, no_grad
from .layers.base import evaluating
from .layers.parameter import refuse_masked
from .losses import Loss
from .sharing import reserved

__all__ = ["Evaluation", "Tally", "evaluate", "mode", "predict", "sent_ahead"]

Metrics = Mapping[str, Callable[[np.ndarray, np.ndarray], Any]]

_turn = threading.RLock()  # for forward passes whose layers leave something for each other


class _Figures(NamedTuple):
    loss: float
    accuracy: float | None


class Evaluation(_Figures):
    """Result of `evaluate`: a named tuple (loss, accuracy).

    Attributes
    ----------
    loss : float
        Mean loss of the whole set, as if it were one batch: of its examples (or numbers), or
        where classes have weights the weighted mean; ignored labels take no part. A loss that
        isn't averaged (``reduction="sum"``) is divided by the number of examples.
    accuracy : float or None
        Share of labels whose class has the highest score, whatever the weights; ignored labels
        don't count. None without class labels, for example where targets are probabilities.
    metrics : mapping
        What each of the metrics asked for gave, by name; no part of the tuple.
    """

    metrics: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        others = "".join(f", {name}={value!r}" for name, value in self.metrics.items())
        return f"Evaluation(loss={self.loss!r}, accuracy={self.accuracy!r}{others})"


@contextlib.contextmanager
def mode(model: Layer, training: bool) -> Iterator[None]:
    """Set training or evaluation for a while; afterwards every layer is as it was."""
    before = [(layer, layer.training) for layer in model.layers()]
    model.train(training)
    try:
        yield
    finally:
        for layer, was in before:
            layer.training = was


def turn_of(model: Layer) -> contextlib.AbstractContextManager[Any]:
    """Return what lets one thread at a time into a network whose layers need that."""
    guarded = any(layer.keeps_for_others for layer in model.layers())
    return _turn if guarded else contextlib.nullcontext()


def to_device(model: Layer, x: Any) -> Any:
    """Return a host batch as an array that the model takes; the GPU fetches it by itself."""
    return model.device.receive(_send(model, x))


def _send(model: Layer, x: Any) -> Any:
    return model.device.send(x, model.dtype or np.float32)


def sent_ahead(model: Layer, batches: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Iterate over batches whose `x` is on the model's device.

    On the GPU the next batch is on its way while this one is computed with. On the host nothing
    is asked for before its time.
    """
    if model.device.name != "cuda":
        yield from batches
        return
    waiting: tuple[Any, Any] | None = None
    spare: Any = None  # a third place: while batch 3 arrives, layers still hold batch 1
    for xb, yb in batches:
        sent = _send(model, xb), yb
        if waiting is None:
            spare = model.device.empty(np.shape(xb), model.dtype or np.float32)
        else:
            spare = None
            yield model.device.receive(waiting[0]), waiting[1]
        waiting = sent
    del spare
    if waiting is not None:
        yield model.device.receive(waiting[0]), waiting[1]


class Tally:
    """Loss and accuracy over several batches, each batch with the weight that it has."""

    def __init__(self, model: Layer, loss: Loss, keep_scores: bool = False) -> None:
        self.model = model
        self.keep_scores = keep_scores
        self.scores: list[np.ndarray] = []
        self.loss_of = loss
        self.total = self.weight = 0.0
        self.hits = self.count = 0
        self.labelled = False
        self._batch: tuple[int, Any] = 0, None
        self._value: float | None = None  # of a loss that has a forward of its own

    def add(self, xb: Any, yb: Any) -> float:
        """Run a batch forward; return its loss."""
        self.begin(xb, yb)
        return self.finish()

    def begin(self, xb: Any, yb: Any) -> None:
        """Run a batch forward. On the GPU nothing is waited for; `finish` does that."""
        model, loss = self.model, self.loss_of
        with turn_of(model):
            scores = model.forward(to_device(model, xb))
        labelled = loss.takes_labels(yb)
        target = yb if labelled else to_device(model, yb)
        self._value = None
        if type(loss).forward is Loss.forward:
            loss.begin(scores, target, labelled)
        else:  # somebody's own
            self._value = loss(scores, target)
            if labelled:
                counted = model.device.begin_figures(scores, *loss._scored(scores, target))
                loss.hits = model.device.end_figures(counted)[1]
        if self.keep_scores:
            self.scores.append(model.device.to_host(scores))
        self._batch = len(xb), yb if labelled else None

    def note(self, size: int, yb: Any, labelled: bool) -> None:
        """Count a batch whose loss the GPU computes without `begin`; `finish` takes it in."""
        self._value = None
        self._batch = size, yb if labelled else None

    def finish(self) -> float:
        """Take the batch of `begin` into the sums; return its loss."""
        loss = self.loss_of
        value = loss.finish() if self._value is None else self._value
        size, labels = self._batch
        if loss.reduction in ("sum", "half_sum"):
            self.total += value
            self.weight += size
        else:
            self.total += value * loss.divisor if loss.divisor else 0.0
            self.weight += loss.divisor
        if labels is not None:
            self.labelled = True
            self.hits += loss.hits
            self.count += int((labels != loss.ignore_index).sum())
        return value

    @property
    def loss(self) -> float:
        """The mean loss so far; nan where no label counted."""
        return self.total / self.weight if self.weight else math.nan

    @property
    def accuracy(self) -> float | None:
        """Share of hits so far; None without labels, nan where all were ignored."""
        if not self.labelled:
            return None
        return self.hits / self.count if self.count else math.nan


def evaluate(
    model: Layer,
    x: Any,
    y: Any,
    loss: Loss,
    batch_size: int = 256,
    metrics: Metrics | None = None,
) -> Evaluation:
    """Return mean loss, accuracy and other metrics on a data set; `Evaluation` says of what."""
    with reserved([loss]), evaluating(model), no_grad():
        loss.to(model.device.name)
        tally = Tally(model, loss, keep_scores=bool(metrics))
        for xb, yb in sent_ahead(model, DataLoader(x, y, batch_size)):
            tally.add(xb, yb)
    result = Evaluation(tally.loss, tally.accuracy)
    if metrics:
        scores, targets = np.concatenate(tally.scores), np.asarray(y)
        if tally.labelled and (targets == loss.ignore_index).any():
            counted = targets != loss.ignore_index
            scores, targets = np.moveaxis(scores, 1, -1)[counted], targets[counted]
        result.metrics = {name: metric(scores, targets) for name, metric in metrics.items()}
    return result


def predict(model: Layer, x: Any, batch_size: int = 256) -> np.ndarray:
    """Return the model's outputs for all of `x`, in evaluation mode, as a NumPy array."""
    refuse_masked(x, "x")
    x = np.asarray(x)
    if len(x) == 0:
        shape = model.output_shape((0, *x.shape[1:]))
        return np.empty(shape, model.dtype or np.float32)
    outputs = []
    with turn_of(model), evaluating(model), no_grad():
        for begin in range(0, len(x), batch_size):
            y = model.forward(to_device(model, x[begin : begin + batch_size]))
            outputs.append(model.device.to_host(y))
    return np.concatenate(outputs)
