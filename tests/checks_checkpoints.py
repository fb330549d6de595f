"""What the tests of checkpoints share: a training, and an end in its middle."""

import numpy as np
import pytest

from numcnn import (
    SGD,
    BatchNorm1d,
    Callback,
    DataLoader,
    Dropout,
    EarlyStopping,
    Flatten,
    GaussianNoise,
    Linear,
    ReLU,
    Sequential,
)
from numcnn.data import random_shift

STEPS = 4  # in an epoch
TIMINGS = ("seconds", "images_per_s")


class Cut(Exception):
    """Stands for whatever ends a process."""


class CutAfter(Callback):
    def __init__(self, steps):
        self.left = steps

    def on_batch_end(self, batch, figures):
        self.left -= 1
        if self.left < 0:
            raise Cut


def network(seed=1):
    return Sequential(
        Flatten(),
        Linear(12, 8),
        BatchNorm1d(8),
        ReLU(),
        Dropout(0.3),
        GaussianNoise(0.1),
        Linear(8, 3),
        seed=seed,
    )


def scrambled():
    """Return such a network with other weights and other randomness to come."""
    model = network()
    model.reseed(2)
    return model


def data(count=30, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 1, 3, 4)).astype(np.float32), rng.integers(0, 3, count)


def batches(seed=None, **options):
    return DataLoader(*data(), 8, shuffle=True, seed=seed, transform=random_shift(1), **options)


def fit(model, **options):
    usual = {"epochs": 3, "verbose": False, "optimizer": lambda p: SGD(p, 0.1, momentum=0.9)}
    return model.fit(batches(), **usual | options)


def cut(model, folder, steps, **options):
    """Train until so many steps are done, and written unless `every` says otherwise."""
    callbacks = [*options.pop("callbacks", ()), CutAfter(steps)]
    with pytest.raises(Cut):
        fit(model, checkpoint=folder, callbacks=callbacks, **{"every": 1} | options)


def figures(history):
    """Return all that a history says but how long it took."""
    rows = [{k: v for k, v in row.items() if k not in TIMINGS} for row in history.epochs]
    return rows, history.batch_losses


def newest(folder, kind="json"):
    return max(folder.glob(f"step-*.{kind}"))


def stopping():
    return EarlyStopping("val_loss", patience=3, restore_best_weights=True, mode="max")
