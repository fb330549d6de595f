"""How ``numcnn train`` trains: optimizer, learning rate over time, pictures moved about."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import data
from .layers import Conv2d
from .model import OPTIMIZERS, Sequential
from .optim import Optimizer
from .runs import DataSet, choose
from .schedulers import OneCycleLR

__all__ = [
    "check_augment",
    "default_shift",
    "optimizer_maker",
    "schedule_maker",
    "transform_maker",
]

LEARNING_RATE = {
    "adam": 3e-3,
    "adamw": 3e-3,
    "sgd": 5e-2,
    "rmsprop": 1e-3,
    "adagrad": 1e-2,
    "adadelta": 1.0,
}
MOMENTUM = 0.9


def optimizer_maker(
    name: str, lr: float | None = None, momentum: float | None = None
) -> tuple[Callable[[Any], Optimizer], str]:
    """Return what makes an optimizer from parameters, and its settings in words.

    Parameters
    ----------
    name : {"adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"}
    lr, momentum : float, optional
        By default as `LEARNING_RATE` and `MOMENTUM` say; only sgd has a momentum.

    Raises
    ------
    ValueError
        If there is no such optimizer, or it can't have these settings.
    """
    usual = LEARNING_RATE[choose("optimizer", name, LEARNING_RATE)]
    lr = usual if lr is None else lr
    if not 0 < lr < math.inf:
        raise ValueError(f"the learning rate must be above 0 and finite, got {lr}")
    if name != "sgd":
        if momentum is not None:
            raise ValueError(f"--momentum belongs to --optimizer sgd, not to {name}")
        return functools.partial(OPTIMIZERS[name], lr=lr), f"{name} (lr {lr:g})"
    momentum = MOMENTUM if momentum is None else momentum
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}")
    words = f"sgd (lr {lr:g}, momentum {momentum:g})"
    return functools.partial(OPTIMIZERS[name], lr=lr, momentum=momentum), words


def schedule_maker(name: str) -> Callable[[Optimizer, int], Any] | None:
    """Return what makes a learning-rate schedule for so many steps; None for a constant rate.

    Raises
    ------
    ValueError
        If `name` is neither "one-cycle" nor "constant".
    """
    if choose("schedule", name, ("one-cycle", "constant")) == "constant":
        return None
    return lambda optimizer, steps: OneCycleLR(
        optimizer,
        optimizer.lr,
        steps,
        pct_start=0.2,
        anneal_strategy="linear",
        cycle_momentum=False,
    )


def default_shift(network: Sequential, augment: bool = False) -> int:
    """Return by how many pixels training pictures are moved: 2 if the network has convolutions.

    A network without them treats each pixel on its own and needs far longer to learn that a
    digit may stand elsewhere. Where pictures are to be augmented, it is the 4 pixels that are
    usual for CIFAR-10 (He et al., "Deep residual learning for image recognition", 2016).
    """
    if augment:
        return 4
    return 2 if any(isinstance(layer, Conv2d) for layer in network.layers()) else 0


def check_augment(examples: DataSet) -> None:
    """Refuse to mirror what is another thing then.

    Raises
    ------
    ValueError
        For digits.
    """
    if examples.noun == "digits":
        raise ValueError(
            f"--augment mirrors pictures, and a mirrored digit is none; it is for cifar10 and "
            f"fashion-mnist, and {examples.name} has --shift"
        )


def transform_maker(
    examples: DataSet, shift: int, mirror: bool = False
) -> Callable[..., np.ndarray]:
    """Return the transform of a training batch: move each picture, then normalise.

    Parameters
    ----------
    examples : DataSet
        Gives mean and standard deviation.
    shift : int
        Largest distance, in pixels, by which a picture is moved.
    mirror : bool
        Mirror every other picture, chosen at random, too.
    """
    change = [data.random_shift(shift)]
    if mirror:
        change.append(data.random_horizontal_flip())
    return data.compose(*change, data.normalize(examples.mean, examples.std))
