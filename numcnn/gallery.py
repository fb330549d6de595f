"""Eight ways in which training goes wrong, and a run in which it doesn't, to look at.

Each is a real training of a small network on the bundled digits, a second or less, that does one
thing wrong. ``plot()`` draws them side by side; `numcnn.diagnose` recognises them by their curves.

>>> from numcnn import diagnose, gallery
>>> diagnose(gallery.run("overfitting", seed=0)).name
'overfitting'
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numba
import numpy as np

from . import data
from .curves import record_dead
from .diagnose import diagnose
from .figures import new_figure
from .history import History
from .layers import Dropout, Layer, Linear, ReLU
from .model import Sequential
from .optim import SGD, Adam, Optimizer
from .runs import choose

__all__ = ["NAMES", "plot", "run"]

EXAMPLES = 1600
VALIDATION = 500
PIXELS = 14 * 14
CLASSES = 10
HIDDEN = 32

Arrays = tuple[np.ndarray, np.ndarray]


@functools.cache
def _digits() -> Arrays:
    """Return all training digits at half their height and width, normalised."""
    (x, y), _ = data.digits()
    small = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, PIXELS)
    return ((small - small.mean()) / small.std()).astype(np.float32), y


def _draw(seed: int, examples: int = EXAMPLES) -> tuple[Arrays, Arrays]:
    """Return examples to train on and others to validate with, drawn by the seed."""
    x, y = _digits()
    order = np.random.default_rng(seed).permutation(len(x))
    chosen, others = order[:examples], order[examples : examples + VALIDATION]
    return (x[chosen], y[chosen]), (x[others], y[others])


def _network(seed: int, *extra: Layer, hidden: int = HIDDEN) -> Sequential:
    layers = (Linear(PIXELS, hidden), ReLU(), *extra, Linear(hidden, CLASSES))
    return Sequential(*layers, seed=seed)


def _train(
    network: Sequential,
    examples: tuple[Arrays, Arrays],
    optimizer: Callable[[Any], Optimizer],
    epochs: int = 10,
    **options: Any,
) -> History:
    (x, y), validation = examples
    watched = any(isinstance(layer, ReLU) for layer in network)
    options = {"batch_size": 32, "verbose": False} | options
    return network.fit(
        x,
        y,
        epochs=epochs,
        optimizer=optimizer,
        validation_data=validation,
        callbacks=[record_dead(network, validation[0])] if watched else [],
        **options,
    )


# ---- the runs -----------------------------------------------------------------------------------

Train = Callable[[int], History]
RUNS: dict[str, Train] = {}
CAPTIONS: dict[str, str] = {}


def _shows(name: str, caption: str) -> Callable[[Train], Train]:
    """Enter a run in the gallery: what it shows, and in a few words what the curves look like."""

    def enter(train: Train) -> Train:
        RUNS[name], CAPTIONS[name] = train, caption
        return train

    return enter


@_shows("healthy", "falls fast, then levels off; validation stays close")
def _healthy(seed: int) -> History:
    """Train as one should.

    Seen: both losses fall fast, then level off. Training ends a little below validation, since
    the network knows these examples.
    """
    return _train(_network(seed), _draw(seed), lambda p: Adam(p, lr=2e-3))


@_shows("learning rate too high", "jumps up and down and does not settle")
def _too_high(seed: int) -> History:
    """Take steps that are too long.

    Seen: the loss jumps, and validation jumps more. Why: a step longer than the valley is wide
    lands on the other side, often higher. Remedy: a learning rate 3 to 10 times lower.
    """
    return _train(_network(seed), _draw(seed), lambda p: SGD(p, lr=0.2, momentum=0.9))


@_shows("learning rate too low", "nearly a straight line, and still high")
def _too_low(seed: int) -> History:
    """Take steps that are too short.

    Seen: a straight line, barely falling. Why: every step goes downhill, and all of them together
    don't go far. Remedy: a learning rate 3 to 10 times higher.
    """
    return _train(_network(seed), _draw(seed), lambda p: SGD(p, lr=1e-3))


@_shows("overfitting", "training goes to 0, validation turns up again")
def _overfitting(seed: int) -> History:
    """Learn 64 examples with 13,000 weights.

    Seen: training falls to 0 while validation turns at some epoch and rises. Why: the examples are
    learned by heart, what they have in common is not. Remedy: more examples, a smaller network,
    dropout, weight decay, or to stop where validation is lowest.
    """
    network = _network(seed, hidden=2 * HIDDEN)
    examples = _draw(seed, 64)
    return _train(network, examples, lambda p: Adam(p, lr=5e-3), epochs=60, batch_size=16)


@_shows("underfitting", "levels off high, training and validation alike")
def _underfitting(seed: int) -> History:
    """Hold the weights down.

    Seen: both losses level off together, high. Why: weight decay this strong keeps all scores
    close to each other; a network that is too small looks the same. Remedy: less of it, or a larger
    network.
    """
    return _train(_network(seed), _draw(seed), lambda p: SGD(p, lr=0.05, weight_decay=0.3))


@_shows("exploding", "grows by powers of ten until it is no number")
def _exploding(seed: int) -> History:
    """Let each step make the error larger.

    Seen: on a logarithmic scale a rising line that ends in inf and NaN. Why: in linear regression
    the loss is a bowl, and a step multiplies the error along the direction of curvature h by
    1 - lr·h; beyond lr = 2/h that is above 1 in size. Remedy: a lower learning rate.
    """
    (x, y), (x_val, y_val) = _draw(seed)
    one_hot = np.eye(CLASSES, dtype=np.float32)
    examples = (x, one_hot[y]), (x_val, one_hot[y_val])
    network = Sequential(Linear(PIXELS, CLASSES), seed=seed)
    return _train(network, examples, lambda p: SGD(p, lr=0.15), loss="mse")


@_shows("dead ReLU", "stuck where it began")
def _dead(seed: int) -> History:
    """Begin with biases that keep most hidden units at 0 for every digit.

    Seen: the loss stays where it began, unless a few units live on. Why: a ReLU that gives 0 passes
    no gradient back, so it stays as it is. In practice one step that is far too
    long puts the biases there. Remedy: a lower rate in the first steps, biases of 0, LeakyReLU.
    """
    network = _network(seed)
    bias = dict(network.named_parameters())["0.bias"]
    bias.data = np.full(bias.shape, -2.5, bias.dtype)
    return _train(network, _draw(seed), lambda p: SGD(p, lr=0.05))


@_shows("unshuffled data", "a comb with the same teeth in each epoch")
def _unshuffled(seed: int) -> History:
    """Show all zeros first, then all ones, and so on.

    Seen: batch losses like a comb, the same in each epoch, and validation far above. Why: after
    some batches of zeros the network says zero to everything, and the first ones cost much.
    Remedy: shuffle.
    """
    (x, y), validation = _draw(seed)
    order = np.argsort(y, kind="stable")
    examples = (x[order], y[order]), validation
    network = _network(seed)
    return _train(network, examples, lambda p: SGD(p, lr=0.05), epochs=6, shuffle=False)


class _SwappedDropout(Dropout):
    """Dropout as if train() and eval() were mixed up: it rests in training and drops after."""

    def _forward(self, x: Any) -> Any:
        self.training = not self.training
        try:
            return super()._forward(x)
        finally:
            self.training = not self.training


@_shows("train/eval confusion", "validation far above from the first epoch on")
def _confusion(seed: int) -> History:
    """Evaluate with dropout on, and train with it off.

    Seen: validation is far worse at once, where overfitting takes its time. Why: the network that
    is validated has lost half of its units. Remedy: eval() before evaluation and train() after it,
    which `fit` and `evaluate` do.
    """
    network = _network(seed, _SwappedDropout(0.5))
    return _train(network, _draw(seed), lambda p: Adam(p, lr=5e-3))


NAMES = tuple(RUNS)


def run(name: str, seed: int = 0) -> History:
    """Train the network that shows one of `NAMES`.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    seed : int
        Decides the digits drawn, their order and the initial weights.

    Returns
    -------
    History
        With validation figures and, where the network has ReLUs, ``dead`` (`record_dead`).

    Raises
    ------
    ValueError
        If there is no such run; the text lists them.
    """
    train = RUNS[choose("run in the gallery", name, NAMES)]
    with _one_thread(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the loss of epoch")  # that one explodes on purpose
        return train(seed)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run kernels in one thread: these networks are so small that waking others costs more."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


# ---- the picture --------------------------------------------------------------------------------


def plot(
    seed: int = 0,
    path: str | os.PathLike | None = None,
    histories: Mapping[str, History] | None = None,
) -> Any:
    """Draw all of the gallery in one picture, with the verdict of `diagnose` under each.

    Parameters
    ----------
    seed : int
    path : path, optional
        Save the picture there (PNG, PDF or SVG, by the ending).
    histories : mapping of str to History, optional
        Draw these, by name, instead of training.

    Returns
    -------
    matplotlib.figure.Figure
        Shows itself in a notebook.

    Raises
    ------
    ImportError
        Without matplotlib; ``pip install numcnn[plot]`` brings it.
    """
    figure = new_figure(13, 11)
    figure.set_layout_engine("constrained", h_pad=0.12)
    if histories is None:
        histories = {name: run(name, seed) for name in NAMES}
    for axes, name in zip(figure.subplots(3, 3).flat, NAMES, strict=True):
        _draw_panel(axes, name, histories[name])
    for axes in figure.axes[::3]:
        axes.set_ylabel("loss")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure


def _draw_panel(axes: Any, name: str, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    steps = np.array([epoch["epoch"] for epoch in history.epochs])
    batches = np.array(history.batch_losses)
    at = np.arange(1, len(batches) + 1) * len(steps) / len(batches)
    axes.plot(at, batches, color="0.75", lw=0.8, label="loss of each batch")
    size = 3.5 if len(steps) <= 20 else 2
    # the mean over an epoch belongs to its middle; validation comes at its end
    axes.plot(steps - 0.5, history["loss"], "o-", ms=size, label="training loss, mean of an epoch")
    axes.plot(steps, history["val_loss"], "s--", ms=size, label="validation loss")
    if np.isfinite(batches).all():
        axes.set_ylim(0, 1.08 * batches.max())
    else:
        axes.set_yscale("log")
        lost = at[np.argmin(np.isfinite(batches))]
        axes.axvspan(lost, steps[-1], color="tab:red", alpha=0.12, lw=0)
        _write(axes, (lost + steps[-1]) / 2 / steps[-1], 0.5, "inf, then NaN")
    verdict = diagnose(history).name
    if verdict == "dead ReLU":
        _write(axes, 0.5, 0.5, f"{history['dead'][-1]:.0%} of the ReLUs are 0 for every digit")
    axes.set_xlim(0, steps[-1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    axes.set_title(name, fontsize=13, fontweight="bold", pad=22)
    _write(axes, 0.5, 1.04, CAPTIONS[name])
    color = "tab:green" if verdict == name else "tab:red"
    _write(axes, 0.5, -0.26, f"diagnose: {verdict}", color=color, fontweight="bold")


def _write(axes: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Write into a panel, at shares of its width and height."""
    axes.text(x, y, text, ha="center", transform=axes.transAxes, **style)
