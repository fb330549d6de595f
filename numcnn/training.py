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
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .callbacks import Callback, as_callbacks, running
from .data.loader import DataLoader
from .evaluation import Tally, evaluate, mode, sent_ahead
from .history import History
from .layers import Chain, Layer, LogSoftmax, Sigmoid, Softmax
from .layers.parameter import refuse_masked
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, KLDivLoss, Loss, NLLLoss
from .optim import Optimizer
from .progress import TrainingProgress
from .regularization import Penalty
from .resume import Keeper
from .schedulers import ReduceLROnPlateau
from .sharing import reserved
from .training_settings import settings
from .training_state import EpochSoFar, Movers, Training, Watchers
from .training_step import Steps

__all__ = ["check_data", "fit"]


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
    keeper: Keeper | None = None,
) -> History:
    """Train `model`; `numcnn.Sequential.fit` describes the arguments."""
    beside = as_callbacks(callbacks)
    check_loss_fits(model, loss)
    ours = (*model.layers(), *model.parameters(), loss, optimizer, scheduler, penalty, *beside)
    with reserved(ours):
        loss.to(model.device.name)
        movers = Movers(optimizer, scheduler, penalty, clip_norm)
        watchers = Watchers(History(), TrainingProgress(epochs, len(loader), verbose), beside)
        training = Training(model, loader, loss, movers, watchers, EpochSoFar(Tally(model, loss)))
        states: list[dict[str, Any] | None] = []
        if keeper is not None:
            who = model, loader, loss, optimizer, scheduler, penalty, clip_norm, validation_data
            states = keeper.begin(training, settings(*who))
        quiet = mode(model, True), model.without_input_gradient()
        taking = contextlib.closing(Steps(model, loss, movers))
        with quiet[0], quiet[1], watchers.progress, running(beside, model, states), taking as steps:
            _run(training, steps, epochs, validation_data, keeper)
    return watchers.history


def _run(
    training: Training,
    steps: Steps,
    epochs: int,
    validation_data: tuple[Any, Any] | None,
    keeper: Keeper | None,
) -> None:
    """Run all epochs, or those that are left."""
    if keeper is not None:
        keeper.before_first(training)
    while training.epoch < epochs and not training.stopped:
        training.watchers.progress.start_epoch(training.epoch)
        figures = _epoch(training, steps, keeper)
        training.watchers.history.eager_because = steps.eager_because
        if validation_data is not None:
            result = evaluate(training.model, *validation_data, loss=training.loss)
            figures["val_loss"] = result.loss
            if result.accuracy is not None:
                figures["val_accuracy"] = result.accuracy
        _end_epoch(training, figures)
        if keeper is not None:
            keeper.after_epoch(training, training.stopped or training.epoch == epochs)


def _end_epoch(training: Training, figures: dict[str, Any]) -> None:
    """Tell everybody what the epoch gave."""
    history, progress, callbacks = training.watchers
    epoch, plateau = training.epoch, training.movers.plateau
    if plateau is not None:
        plateau.step(_figure_for(plateau, figures))
    history.epochs.append(figures)
    progress.end_epoch(epoch, figures)
    training.stopped = any([each.on_epoch_end(epoch, figures) is True for each in callbacks])
    training.epoch += 1
    training.begin_epoch()


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


def _epoch(training: Training, steps: Steps, keeper: Keeper | None) -> dict[str, Any]:
    """Run an epoch, or the rest of one, and return its figures."""
    model, movers, sofar = training.model, training.movers, training.sofar
    losses = training.watchers.history.batch_losses
    figures: dict[str, Any] = {}
    sofar.started = time.perf_counter()
    for xb, yb in sent_ahead(model, training.loader.rest_of_epoch(training.batch)):
        training.batch += 1
        lr = movers.optimizer.lr  # of this step; the scheduler sets that of the next
        steps.take(sofar.tally, xb, yb)
        value = sofar.tally.finish()  # on the GPU the whole step is on its way by now
        sofar.penalties += steps.penalty() * len(xb)
        if not math.isfinite(value) and all(map(math.isfinite, losses)):
            _warn_of(value, training)
        losses.append(value)
        sofar.seen += len(xb)
        figures = {"epoch": training.epoch + 1, "loss": sofar.tally.loss}
        if movers.penalty is not None:
            figures["penalty"] = sofar.penalties / sofar.seen
        if sofar.tally.accuracy is not None:
            figures["accuracy"] = sofar.tally.accuracy
        seconds = sofar.elapsed
        figures |= {"lr": lr, "seconds": seconds, "images_per_s": sofar.seen / seconds}
        training.watchers.progress.update(training.epoch, training.batch, figures)
        for callback in training.watchers.callbacks:
            callback.on_batch_end(training.batch - 1, figures)
        if keeper is not None:
            keeper.after_batch(training)
    return figures


def _warn_of(value: float, training: Training) -> None:
    """Say that a loss is no finite number; once, since none after it will be."""
    advice = "a smaller learning rate, or data without NaN and infinity, would help"
    if training.loss.divisor == 0:
        advice = "no label of this batch counts: all are ignored or of weight 0"
    warnings.warn(
        f"the loss of epoch {training.epoch + 1}, batch {training.batch} is {value}; {advice}",
        stacklevel=5,
    )
