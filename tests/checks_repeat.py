"""A training that uses every kind of randomness, run by tests in processes of its own.

``python checks_repeat.py EPOCHS [FOLDER EVERY]`` says each step of the optimizer as it is done, and
at the end, as JSON, what the training came to. With a folder it writes checkpoints there, and goes
on from those that it finds. ``python checks_repeat.py lenet`` trains LeNet instead.
"""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numba
import numpy as np
from numba.core import config

from numcnn import (
    L2,
    SGD,
    AlphaDropout,
    AvgPool2d,
    BatchNorm2d,
    Callback,
    Conv2d,
    CSVLogger,
    DataLoader,
    Dropout2d,
    EarlyStopping,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    OneCycleLR,
    ReLU,
    Sequential,
    weights_hash,
)
from numcnn.data import compose, random_affine, random_horizontal_flip, random_shift
from numcnn.kernels.cpu import _jit
from numcnn.models import lenet

BATCHES = 10  # in an epoch


def data(count=BATCHES * 16 - 5, seed=1):
    """Return noisy pictures of three kinds, and their kinds."""
    rng = np.random.Generator(np.random.Philox(seed))
    y = rng.integers(0, 3, count)
    x = rng.standard_normal((count, 1, 12, 12)).astype(np.float32)
    x[np.arange(count), :, :, y * 4] += 1
    return x, y


def network(seed=1):
    return Sequential(
        Conv2d(1, 8, 3, padding=1),
        BatchNorm2d(8),
        ReLU(),
        MaxPool2d(2),
        GaussianNoise(0.1),
        Conv2d(8, 8, 3, groups=2),
        GroupNorm(2, 8),
        LeakyReLU(),
        Dropout2d(0.1),
        AvgPool2d(2),
        Flatten(),
        GaussianDropout(0.1),
        Linear(32, 16),
        AlphaDropout(0.1),
        Linear(16, 3),
        seed=seed,
    )


class Say(Callback):
    """Tell who started this process how far it is."""

    def __init__(self):
        self.step = 0

    def state_dict(self):
        return {"step": self.step}

    def load_state_dict(self, state):
        self.step = state["step"]

    def on_batch_end(self, batch, figures):
        self.step += 1
        print("step", self.step, flush=True)


def train(epochs, folder=None, every=None):
    """Return what a training came to, timings left out."""
    x, y = data()
    change = compose(random_affine(10), random_shift(1), random_horizontal_flip())
    loader = DataLoader(x, y, batch_size=16, shuffle=True, transform=change)
    model = network()
    early = EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    watchers = [Say(), early]
    if folder is not None:
        watchers.append(CSVLogger(folder / "log.csv"))
    history = model.fit(
        loader,
        epochs=epochs,
        validation_data=data(40, seed=2),
        optimizer=lambda parameters: SGD(parameters, 0.1, momentum=0.9),
        scheduler=lambda optimizer, steps: OneCycleLR(optimizer, 0.1, steps),
        penalty=L2(1e-4),
        clip_norm=1.0,
        callbacks=watchers,
        verbose=False,
        checkpoint=folder and folder / "checkpoints",
        every=every,
        resume=folder is not None,
    )
    timings = ("seconds", "images_per_s")
    epochs = [{k: str(v) for k, v in row.items() if k not in timings} for row in history.epochs]
    if folder is not None:
        with (folder / "log.csv").open(newline="") as file:
            logged = [
                {k: v for k, v in r.items() if k not in timings} for r in csv.DictReader(file)
            ]
        assert logged == epochs, "the log has other rows than the history"
    return {
        "weights": weights_hash(model),
        "losses": hashlib.sha256(np.array(history.batch_losses).tobytes()).hexdigest(),
        "epochs": hashlib.sha256(json.dumps(epochs).encode()).hexdigest(),
        "steps": len(history.batch_losses),
        "best_epoch": early.best_epoch,
    }


def train_lenet(steps=100):
    """Return what LeNet comes to on noise, in batches of the usual size."""
    rng = np.random.Generator(np.random.Philox(3))
    x = rng.standard_normal((steps * 32, 1, 28, 28)).astype(np.float32)
    model = lenet(seed=1)
    labels = rng.integers(0, 10, len(x))
    history = model.fit(x, labels, batch_size=32, verbose=False)
    return {"weights": weights_hash(model), "steps": len(history.batch_losses)}


if __name__ == "__main__":
    given = sys.argv[1:]
    if given != ["lenet"]:
        _jit.SMALL = 0  # run what is compiled for all cores, though the arrays are small
    folder, every = (Path(given[1]), int(given[2])) if len(given) > 1 else (None, None)
    result = train_lenet() if given == ["lenet"] else train(int(given[0]), folder, every)
    ran = {"layer": None, "threads": 1}
    if not config.DISABLE_JIT:
        ran = {"layer": numba.threading_layer(), "threads": numba.get_num_threads()}
    print(json.dumps(result | {"ran": ran}), flush=True)
