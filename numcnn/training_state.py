"""A training in progress: all that moves, and how it becomes a checkpoint and comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .callbacks import Callback
from .data.loader import DataLoader
from .evaluation import Tally
from .history import History
from .layers import Layer
from .layers.dropout import RandomLayer
from .losses import Loss
from .optim import Optimizer
from .progress import TrainingProgress
from .regularization import Penalty
from .schedulers import ReduceLROnPlateau

__all__ = ["EpochSoFar", "Movers", "Training", "Watchers", "restore", "state_of"]

MODEL, OPTIMIZER, LOSSES = "model.", "optimizer.", "history.batch_losses"
PARTS = (
    "position",
    "order",
    "random",
    "optimizer",
    "optimizer_settings",
    "scheduler",
    "callbacks",
    "history",
    "epoch_so_far",
)
TALLIED = ("total", "weight", "hits", "count", "labelled")


class Movers(NamedTuple):
    """What moves the weights once a batch's loss is known; each but the optimizer may be None."""

    optimizer: Optimizer
    scheduler: Any = None
    penalty: Penalty | None = None
    clip_norm: float | None = None

    @property
    def plateau(self) -> ReduceLROnPlateau | None:
        """The scheduler, if it is one that is asked after each epoch."""
        return self.scheduler if isinstance(self.scheduler, ReduceLROnPlateau) else None


class Watchers(NamedTuple):
    """Who is told how it goes."""

    history: History
    progress: TrainingProgress
    callbacks: list[Callback]


@dataclass
class EpochSoFar:
    """What an epoch's figures are made of."""

    tally: Tally
    penalties: float = 0.0
    seen: int = 0
    seconds: float = 0.0  # of processes before this one
    started: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds spent on the epoch, those of earlier processes included."""
        return self.seconds + time.perf_counter() - self.started


@dataclass
class Training:
    """A training and where it stands: `batch` batches of epoch number `epoch`, from 0, are done."""

    model: Layer
    loader: DataLoader
    loss: Loss
    movers: Movers
    watchers: Watchers
    sofar: EpochSoFar
    epoch: int = 0
    batch: int = 0
    stopped: bool = False

    @property
    def step(self) -> int:
        """Steps of the optimizer so far."""
        return len(self.watchers.history.batch_losses)

    def begin_epoch(self) -> None:
        """Forget what belonged to the last epoch."""
        self.batch = 0
        self.sofar = EpochSoFar(Tally(self.model, self.loss))


def state_of(training: Training) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return (arrays, everything else): all that `restore` needs."""
    optimizer, scheduler = training.movers.optimizer, training.movers.scheduler
    moments = optimizer.state_dict()
    arrays = {MODEL + name: array for name, array in training.model.state_dict().items()}
    arrays |= {OPTIMIZER + k: v for k, v in moments.items() if isinstance(v, np.ndarray)}
    callbacks = []
    for number, callback in enumerate(training.watchers.callbacks):
        state = callback.state_dict()
        held = {name: v for name, v in state.items() if isinstance(v, np.ndarray)}
        arrays |= {f"callback.{number}.{name}": array for name, array in held.items()}
        rest = {name: value for name, value in state.items() if name not in held}
        callbacks.append({"class": type(callback).__name__, "state": rest, "arrays": list(held)})
    arrays[LOSSES] = np.array(training.watchers.history.batch_losses, np.float64)
    sofar, loader = training.sofar, training.loader
    so_far = {name: getattr(sofar.tally, name) for name in TALLIED}
    so_far |= {"penalties": sofar.penalties, "seen": sofar.seen}
    so_far["seconds"] = sofar.elapsed if training.batch else 0.0
    return arrays, {
        "position": {
            "epoch": training.epoch,
            "batch": training.batch,
            "stopped": training.stopped,
        },
        # an epoch that has begun counts as the next one, since it is to be gone on with
        "order": {"seed": loader.seed, "epoch": loader.epoch - (training.batch > 0)},
        "random": {name: layer.random_state() for name, layer in _random_layers(training.model)},
        "optimizer": {k: v for k, v in moments.items() if not isinstance(v, np.ndarray)},
        "optimizer_settings": optimizer.settings(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "callbacks": callbacks,
        "history": training.watchers.history.epochs,
        "epoch_so_far": so_far,
    }


def restore(
    training: Training, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]
) -> list[dict[str, Any] | None]:
    """Put a training where `state_of` was asked for: all of it, or nothing and an error.

    Returns
    -------
    list of (dict or None)
        What each callback is to go on with; None where it begins.

    Raises
    ------
    ValueError
        If something is missing, unexpected or of another shape; the text lists it all.
    """
    for part in PARTS:
        if part not in content:
            raise ValueError(f"it is no training's checkpoint: it has no {part!r}")
    model, movers = training.model, training.movers
    weights = _beginning(MODEL, arrays)
    moments = _beginning(OPTIMIZER, arrays) | content["optimizer"]
    problems = [] if LOSSES in arrays else [f"missing: {LOSSES}"]
    problems += [f"weights, {problem}" for problem in model.misfits(weights)]
    problems += [f"optimizer, {problem}" for problem in movers.optimizer.misfits(moments)]
    random = dict(_random_layers(model))
    for name in sorted(random.keys() ^ content["random"].keys()):
        problems.append(f"random.{name}: {'missing' if name in random else 'unexpected'}")
    states, nobodys = _callback_states(training.watchers.callbacks, arrays, content["callbacks"])
    problems += nobodys
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"the checkpoint doesn't fit, nothing was loaded:\n  {listed}")
    model.load_state_dict(weights)
    movers.optimizer.load_state_dict(moments)
    for name, value in content["optimizer_settings"].items():
        setattr(movers.optimizer, name, tuple(value) if isinstance(value, list) else value)
    if movers.scheduler is not None:
        movers.scheduler.load_state_dict(content["scheduler"])
    for name, layer in random.items():
        layer.set_random_state(content["random"][name])
    _restore_place(training, arrays, content)
    return states


