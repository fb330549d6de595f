"""What may happen beside the training: stop early, keep the best weights, log, watch for NaN.

``fit(callbacks=[...])`` takes functions ``callback(epoch, figures)`` and objects of classes
derived from `Callback`, in any mixture.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .checkpoint import save_weights
from .layers import Layer
from .shapes import as_count

__all__ = ["BestCheckpoint", "CSVLogger", "Callback", "EarlyStopping", "as_callbacks", "running"]

Figures = dict[str, Any]
BEST = "weights."  # begins the names of the best weights in a callback's state


class Callback:
    """Base class: override what is of interest.

    The methods are called in the order in which the callbacks were given; `on_train_end` in the
    reverse order.
    """

    def on_train_begin(self, model: Layer) -> None:
        """Do something before the first batch."""

    def on_batch_end(self, batch: int, figures: Figures) -> None:
        """Do something after each step of the optimizer.

        Parameters
        ----------
        batch : int
            Number of the batch in its epoch, from 0.
        figures : dict
            Those of the epoch so far; ``figures["epoch"]`` is its number, from 1.
        """

    def on_epoch_end(self, epoch: int, figures: Figures) -> Any:
        """Do something after each epoch; return True to end the training.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        figures : dict
            What `History` keeps of it, validation included.
        """

    def on_train_end(self) -> None:
        """Do something when the training is over, or an exception or Ctrl-C ends it."""

    def state_dict(self) -> Figures:
        """Return what a training that goes on from a checkpoint must know of this callback.

        A dict with arrays, and with what JSON can hold.
        """
        return {}

    def load_state_dict(self, state: Figures) -> None:
        """Take over what `state_dict` returned."""

    def on_train_resume(self, model: Layer, state: Figures) -> None:
        """Do what `on_train_begin` does, where a training goes on from a checkpoint."""
        self.on_train_begin(model)
        self.load_state_dict(state)


class _Function(Callback):
    """A plain function, called after each epoch."""

    def __init__(self, function: Callable[[int, Figures], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, figures: Figures) -> Any:
        """Call the function."""
        return self.function(epoch, figures)


def as_callbacks(callbacks: Iterable[Any]) -> list[Callback]:
    """Return callbacks as `Callback` objects, or say which of them is none."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list, as in [{callbacks!r}]")
    found: list[Callback] = []
    for each in callbacks:
        if isinstance(each, type) and issubclass(each, Callback):
            raise TypeError(f"a callback is the class {each.__name__}; make one: {each.__name__}()")
        if not isinstance(each, Callback) and not callable(each):
            raise TypeError(
                f"a callback is a Callback or a function (epoch, figures); got {each!r}"
            )
        found.append(each if isinstance(each, Callback) else _Function(each))
    return found


@contextlib.contextmanager
def running(
    callbacks: list[Callback], model: Layer, states: Sequence[Figures | None] = ()
) -> Iterator[None]:
    """Call `on_train_begin` of all; at the end, whatever happens, `on_train_end` of each begun.

    One that has a state goes on from there instead of beginning.
    """
    with contextlib.ExitStack() as stack:
        for callback, state in itertools.zip_longest(callbacks, states):
            if state is None:
                callback.on_train_begin(model)
            else:
                callback.on_train_resume(model, state)
            stack.callback(callback.on_train_end)
        yield


