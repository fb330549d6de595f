"""`Sequential`: layers in a row, with everything one does with a network."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from . import checkpoint, evaluation, training
from .callbacks import Callback
from .data.loader import DataLoader
from .device import get_device
from .evaluation import Evaluation
from .history import History
from .layers import Chain, Layer
from .layers.parameter import as_dtype
from .losses import Loss, as_loss
from .optim import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .regularization import Penalty
from .resume import Keeper
from .shapes import as_count, as_seed
from .summary import Summary, summarize

__all__ = ["Sequential"]

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam,
    "sgd": SGD,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
}


class Sequential(Chain):
    """A network: layers one after the other.

    Parameters
    ----------
    *layers : Layer, or one mapping of str to Layer
        In the order in which the data passes them. With a mapping, the names are those of the
        state dict's keys, as in PyTorch; else the positions are.
    device : {"cpu", "cuda", "reference"}
        Compiled loops on every core, loops on an NVIDIA GPU, or plain Python.
    dtype : {"float32", "float64"}
        Precision of parameters and activations.
    seed : int, optional
        Decides initial weights, dropout, the order of the data and what is done to them at
        random. Without it they differ from run to run.
    strict : bool
        Raise where a window doesn't fit its picture without a remainder.

    Raises
    ------
    numcnn.ShapeError
        If two neighbours can't fit.
    numcnn.DeviceError
        If the device can't be used here.

    Examples
    --------
    >>> from numcnn import Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Flatten(), Linear(784, 30), ReLU(), Linear(30, 10), seed=1)
    >>> model.output_shape((64, 1, 28, 28))
    (64, 10)
    """

    def __init__(
        self,
        *layers: Layer | Mapping[str, Layer],
        device: str = "cpu",
        dtype: Any = "float32",
        seed: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(*layers)
        if not len(self):
            raise ValueError("a network needs at least one layer")
        self.seed = None if seed is None else as_seed(seed)
        self.input_shape: tuple[int, ...] | None = None
        if strict:
            for layer in self.layers():
                if hasattr(layer, "strict"):
                    layer.strict = True
        get_device(device)
        self.to(device, as_dtype(dtype))
        if self.seed is not None:
            self.reseed(self.seed)

    def _forward(self, x: Any) -> Any:
        self.input_shape = tuple(x.shape)
        return super()._forward(x)

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 64,
        loss: Loss | str = "cross_entropy",
        optimizer: Optimizer | str | Callable[[Any], Optimizer] = "adam",
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback | Callable[[int, dict[str, Any]], Any]] = (),
        seed: int | None = None,
        shuffle: bool = True,
        verbose: bool = True,
        scheduler: Callable[[Optimizer, int], Any] | None = None,
        penalty: Penalty | None = None,
        clip_norm: float | None = None,
        checkpoint: str | os.PathLike | None = None,
        every: int | None = None,
        keep: int = 3,
        resume: str | os.PathLike | bool = False,
    ) -> History:
        """Train the network.

        Parameters
        ----------
        x : array, shape (N, ...), or DataLoader
            The examples; a `DataLoader` brings targets, batches and order with it.
        y : array, shape (N, ...)
            Class numbers, or what else the loss takes; for cross-entropy also an array of floats,
            the probability of each class.
        epochs, batch_size : int
            How often to go through the data, and how many examples make a step.
        loss : Loss or str
            "cross_entropy", "nll", "multi_margin", "mse", "l1", "smooth_l1", "huber", "msle",
            "bce", "bce_with_logits" or "kl_div"; a name stands for the loss with its defaults.
        optimizer : Optimizer, {"adam", "sgd", "adamw", ...}, or callable
            A callable gets the parameters: ``lambda p: SGD(p, lr=0.1, momentum=0.9)``.
        validation_data : (x, y), optional
            Evaluated after each epoch.
        callbacks : list of Callback or callable
            A function is called as ``callback(epoch, figures)`` after each epoch, and ends the
            training by returning True. `Callback` objects may do more: `EarlyStopping`,
            `BestCheckpoint`, `CSVLogger`, `NaNGuard`, or a class of your own.
        seed : int, optional
            Decides the order of the data, and what a `DataLoader`'s transform draws; by default
            the model's seed, unless the loader has one of its own.
        shuffle : bool
            Take the examples in a new order each epoch.
        verbose : bool
            Show the progress.
        scheduler : callable, optional
            ``scheduler(optimizer, total_steps)`` returns an object whose ``step()`` is called
            after each step of the optimizer: ``lambda o, n: OneCycleLR(o, 0.003, n)``.
            `ReduceLROnPlateau` is asked after each epoch instead, with its loss (for
            ``mode="max"`` its accuracy), that of the validation if there is one.
        penalty : Penalty, optional
            Added to what is minimised: ``L2(1e-4)``. The history keeps it beside the loss, as
            ``"penalty"``; the loss stays that of the data.
        clip_norm : float, optional
            Shrink each step's gradients to this norm at most, the penalty's included
            (`clip_grad_norm`).
        checkpoint : path, optional
            A folder to which all that a training needs to go on is written from time to time:
            before the first step, then as `every` says, and at the end. A training that is
            killed at any moment has lost no more than what came after the newest.
        every : int, optional
            Steps of the optimizer between two checkpoints; by default an epoch.
        keep : int
            How many checkpoints the folder keeps.
        resume : path or bool
            Go on from the newest whole checkpoint in this folder, and write the next ones there
            too unless `checkpoint` names another; weights and history will be those of a
            training that nothing interrupted, bit for bit. All other arguments must be those of
            the first call; more epochs are fine. True stands for the folder `checkpoint`, and
            begins a training if there is none to go on with.

        Returns
        -------
        History

        Raises
        ------
        ShapeError, ValueError, TypeError
            Before the first step, if data, network and loss don't fit together, or what is to
            be resumed is another training.
        OSError
            If a checkpoint can't be written or found; those written before stay.
        """
        epochs = as_count(epochs, "epochs")
        if penalty is not None and not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be a Penalty such as L2(1e-4), got {penalty!r}")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, got {clip_norm}")
        loss = as_loss(loss)
        loader = self._loader(x, y, loss, batch_size, shuffle, seed)
        if validation_data is not None:
            training.check_data(self, loss, *validation_data)
        keeper = _keeper(checkpoint, every, keep, resume)
        mover = self._optimizer(optimizer)
        return training.fit(
            self,
            loader,
            loss,
            mover,
            epochs,
            validation_data,
            callbacks,
            verbose,
            None if scheduler is None else scheduler(mover, epochs * len(loader)),
            penalty,
            clip_norm,
            keeper,
        )

    def _loader(
        self, x: Any, y: Any, loss: Loss, batch_size: int, shuffle: bool, seed: int | None
    ) -> DataLoader:
        """Return what gives `fit` its batches, or say why the data don't fit."""
        if isinstance(x, DataLoader):
            if y is not None:
                raise TypeError("a DataLoader brings its own targets; leave y out")
            if x.y is None:
                raise TypeError("fit needs targets, and this DataLoader has none")
            _share_seed(x, self.seed, seed)
            if x.transform is None:  # a transform may change the shape of the pictures
                training.check_data(self, loss, x.x, x.y)
            return x
        if y is None:
            raise TypeError("fit(x, y) needs the targets y")
        training.check_data(self, loss, x, y)
        order = self.seed if seed is None else as_seed(seed)
        return DataLoader(x, y, batch_size, shuffle=shuffle, seed=order)

    def _optimizer(self, wanted: Optimizer | str | Callable[[Any], Optimizer]) -> Optimizer:
        """Return an optimizer of this network's parameters."""
        if isinstance(wanted, Optimizer):
            return wanted
        if isinstance(wanted, str):
            if wanted not in OPTIMIZERS:
                names = ", ".join(OPTIMIZERS)
                raise ValueError(f"there is no optimizer {wanted!r}; choose one of {names}")
            wanted = OPTIMIZERS[wanted]
        return wanted(self.parameters())

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int = 256,
        loss: Loss | str = "cross_entropy",
        metrics: Mapping[str, Callable[[np.ndarray, np.ndarray], Any]] | None = None,
    ) -> Evaluation:
        """Return mean loss and accuracy on a data set; dropout is off, nothing is learned.

        Parameters
        ----------
        x, y : array, shape (N, ...)
            Examples and their targets.
        batch_size : int
            Examples at a time; bounds the memory.
        loss : Loss or {"cross_entropy", "nll", "mse", "l1", ...}
        metrics : dict of str to callable, optional
            Each is called once, as ``metric(scores, targets)`` with those of all examples:
            ``{"top5": top_k_accuracy}`` (`numcnn.metrics`).

        Returns
        -------
        Evaluation
            A named tuple (loss, accuracy); ignored labels count in neither. Its ``metrics`` is
            a dict of what the metrics gave.
        """
        loss = as_loss(loss)
        training.check_data(self, loss, x, y)
        for name, metric in (metrics or {}).items():
            if not callable(metric):
                raise TypeError(f"metric {name!r} must be a function (scores, targets)")
        count = as_count(batch_size, "batch_size")
        return evaluation.evaluate(self, x, y, loss, count, metrics)

    def predict(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Return the outputs for all of `x`, with dropout off.

        Parameters
        ----------
        x : array, shape (N, ...)
            NumPy array, on whatever device the model is.
        batch_size : int
            Examples at a time; bounds the memory.

        Returns
        -------
        ndarray, shape (N, ...)
        """
        return evaluation.predict(self, x, as_count(batch_size, "batch_size"))

    def summary(self, input_shape: tuple[int, ...] | None = None) -> Summary:
        """Return a table of the layers: output, parameters, MACs, receptive field, bytes.

        Parameters
        ----------
        input_shape : tuple of int, optional
            With or without the batch axis; by default that of the last forward pass.

        Raises
        ------
        ValueError
            If no shape is given and none was ever seen.
        """
        shape = input_shape or self.input_shape
        if shape is None:
            raise ValueError("summary() needs the shape of the input, for example (1, 28, 28)")
        if input_shape is not None:
            given, batched = tuple(input_shape), (1, *input_shape)
            first, second = (batched, given) if len(given) == 1 else (given, batched)
            try:
                self.output_shape(shape := first)
            except ValueError:
                self.output_shape(shape := second)
        return summarize(self, shape)

    def save(self, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
        """Write the weights to a safetensors file, as a whole or not at all.

        Parameters
        ----------
        path : path
            Usually ends in ``.safetensors``.
        metadata : dict of str to str, optional
            Kept in the file's header.

        Raises
        ------
        OSError
            If the disk is full or the folder closed; a file that was there stays as it was.
        """
        checkpoint.save_weights(path, self.state_dict(), metadata or {})

    def load(self, path: str | os.PathLike) -> Sequential:
        """Read weights that `save` wrote, into this network; return self.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing or damaged, or its weights don't fit; then nothing changes.
        """
        state, _ = checkpoint.load_weights(path)
        self.load_state_dict(state)
        return self

    def copy(self) -> Sequential:
        """Return a copy that shares nothing with this network."""
        return copy.deepcopy(self)


def _share_seed(loader: DataLoader, own: int | None, given: int | None) -> None:
    """Have a loader that was made without a seed follow that of `fit` or of the network."""
    if given is not None:
        given = as_count(given, "seed", 0)
        if not loader.drew_seed and loader.seed != given:
            raise ValueError(
                f"fit(seed={given}) and DataLoader(seed={loader.seed}) both decide the order of "
                f"the data; leave one of them out"
            )
    seed = own if given is None else given
    if loader.drew_seed and seed is not None:
        loader.seed, loader.drew_seed = seed, False


def _keeper(
    checkpoint: str | os.PathLike | None,
    every: int | None,
    keep: int,
    resume: str | os.PathLike | bool,
) -> Keeper | None:
    """Return what writes checkpoints; None where none are wanted."""
    if checkpoint is None and not resume:
        if every is not None:
            raise ValueError("every= says how often checkpoint= writes; name a folder too")
        return None
    return Keeper(checkpoint, every, keep, resume)
