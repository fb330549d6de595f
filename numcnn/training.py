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
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .clipping import clip_grad_norm
from .data.loader import DataLoader
from .history import History
from .layers import Chain, Layer, LogSoftmax, Sigmoid, Softmax, no_grad
from .layers.parameter import refuse_masked
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, KLDivLoss, Loss, NLLLoss
from .optim import Optimizer
from .progress import TrainingProgress
from .regularization import Penalty

__all__ = ["Evaluation", "evaluate", "fit", "predict", "without_input_gradient"]


class Movers(NamedTuple):
    """What moves the weights once a batch's loss is known; each but the optimizer may be None."""

    optimizer: Optimizer
    scheduler: Any = None
    penalty: Penalty | None = None
    clip_norm: float | None = None


class Evaluation(NamedTuple):
    """Result of `evaluate`.

    Attributes
    ----------
    loss : float
        Mean loss of the whole set, as if it were one batch: of its examples (or numbers), or
        where classes have weights the weighted mean; ignored labels take no part. A loss that
        isn't averaged (``reduction="sum"``) is divided by the number of examples.
    accuracy : float or None
        Share of labels whose class has the highest score, whatever the weights; ignored labels
        don't count. None without class labels, for example where targets are probabilities.
    """

    loss: float
    accuracy: float | None


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


class _Tally:
    """Loss and accuracy over several batches, each batch with the weight that it has."""

    def __init__(self, model: Layer, loss: Loss) -> None:
        self.model = model
        self.loss_of = loss
        self.total = self.weight = 0.0
        self.hits = self.count = 0
        self.labelled = False

    def add(self, xb: Any, yb: Any) -> float:
        """Run a batch forward; return its loss."""
        model, loss = self.model, self.loss_of
        scores = model.forward(to_device(model, xb))
        labelled = loss.takes_labels(yb)
        value = loss(scores, yb if labelled else to_device(model, yb))
        if loss.reduction in ("sum", "half_sum"):
            self.total += value
            self.weight += len(xb)
        else:
            self.total += loss.total
            self.weight += loss.divisor
        if labelled:
            self.labelled = True
            counted = yb != loss.ignore_index
            right = model.device.to_host(scores).argmax(axis=1) == yb
            self.hits += int((right & counted).sum())
            self.count += int(counted.sum())
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


def _last_layer(model: Layer) -> Layer:
    while isinstance(model, Chain) and len(model):
        model = model[-1]
    return model


def check_loss_fits(model: Layer, loss: Loss) -> None:
    """Warn where last layer and loss would both, or neither, make scores into probabilities."""
    last = _last_layer(model)
    twice = "drop the last layer, or training will be slow and the probabilities too even"
    text = ""
    if isinstance(loss, CrossEntropyLoss) and isinstance(last, (Softmax, LogSoftmax)):
        text = f"the model ends in {last!r} and CrossEntropyLoss applies a softmax itself; {twice}"
    elif isinstance(loss, BCEWithLogitsLoss) and isinstance(last, Sigmoid):
        text = f"the model ends in {last!r} and BCEWithLogitsLoss applies a sigmoid itself; {twice}"
    elif isinstance(loss, (NLLLoss, KLDivLoss)) and not isinstance(last, LogSoftmax):
        text = (
            f"{type(loss).__name__} expects log-probabilities, but the model ends in {last!r}; "
            f"end it in LogSoftmax(), or use CrossEntropyLoss"
        )
    if text:
        warnings.warn(text, stacklevel=3)


def check_data(model: Layer, loss: Loss, x: Any, y: Any) -> None:
    """Find what can't work before the first step, not in the middle of an epoch."""
    if loss.reduction == "none":
        raise ValueError(
            f"{loss!r} gives one loss per example; reduction='mean' gives the one needed"
        )
    for what, array in (("x", x), ("y", y)):
        refuse_masked(array, what)
    shape = model.output_shape((1, *np.shape(x)[1:]))
    loss.check_target(y, (len(y), *shape[1:]))


def fit(
    model: Layer,
    loader: DataLoader,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    validation_data: tuple[Any, Any] | None = None,
    callbacks: Iterable[Callable[[int, dict[str, Any]], Any]] = (),
    verbose: bool = True,
    scheduler: Any = None,
    penalty: Penalty | None = None,
    clip_norm: float | None = None,
) -> History:
    """Train `model`; `numcnn.Sequential.fit` describes the arguments."""
    check_loss_fits(model, loss)
    loss.to(model.device.name)
    history = History()
    callbacks = list(callbacks)
    movers = Movers(optimizer, scheduler, penalty, clip_norm)
    progress = TrainingProgress(epochs, len(loader), verbose)
    with _mode(model, True), without_input_gradient(model), progress:
        for epoch in range(epochs):
            progress.start_epoch(epoch)
            figures = _epoch(model, loader, loss, movers, history, progress, epoch)
            if validation_data is not None:
                result = evaluate(model, *validation_data, loss=loss)
                figures["val_loss"] = result.loss
                if result.accuracy is not None:
                    figures["val_accuracy"] = result.accuracy
            history.epochs.append(figures)
            progress.end_epoch(epoch, figures)
            if any([callback(epoch, figures) is True for callback in callbacks]):
                break
    return history


def _epoch(
    model: Layer,
    loader: DataLoader,
    loss: Loss,
    movers: Movers,
    history: History,
    progress: TrainingProgress,
    epoch: int,
) -> dict[str, Any]:
    """Run one epoch and return its figures."""
    started = time.perf_counter()
    seen = 0
    penalties = 0.0
    tally = _Tally(model, loss)
    figures: dict[str, Any] = {}
    for batch, (xb, yb) in enumerate(loader, start=1):
        value = tally.add(xb, yb)
        if not math.isfinite(value) and all(map(math.isfinite, history.batch_losses)):
            advice = "a smaller learning rate, or data without NaN and infinity, would help"
            if loss.divisor == 0:
                advice = "no label of this batch counts: all are ignored or of weight 0"
            warnings.warn(
                f"the loss of epoch {epoch + 1}, batch {batch} is {value}; {advice}", stacklevel=4
            )
        model.backward(loss.backward())
        penalties += _move(model, movers) * len(xb)
        history.batch_losses.append(value)
        seen += len(xb)
        seconds = time.perf_counter() - started
        figures = {"epoch": epoch + 1, "loss": tally.loss}
        if movers.penalty is not None:
            figures["penalty"] = penalties / seen
        if tally.accuracy is not None:
            figures["accuracy"] = tally.accuracy
        figures |= {"seconds": seconds, "images_per_s": seen / seconds}
        progress.update(epoch, batch, figures)
    return figures


def _move(model: Layer, movers: Movers) -> float:
    """Take one step along the gradients that are there; return the penalty before it."""
    value = 0.0
    if movers.penalty is not None:
        value = movers.penalty(model)
        movers.penalty.backward()
    if movers.clip_norm is not None:
        clip_grad_norm(model.parameters(), movers.clip_norm)
    movers.optimizer.step()
    movers.optimizer.zero_grad()
    if movers.scheduler is not None:
        movers.scheduler.step()
    return value


def evaluate(model: Layer, x: Any, y: Any, loss: Loss, batch_size: int = 256) -> Evaluation:
    """Return mean loss and accuracy on a data set, without training; `Evaluation` says of what."""
    loss.to(model.device.name)
    tally = _Tally(model, loss)
    with _mode(model, False), no_grad():
        for xb, yb in DataLoader(x, y, batch_size):
            tally.add(xb, yb)
    return Evaluation(tally.loss, tally.accuracy)


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
