"""The training loop, and the two loops without training: evaluate and predict.

All three work on any `Layer`. In short, one step of training is::

    loss(model(x), y)
    model.backward(loss.backward())
    optimizer.step()
    optimizer.zero_grad()
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .callbacks import Callback, as_callbacks, running
from .data.loader import DataLoader
from .history import History
from .layers import Chain, Layer, LogSoftmax, Softmax, no_grad
from .layers.parameter import refuse_masked
from .losses import CrossEntropyLoss, Loss, NLLLoss, check_labels
from .optim import Optimizer
from .progress import TrainingProgress
from .schedulers import ReduceLROnPlateau

__all__ = ["Evaluation", "evaluate", "fit", "predict", "without_input_gradient"]


class _Figures(NamedTuple):
    loss: float
    accuracy: float | None


class Evaluation(_Figures):
    """Result of `evaluate`: a named tuple (loss, accuracy).

    Attributes
    ----------
    loss : float
        Mean loss per example.
    accuracy : float or None
        Share of examples whose highest score is the right class; None without class labels.
    metrics : mapping
        What each of the metrics asked for gave, by name; no part of the tuple.
    """

    metrics: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        others = "".join(f", {name}={value!r}" for name, value in self.metrics.items())
        return f"Evaluation(loss={self.loss!r}, accuracy={self.accuracy!r}{others})"


@contextlib.contextmanager
def without_input_gradient(model: Layer) -> Iterator[None]:
    """Spare the gradient that a training step throws away: that of the pictures themselves."""
    first = model
    while isinstance(first, Chain) and len(first):
        first = first[0]
    before = first.input_gradient
    first.input_gradient = False
    try:
        yield
    finally:
        first.input_gradient = before


@contextlib.contextmanager
def _mode(model: Layer, training: bool) -> Iterator[None]:
    """Set training or evaluation for a while; afterwards every layer is as it was."""
    before = [(layer, layer.training) for layer in model.layers()]
    model.train(training)
    try:
        yield
    finally:
        for layer, was in before:
            layer.training = was


def to_device(model: Layer, x: Any) -> Any:
    """Return a host batch as an array that the model takes."""
    if model.device.name != "cuda" or model.device.owns(x):
        return x
    return model.device.to_device(np.asarray(x, model.dtype or np.float32))


def count_hits(scores: np.ndarray, labels: np.ndarray) -> int:
    """Return how many rows have their highest score at the label."""
    return int((scores.argmax(axis=1) == labels).sum())


def _last_layer(model: Layer) -> Layer:
    while isinstance(model, Chain) and len(model):
        model = model[-1]
    return model


def check_loss_fits(model: Layer, loss: Loss) -> None:
    """Warn where the model's last layer and the loss would both, or neither, take a softmax."""
    last = _last_layer(model)
    if isinstance(loss, CrossEntropyLoss) and isinstance(last, (Softmax, LogSoftmax)):
        warnings.warn(
            f"the model ends in {last!r} and CrossEntropyLoss applies a softmax itself; "
            f"drop the last layer, or training will be slow and the probabilities too even",
            stacklevel=3,
        )
    if isinstance(loss, NLLLoss) and not isinstance(last, LogSoftmax):
        warnings.warn(
            f"NLLLoss expects log-probabilities, but the model ends in {last!r}; "
            f"end it in LogSoftmax(), or use CrossEntropyLoss",
            stacklevel=3,
        )


def check_data(model: Layer, loss: Loss, x: Any, y: Any) -> None:
    """Find what can't work before the first step, not in the middle of an epoch."""
    if loss.reduction == "none":
        raise ValueError(
            f"{loss!r} gives one loss per example; reduction='mean' gives the one needed"
        )
    for what, array in (("x", x), ("y", y)):
        refuse_masked(array, what)
    shape = model.output_shape((1, *np.shape(x)[1:]))
    if loss.takes_labels:
        check_labels(y, (len(y), *shape[1:]), repr(loss))


def fit(
    model: Layer,
    loader: DataLoader,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    validation_data: tuple[Any, Any] | None = None,
    callbacks: Iterable[Callback | Callable[[int, dict[str, Any]], Any]] = (),
    verbose: bool = True,
    scheduler: Any = None,
) -> History:
    """Train `model`; `numcnn.Sequential.fit` describes the arguments."""
    beside = as_callbacks(callbacks)
    check_loss_fits(model, loss)
    loss.to(model.device.name)
    history = History()
    progress = TrainingProgress(epochs, len(loader), verbose)
    plateau = scheduler if isinstance(scheduler, ReduceLROnPlateau) else None
    movers = (optimizer, None if plateau else scheduler)
    with (
        _mode(model, True),
        without_input_gradient(model),
        progress,
        running(beside, model),
    ):
        for epoch in range(epochs):
            progress.start_epoch(epoch)
            figures = _epoch(model, loader, loss, movers, (history, progress, beside), epoch)
            if validation_data is not None:
                result = evaluate(model, *validation_data, loss=loss)
                figures["val_loss"] = result.loss
                if result.accuracy is not None:
                    figures["val_accuracy"] = result.accuracy
            if plateau:
                plateau.step(_figure_for(plateau, figures))
            history.epochs.append(figures)
            progress.end_epoch(epoch, figures)
            if any([callback.on_epoch_end(epoch, figures) is True for callback in beside]):
                break
    return history


