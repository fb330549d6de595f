"""Cut a data set into batches, in an order that a seed and an epoch's number fix."""

import itertools
from collections.abc import Callable, Iterator
from numbers import Integral

import numpy as np

from numcnn.init import next_seed


class DataLoader:
    """Iterate over a data set in batches; each iteration is a new epoch.

    The order of epoch `k` depends on `seed` and `k` only, not on what was iterated before, so
    a resumed training sees the batches it would have seen: set `epoch` and go on.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        The examples; not copied as a whole, so a memory-mapped file works.
    y : array_like, shape (N, ...), optional
        Their targets.
    batch_size : int
        Examples in a batch; the last batch may hold fewer.
    shuffle : bool
        Draw a new order for each epoch; otherwise keep the order of `x`.
    seed : int, optional
        Zero or more. None draws one, once, and keeps it in `seed`; `numcnn.manual_seed` decides
        which, and ``Sequential.fit`` puts the network's in its place.
    drop_last : bool
        Leave out a last batch that is not full.
    transform : callable, optional
        ``transform(xb, rng) -> xb`` changes each batch of examples. It owns the batch, and its
        ``numpy.random.Generator`` depends only on the seed, the epoch and the batch's number.

    Yields
    ------
    (xb, yb) or xb
        C-contiguous copies, never views of `x` or `y`; `xb` alone without `y`.

    Raises
    ------
    TypeError
        If `batch_size`, `seed` or `epoch` is no integer (bool and float are refused).
    ValueError
        If there is no example, the lengths differ, a number is out of range, or no batch would
        be full under `drop_last`.

    Attributes
    ----------
    seed : int
        The seed in use.
    drew_seed : bool
        Whether `seed` is a drawn one, since none was given.
    epoch : int
        The number of the next epoch, from 0; settable.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
        transform: Callable | None = None,
    ):
        self.x = _examples("x", x)
        self.y = None if y is None else _examples("y", y)
        if self.y is not None and len(self.x) != len(self.y):
            raise ValueError(
                f"x and y must be of one length; got {len(self.x)} examples (x of shape "
                f"{self.x.shape}) and {len(self.y)} targets (y of shape {self.y.shape})"
            )
        self.batch_size = _integer("batch_size", batch_size, least=1)
        if drop_last and self.batch_size > len(self.x):
            raise ValueError(
                f"drop_last=True leaves no batch: batch_size is {self.batch_size}, "
                f"x has {len(self.x)} examples"
            )
        if transform is not None and not callable(transform):
            raise TypeError(f"transform must be a function (xb, rng) -> xb; got {transform!r}")
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.transform = transform
        self.drew_seed = seed is None
        if seed is None:  # what `manual_seed` has fixed, or a number nobody knows
            seed = int(next_seed().generate_state(1)[0])
        self.seed = _integer("seed", seed, least=0)
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """Number of the next epoch; set it to resume."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = _integer("epoch", epoch, least=0)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.x), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator:
        """Begin the next epoch; `epoch` counts up at once, so nested loops differ."""
        return self._begin(0)

    def rest_of_epoch(self, first: int) -> Iterator:
        """Begin the next epoch as iterating does, but at batch number `first`, from 0.

        The batches are those that iterating would give from there on.
        """
        first = _integer("first", first, least=0)
        if type(self).__iter__ is not DataLoader.__iter__:  # a subclass makes its own batches
            return itertools.islice(iter(self), first, None)
        return self._begin(first)

    def __repr__(self) -> str:
        """Show what decides the batches."""
        return (
            f"DataLoader({len(self.x)} examples, batch_size={self.batch_size}, "
            f"shuffle={self.shuffle}, seed={self.seed}, drop_last={self.drop_last}, "
            f"epoch={self.epoch})"
        )

    def _begin(self, first):
        epoch = self.epoch
        self.epoch += 1
        return self._batches(epoch, first)

    def _batches(self, epoch, first):
        order = np.arange(len(self.x))
        if self.shuffle:
            order = _generator(np.random.SeedSequence([self.seed, epoch])).permutation(order)
        for number in range(first, len(self)):
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            # Indexing with an array copies, in a layout of NumPy's choice.
            xb = np.ascontiguousarray(self.x[chosen])
            if self.transform is not None:
                xb = self._transformed(xb, epoch, number)
            yield xb if self.y is None else (xb, np.ascontiguousarray(self.y[chosen]))

    def _transformed(self, xb, epoch, number):
        # spawn_key and not a third word of entropy: SeedSequence pads with zeros, so
        # [seed, epoch, 0] would be the shuffle's own stream.
        seeds = np.random.SeedSequence([self.seed, epoch], spawn_key=(number,))
        count = len(xb)
        assert self.transform is not None
        xb = np.ascontiguousarray(self.transform(xb, _generator(seeds)))
        if len(xb) != count:
            raise ValueError(
                f"transform must keep the number of examples; batch {number} of epoch {epoch} "
                f"went in with {count} and came out with shape {xb.shape}"
            )
        return xb


def _generator(seeds):
    return np.random.Generator(np.random.Philox(seeds))


def _examples(name, values):
    values = np.asarray(values)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"{name} must hold at least one example; got shape {values.shape}")
    return values


def _integer(name, value, least):
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int; got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be {least} or more; got {value}")
    return int(value)