def _restore_place(
    training: Training, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]
) -> None:
    """Put epoch, batch, order of the data and figures where they were."""
    training.epoch = content["position"]["epoch"]
    training.batch = content["position"]["batch"]
    training.stopped = content["position"]["stopped"]
    training.loader.seed = content["order"]["seed"]
    training.loader.epoch = content["order"]["epoch"]
    history, sofar = training.watchers.history, training.sofar
    history.epochs[:] = content["history"]
    history.batch_losses[:] = arrays[LOSSES].tolist()
    told = content["epoch_so_far"]
    for name in TALLIED:
        setattr(sofar.tally, name, told[name])
    sofar.penalties, sofar.seen, sofar.seconds = (
        told["penalties"],
        told["seen"],
        told["seconds"],
    )


def _random_layers(model: Layer) -> list[tuple[str, RandomLayer]]:
    """Return the layers that draw, with their places; names alone need not differ."""
    return [
        (f"{place}.{type(layer).__name__}", layer)
        for place, layer in enumerate(model.layers())
        if isinstance(layer, RandomLayer)
    ]


def _beginning(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _callback_states(
    callbacks: list[Callback], arrays: Mapping[str, np.ndarray], saved: list[dict[str, Any]]
) -> tuple[list[dict[str, Any] | None], list[str]]:
    """Return a state for each callback, in the order of their classes, and who is missing."""
    states: list[dict[str, Any] | None] = [None] * len(callbacks)
    problems = []
    for number, each in enumerate(saved):
        held = {name: arrays[f"callback.{number}.{name}"] for name in each["arrays"]}
        state = each["state"] | held
        for place, callback in enumerate(callbacks):
            if states[place] is None and type(callback).__name__ == each["class"]:
                states[place] = state
                break
        else:
            if state:
                problems.append(f"callbacks: a {each['class']} went along, and there is none now")
    return states, problems