def _figure_for(plateau: ReduceLROnPlateau, figures: dict[str, Any]) -> float:
    """Return the figure that has to get better: the loss, or in mode "max" the accuracy."""
    kind = "loss" if plateau.mode == "min" else "accuracy"
    for name in (f"val_{kind}", kind):
        if name in figures:
            return figures[name]
    raise ValueError(
        "ReduceLROnPlateau with mode='max' follows the accuracy, and targets that are no class "
        "labels have none; use mode='min'"
    )


def _epoch(
    model: Layer,
    loader: DataLoader,
    loss: Loss,
    movers: tuple[Optimizer, Any],
    watchers: tuple[History, TrainingProgress, list[Callback]],
    epoch: int,
) -> dict[str, Any]:
    """Run one epoch and return its figures."""
    started = time.perf_counter()
    optimizer, scheduler = movers
    history, progress, callbacks = watchers
    seen = hits = 0
    total = 0.0
    figures: dict[str, Any] = {}
    for batch, (xb, yb) in enumerate(loader, start=1):
        scores = model.forward(to_device(model, xb))
        target = yb if loss.takes_labels else to_device(model, yb)
        value = loss(scores, target)
        if not math.isfinite(value) and all(map(math.isfinite, history.batch_losses)):
            warnings.warn(
                f"the loss of epoch {epoch + 1}, batch {batch} is {value}; a smaller learning "
                f"rate, or data without NaN and infinity, would help",
                stacklevel=4,
            )
        model.backward(loss.backward())
        optimizer.step()
        optimizer.zero_grad()
        lr = optimizer.lr  # of this step; the scheduler sets that of the next
        if scheduler is not None:
            scheduler.step()
        history.batch_losses.append(value)
        seen += len(xb)
        total += value * len(xb)
        seconds = time.perf_counter() - started
        figures = {"epoch": epoch + 1, "loss": total / seen}
        if loss.takes_labels:
            hits += count_hits(model.device.to_host(scores), yb)
            figures["accuracy"] = hits / math.prod((seen, *yb.shape[1:]))
        figures |= {"lr": lr, "seconds": seconds, "images_per_s": seen / seconds}
        progress.update(epoch, batch, figures)
        for callback in callbacks:
            callback.on_batch_end(batch - 1, figures)
    return figures


def evaluate(
    model: Layer,
    x: Any,
    y: Any,
    loss: Loss,
    batch_size: int = 256,
    metrics: Mapping[str, Callable[[np.ndarray, np.ndarray], Any]] | None = None,
) -> Evaluation:
    """Return mean loss, accuracy and other metrics on a data set, without training."""
    loss.to(model.device.name)
    total = 0.0
    hits = count = 0
    kept: list[np.ndarray] = []
    with _mode(model, False), no_grad():
        for xb, yb in DataLoader(x, y, batch_size):
            scores = model.forward(to_device(model, xb))
            target = yb if loss.takes_labels else to_device(model, yb)
            summed = loss.reduction in ("sum", "half_sum")
            total += loss(scores, target) * (1 if summed else len(xb))
            if loss.takes_labels:
                hits += count_hits(model.device.to_host(scores), yb)
                count += yb.size
            if metrics:
                kept.append(model.device.to_host(scores))
    accuracy = hits / count if loss.takes_labels else None
    result = Evaluation(total / len(x), accuracy)
    if metrics:
        everything, targets = np.concatenate(kept), np.asarray(y)
        result.metrics = {name: metric(everything, targets) for name, metric in metrics.items()}
    return result


def predict(model: Layer, x: Any, batch_size: int = 256) -> np.ndarray:
    """Return the model's outputs for all of `x`, in evaluation mode, as a NumPy array."""
    refuse_masked(x, "x")
    x = np.asarray(x)
    if len(x) == 0:
        shape = model.output_shape((0, *x.shape[1:]))
        return np.empty(shape, model.dtype or np.float32)
    outputs = []
    with _mode(model, False), no_grad():
        for begin in range(0, len(x), batch_size):
            y = model.forward(to_device(model, x[begin : begin + batch_size]))
            outputs.append(model.device.to_host(y))
    return np.concatenate(outputs)
