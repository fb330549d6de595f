"""The training loop, for any `Layer`.

In short, one step of training is::

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

from .callbacks import Callback, as_callbacks, running
from .clipping import clip_grad_norm
from .data.loader import DataLoader
from .evaluation import Tally, evaluate, mode
from .history import History
from .layers import Chain, Layer, LogSoftmax, Sigmoid, Softmax
from .layers.parameter import refuse_masked
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, KLDivLoss, Loss, NLLLoss
from .optim import Optimizer
from .progress import TrainingProgress
from .regularization import Penalty
from .schedulers import ReduceLROnPlateau
from .sharing import reserved

__all__ = ["check_data", "fit", "without_input_gradient"]


class Movers(NamedTuple):
    """What moves the weights once a batch's loss is known; each but the optimizer may be None."""

    optimizer: Optimizer
    scheduler: Any = None
    penalty: Penalty | None = None
    clip_norm: float | None = None


class Watchers(NamedTuple):
    """Who is told how it goes."""

    history: History
    progress: TrainingProgress
    callbacks: list[Callback]


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
    callbacks: Iterable[Callback | Callable[[int, dict[str, Any]], Any]] = (),
    verbose: bool = True,
    scheduler: Any = None,
    penalty: Penalty | None = None,
    clip_norm: float | None = None,
) -> History:
    """Train `model`; `numcnn.Sequential.fit` describes the arguments."""
    beside = as_callbacks(callbacks)
    check_loss_fits(model, loss)
    plateau = scheduler if isinstance(scheduler, ReduceLROnPlateau) else None
    movers = Movers(optimizer, None if plateau else scheduler, penalty, clip_norm)
    watchers = Watchers(History(), TrainingProgress(epochs, len(loader), verbose), beside)
    history, progress = watchers.history, watchers.progress
    ours = (*model.layers(), *model.parameters(), loss, optimizer, scheduler, penalty, *beside)
    with (
        reserved(ours),
        mode(model, True),
        without_input_gradient(model),
        progress,
        running(beside, model),
    ):
        loss.to(model.device.name)
        for epoch in range(epochs):
            progress.start_epoch(epoch)
            figures = _epoch(model, loader, loss, movers, watchers, epoch)
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
    movers: Movers,
    watchers: Watchers,
    epoch: int,
) -> dict[str, Any]:
    """Run one epoch and return its figures."""
    started = time.perf_counter()
    seen = 0
    penalties = 0.0
    tally = Tally(model, loss)
    losses = watchers.history.batch_losses
    figures: dict[str, Any] = {}
    for batch, (xb, yb) in enumerate(loader, start=1):
        value = tally.add(xb, yb)
        if not math.isfinite(value) and all(map(math.isfinite, losses)):
            advice = "a smaller learning rate, or data without NaN and infinity, would help"
            if loss.divisor == 0:
                advice = "no label of this batch counts: all are ignored or of weight 0"
            warnings.warn(
                f"the loss of epoch {epoch + 1}, batch {batch} is {value}; {advice}", stacklevel=4
            )
        model.backward(loss.backward())
        lr = movers.optimizer.lr  # of this step; the scheduler sets that of the next
        penalties += _move(model, movers) * len(xb)
        losses.append(value)
        seen += len(xb)
        seconds = time.perf_counter() - started
        figures = {"epoch": epoch + 1, "loss": tally.loss}
        if movers.penalty is not None:
            figures["penalty"] = penalties / seen
        if tally.accuracy is not None:
            figures["accuracy"] = tally.accuracy
        figures |= {"lr": lr, "seconds": seconds, "images_per_s": seen / seconds}
        watchers.progress.update(epoch, batch, figures)
        for callback in watchers.callbacks:
            callback.on_batch_end(batch - 1, figures)
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
