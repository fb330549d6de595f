"""Networks of the zoo on data sets by name, and the weights that such a training leaves.

A weights file records in its header what it belongs to, so that it can be evaluated and asked
for predictions without being told what it is.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from . import data
from .checkpoint import load_weights
from .history import History
from .model import Sequential
from .models import ZOO

__all__ = [
    "DATA",
    "DataSet",
    "Run",
    "build",
    "choose",
    "data_set",
    "make_folder",
    "newest_history",
    "newest_weights",
    "per_class",
    "restore",
    "save",
]

WEIGHTS = "weights.safetensors"
HISTORY = "history.json"
PLOT = "history.png"
FOLDER = Path("runs")


@dataclass(frozen=True)
class DataSet:
    """A data set that commands know by name.

    Attributes
    ----------
    name : str
    load : callable
        ``load(split="train")`` and ``load(split="test")`` give (x, y).
    shape : tuple of int
        Channels, height and width of an example.
    classes : tuple of str
    noun : str
        What the examples are, in the plural.
    mean, std : tuple of float
        Mean and standard deviation of each channel over the training set. Networks get
        ``(x - mean) / std``: numbers around 0 let them learn faster (LeCun et al., "Efficient
        BackProp", 1998).
    """

    name: str
    load: Callable[..., Any]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    noun: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def size(self) -> str:
        """The shape in words, as in 1×28×28."""
        return "×".join(map(str, self.shape))


_DIGITS = tuple("0123456789")
DATA = {
    entry.name: entry
    for entry in (
        DataSet("digits", data.digits, (1, 28, 28), _DIGITS, "digits", (0.1307,), (0.3081,)),
        DataSet("mnist", data.mnist, (1, 28, 28), _DIGITS, "digits", (0.1307,), (0.3081,)),
        DataSet(
            "fashion-mnist",
            data.fashion_mnist,
            (1, 28, 28),
            data.FASHION_MNIST_CLASSES,
            "pictures of clothes",
            (0.2860,),
            (0.3530,),
        ),
        DataSet(
            "cifar10",
            data.cifar10,
            (3, 32, 32),
            data.CIFAR10_CLASSES,
            "colour pictures",
            (0.4914, 0.4822, 0.4465),
            (0.2470, 0.2435, 0.2616),
        ),
    )
}


def choose(what: str, name: str, table: Mapping[str, Any] | Iterable[str]) -> str:
    """Return `name` if `table` has it, else raise ValueError with what it could have meant."""
    names = list(table)
    if name in names:
        return name
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"there is no {what} {name!r}; {hint}choose one of {', '.join(names)}")


def data_set(name: str) -> DataSet:
    """Return the data set called `name`.

    Raises
    ------
    ValueError
        If there is none; the text lists them.
    """
    return DATA[choose("data set", name, DATA)]


def build(model: str, examples: DataSet, **options: Any) -> Sequential:
    """Return a network of the zoo, made for the examples of a data set.

    Parameters
    ----------
    model : str
        A name of `numcnn.models.ZOO`.
    examples : DataSet
    **options
        device, dtype, seed of `numcnn.Sequential`.

    Raises
    ------
    ValueError
        If there is no such network, or it takes pictures of another size; the text names those
        that fit.
    """
    network = _made_for(choose("model", model, ZOO), examples, **options)
    if network.input_shape is not None and network.input_shape[1:] != examples.shape:
        takes = "×".join(map(str, network.input_shape[1:]))
        fitting = [
            name for name in ZOO if _made_for(name, examples).input_shape == (1, *examples.shape)
        ]
        raise ValueError(
            f"{model} takes pictures of {takes} and {examples.name} has {examples.size} "
            f"(channels×height×width); models that fit are {', '.join(fitting)}"
        )
    return network


def _made_for(model: str, examples: DataSet, **options: Any) -> Sequential:
    maker = ZOO[model]
    if "input_shape" in inspect.signature(maker).parameters:
        options["input_shape"] = examples.shape
    return maker(len(examples.classes), **options)


# ---- weights on disk --------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A trained network and what its weights file says about it.

    Attributes
    ----------
    network : Sequential
    model : str
        Its name in the zoo.
    examples : DataSet
        What it was trained on.
    metadata : dict of str to str
        The file's header.
    """

    network: Sequential
    model: str
    examples: DataSet
    metadata: dict[str, str]

    def normalize(self, x: np.ndarray) -> np.ndarray:
        """Return pictures (N, C, H, W) as the network saw them in training."""
        if "mean" not in self.metadata or "std" not in self.metadata:
            return x
        mean, std = (json.loads(self.metadata[key]) for key in ("mean", "std"))
        return data.normalize(mean, std)(x)


def make_folder(folder: Path, plot: bool = False) -> Path:
    """Make the folder for the results of a training, and return it.

    What would prevent `save` is found now, not after the training.

    Raises
    ------
    OSError, ImportError
        If nothing can be written there, or a plot is wanted without matplotlib.
    """
    if plot and importlib.util.find_spec("matplotlib") is None:
        raise ImportError("--plot needs matplotlib: pip install 'numcnn[plot]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OSError(f"results can't be written to {folder}: {error.strerror}") from None


def save(
    folder: Path, run: Run, history: History, plot: bool = False
) -> Iterator[tuple[str, Path]]:
    """Write what a training leaves: weights with a header, history, and a plot if wanted.

    Parameters
    ----------
    folder : Path
        Where; it must exist.
    run : Run
        Its metadata become the header, with what says what the weights belong to.
    history : History
    plot : bool
        Draw the history; needs matplotlib.

    Yields
    ------
    (str, Path)
        What was written, and where.
    """
    header = run.metadata | {
        "model": run.model,
        "data": run.examples.name,
        "classes": json.dumps(run.examples.classes, ensure_ascii=False),
        "numcnn": version("numcnn"),
    }
    run.network.save(folder / WEIGHTS, header)
    yield "weights", folder / WEIGHTS
    history.save(folder / HISTORY)
    yield "history", folder / HISTORY
    if plot:
        history.plot(folder / PLOT)
        yield "plot", folder / PLOT


def newest_weights(folder: str | os.PathLike = FOLDER) -> Path:
    """Return the weights of the latest run in a folder of runs.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    return _newest(folder, WEIGHTS, "are no weights", "a weights file")


def newest_history(folder: str | os.PathLike = FOLDER) -> Path:
    """Return the history of the latest run in a folder of runs.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    return _newest(folder, HISTORY, "is no history", "a history file")


def _newest(folder: str | os.PathLike, name: str, lack: str, kind: str) -> Path:
    found = [path for path in Path(folder).glob(f"*/{name}") if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"there {lack} in {Path(folder)}/; run numcnn train first, or name {kind}"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def restore(
    path: str | os.PathLike,
    model: str | None = None,
    examples: str | None = None,
    device: str = "cpu",
) -> Run:
    """Return the network that a weights file belongs to, with its weights.

    Parameters
    ----------
    path : path
        What `numcnn train` wrote.
    model, examples : str, optional
        Name of the network and of its data set; by default as the file's header says.
    device : {"cpu", "cuda", "reference"}

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or damaged, doesn't say what it belongs to, or doesn't fit.
    """
    state, metadata = load_weights(path)
    for option, key, given in (("model", "model", model), ("data", "data", examples)):
        if given is None and key not in metadata:
            raise ValueError(f"{path} doesn't say which {option} it belongs to; add --{option}")
    if metadata.get("model", model) != (model or metadata["model"]):
        raise ValueError(
            f"{path} holds the weights of {metadata['model']}, not of {model}; leave --model out"
        )
    model = model or metadata["model"]
    if not all(np.isfinite(array).all() for array in state.values() if array.dtype.kind == "f"):
        raise ValueError(
            f"{path} holds numbers that aren't finite, so its training diverged; train anew with "
            f"a smaller --lr"
        )
    try:
        known = data_set(metadata["data"] if examples is None else examples)
        network = build(model, known, device=device, seed=0)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    run = Run(network, model, known, metadata)
    try:
        with np.errstate(over="ignore"):
            seen = run.normalize(np.ones((1, *known.shape), np.float32))
        if not np.isfinite(seen).all():
            raise ValueError("float32 can't hold them")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: its header says how pictures are normalised, but not in numbers that could "
            f"be used ({error}); take another file, or train anew"
        ) from None
    try:
        network.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}, taken as {model} for {known.name}: {error}") from None
    return run


def per_class(classes: tuple[str, ...], labels: np.ndarray, guesses: np.ndarray) -> Any:
    """Return a table: how many of each class were recognised, and for what others were taken.

    Parameters
    ----------
    classes : tuple of str
    labels, guesses : ndarray of int, shape (N,)

    Returns
    -------
    rich.table.Table
    """
    table = Table("class")
    for column in ("examples", "right", "accuracy"):
        table.add_column(column, justify="right")
    table.add_column("most often taken for")
    for number, name in enumerate(classes):
        guessed = np.bincount(guesses[labels == number], minlength=len(classes))
        total, right = int(guessed.sum()), int(guessed[number])
        guessed[number] = 0
        often = int(guessed.max())
        times = "once" if often == 1 else f"{often} times"
        taken_for = f"{classes[int(guessed.argmax())]} ({times})" if often else ""
        share = f"{right / total:.1%}" if total else ""
        table.add_row(name, f"{total:,}", f"{right:,}", share, taken_for)
    return table