class _Best(Callback):
    """A callback that follows one figure and knows the best value so far."""

    def __init__(self, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode is None:
            kinds = {"loss": "min", "accuracy": "max"}
            mode = kinds.get(monitor.rpartition("_")[2])
            if mode is None:
                raise ValueError(
                    f"is more of {monitor!r} better, or less? Add mode='max' or mode='min'"
                )
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be 0 or more, and finite; got {min_delta}")
        self.monitor, self.mode, self.min_delta = monitor, mode, float(min_delta)
        self.forget()

    def forget(self) -> None:
        """Begin anew: no value is the best so far."""
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = 0

    def state_dict(self) -> Figures:
        """Return the best value so far and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Figures) -> None:
        """Take over what `state_dict` returned."""
        self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])

    def improved(self, figures: Figures) -> bool:
        """Take note of an epoch's figures; return whether they are the best. NaN never is."""
        if self.monitor not in figures:
            hint = "; fit needs validation_data for it" * self.monitor.startswith("val_")
            raise ValueError(
                f"{type(self).__name__} watches {self.monitor!r}, and the figures of an epoch "
                f"are {', '.join(figures)}{hint}"
            )
        value = float(figures[self.monitor])
        gain = self.best - value if self.mode == "min" else value - self.best
        if not gain > self.min_delta:
            return False
        self.best, self.best_epoch = value, figures["epoch"]
        return True


class EarlyStopping(_Best):
    """End the training when a figure has stopped getting better.

    Prechelt, "Early stopping - but when?", 1998.

    Parameters
    ----------
    monitor : str
        A figure of the epoch, such as "val_loss", "val_accuracy" or "loss".
    patience : int
        End after so many epochs in a row without an improvement; 1 or more.
    min_delta : float
        What must be gained for an improvement: more than this.
    restore_best_weights : bool
        When the training is over, for whatever reason, give the network the weights of the best
        epoch.
    mode : {"min", "max"}, optional
        Which is better; by default less of a loss and more of an accuracy.

    Attributes
    ----------
    best : float
        The best value of the figure.
    best_epoch : int
        The epoch it was reached in, from 1; 0 before the first.
    stopped_epoch : int or None
        The epoch after which this ended the training, from 1; None if it didn't.

    Raises
    ------
    ValueError, TypeError
        For other arguments; after the first epoch, if there is no such figure.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best_weights: bool = False,
        mode: str | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = as_count(patience, "patience")
        self.restore_best_weights = bool(restore_best_weights)
        self.stopped_epoch: int | None = None
        self._bad_epochs = 0
        self._model: Layer | None = None
        self._weights: dict[str, Any] | None = None

    def on_train_begin(self, model: Layer) -> None:
        """Begin anew."""
        self.forget()
        self.stopped_epoch, self._bad_epochs = None, 0
        self._model, self._weights = model, None

    def state_dict(self) -> Figures:
        """Return what decides when to stop, and the best weights."""
        state = super().state_dict() | {"bad_epochs": self._bad_epochs}
        state["stopped_epoch"] = self.stopped_epoch
        return state | {BEST + name: array for name, array in (self._weights or {}).items()}

    def load_state_dict(self, state: Figures) -> None:
        """Take over what `state_dict` returned."""
        super().load_state_dict(state)
        self._bad_epochs, self.stopped_epoch = int(state["bad_epochs"]), state["stopped_epoch"]
        weights = {k.removeprefix(BEST): v for k, v in state.items() if k.startswith(BEST)}
        self._weights = weights or None

    def on_epoch_end(self, epoch: int, figures: Figures) -> bool:
        """Return True when it is time to stop."""
        if self.improved(figures):
            self._bad_epochs = 0
            if self.restore_best_weights and self._model is not None:
                self._weights = self._model.state_dict()
            return False
        self._bad_epochs += 1
        if self._bad_epochs < self.patience:
            return False
        self.stopped_epoch = figures["epoch"]
        return True

    def on_train_end(self) -> None:
        """Give the network its best weights, if that is wanted and there are any."""
        if self._weights is not None and self._model is not None:
            self._model.load_state_dict(self._weights)
        self._model = self._weights = None


class BestCheckpoint(_Best):
    """Write the weights to a file whenever a figure is better than ever before.

    The file is replaced as a whole (`numcnn.save_weights`), so it always holds the best epoch so
    far. Its header says which: ``monitor``, ``mode`` and every figure of that epoch, by name.
    Used in a second `fit`, the same object remembers what was best in the first.

    Parameters
    ----------
    path : path
        Usually ends in ``.safetensors``; its folder must exist.
    monitor : str
        A figure of the epoch, such as "val_loss", "val_accuracy" or "loss".
    mode : {"min", "max"}, optional
        Which is better; by default less of a loss and more of an accuracy.
    metadata : dict of str to str, optional
        What else the header is to hold.

    Attributes
    ----------
    best : float
    best_epoch : int
        The epoch whose weights the file holds, from 1; 0 before the first.

    Raises
    ------
    FileNotFoundError
        Before the first batch, if the folder doesn't exist.
    ValueError
        For other arguments; after the first epoch, if there is no such figure.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str = "val_loss",
        mode: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.path = Path(path)
        self.metadata = dict(metadata or {})
        self._model: Layer | None = None

    def on_train_begin(self, model: Layer) -> None:
        """Find out now, not after an epoch, whether there is a folder to write to."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {self.path.parent} for {self.path.name}")
        self._model = model

    def on_epoch_end(self, epoch: int, figures: Figures) -> None:
        """Write the weights if the epoch was the best."""
        if self.improved(figures) and self._model is not None:
            header = self.metadata | {"monitor": self.monitor, "mode": self.mode}
            header |= {name: str(value) for name, value in figures.items()}
            save_weights(self.path, self._model.state_dict(), header)

    def on_train_end(self) -> None:
        """Let go of the network."""
        self._model = None


class CSVLogger(Callback):
    """Write the figures of each epoch to a CSV file, a row that can be read at once.

    Parameters
    ----------
    path : path
        Its folder must exist.
    append : bool
        Go on with a file that is there, whose columns must have a place for every figure;
        otherwise it is overwritten.

    Raises
    ------
    OSError
        Before the first batch, if the file can't be written.
    ValueError
        If a figure has no column.
    """

    def __init__(self, path: str | os.PathLike, append: bool = False) -> None:
        self.path = Path(path)
        self.append = bool(append)
        self._file: IO[str] | None = None
        self._columns: list[str] = []

    def on_train_begin(self, model: Layer) -> None:
        """Open the file."""
        self._columns = []
        if self.append and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                try:
                    self._columns = next(csv.reader(file), [])
                except (csv.Error, ValueError) as error:  # or not even text
                    raise ValueError(
                        f"{self.path} is no table of figures that could be gone on with ({error}); "
                        f"write to another file, or leave append out"
                    ) from None
        mode = "a" if self.append else "w"
        self._file = self.path.open(mode, newline="", encoding="utf-8")

    def state_dict(self) -> Figures:
        """Return how much of the file is written."""
        size = 0 if self._file is None else self._file.tell()
        return {"bytes": size, "columns": self._columns}

    def on_train_resume(self, model: Layer, state: Figures) -> None:
        """Go on with the file; rows of epochs that are done again leave it."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < state["bytes"]:
            raise ValueError(
                f"{self.path} has {size} bytes and had {state['bytes']} when the checkpoint was "
                f"written; put it back, or leave CSVLogger out"
            )
        self._file = self.path.open("a", newline="", encoding="utf-8")
        self._file.truncate(state["bytes"])
        self._file.seek(0, os.SEEK_END)
        self._columns = list(state["columns"])

    def on_epoch_end(self, epoch: int, figures: Figures) -> None:
        """Write a row."""
        if self._file is None:
            raise RuntimeError("CSVLogger was not told that a training began (on_train_begin)")
        writer = csv.writer(self._file)
        if not self._columns:
            self._columns = list(figures)
            writer.writerow(self._columns)
        homeless = [name for name in figures if name not in self._columns]
        if homeless:
            raise ValueError(
                f"{self.path} has the columns {', '.join(self._columns)} and none for "
                f"{', '.join(homeless)}; write to another file"
            )
        writer.writerow([figures.get(name, "") for name in self._columns])
        self._file.flush()

    def on_train_end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None
