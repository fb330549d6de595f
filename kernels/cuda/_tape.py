"""A training step written down: its launches, and what the host has to do for each repetition.

While a step is written down nothing is launched, so its Python runs through without waiting and the
arrays that it makes hold nothing yet. Every array is kept, so their memory stays the step's own and
each launch finds the same addresses at each repetition. What differs from step to step is none of
the arguments: the batch and its labels are copied to arrays of the tape, and numbers to a table of
it, from where the kernels read them (``_recording.changing``).

`check` compares what was written down with what the step before has launched: an argument that is
another number now would be so in each step, and a repetition would be wrong.
"""

from typing import NamedTuple

import numpy as np

from . import _cuda, _memory
from ._recording import CannotRecordError, Later, described

__all__ = ["Launch", "Tape"]

TABLE = 4096  # bytes for all numbers that change
APART = 8  # what their places are multiples of


class Launch(NamedTuple):
    """A kernel, its grid and its arguments."""

    kernel: object
    blocks: tuple
    threads: int
    args: tuple

    def again(self, stream=None):
        """Make it, on the stream of all kernels unless another is named."""
        _cuda.start(self.kernel, self.blocks, self.threads, self.args, stream)


class _Dial(NamedTuple):
    """Numbers in the table, and how they follow from what is asked for."""

    make: object
    numbers: tuple
    staged: object  # their place in the host's copy of the table
    array: object  # and in the GPU's


class _Feed(NamedTuple):
    """An array of the tape, and who says what goes into it."""

    make: object
    array: object


class Tape:
    """What a step of a training launches; see the module's text.

    Attributes
    ----------
    launches : list of Launch
        In their order.
    reads : list of device array
        What the host is to read, in its order; the launches from `cut` on come behind that.
    """

    def __init__(self):
        self.launches = []
        self.reads = []
        self.cut = 0
        self._sources, self._actions = [], []
        self._dials, self._feeds, self._kept = {}, [], []
        self._staged = np.zeros(TABLE, np.uint8)
        self._table = _memory.empty(TABLE, np.uint8)
        self._used = 0

    # ---- while it is written ---------------------------------------------------------------------

    def note(self, kernel, blocks, threads, args):
        """Write a launch down."""
        for argument in args:
            if isinstance(argument, Later):
                raise CannotRecordError(
                    f"{_name(kernel)} takes a number that differs from step to step"
                )
        self.launches.append(Launch(kernel, blocks, threads, args))

    def read(self, array):
        """Note that the host is to read an array, which is written once and complete here."""
        self.reads.append(array)
        self.cut = len(self.launches)

    def numbers(self, make):
        """Return the numbers that ``make()`` gives before each repetition, as many as now."""
        if make in self._sources:
            raise CannotRecordError(f"the step asks {make.__qualname__} for its numbers twice")
        source = len(self._sources)
        self._sources.append(make)
        return tuple(Later(source, place, now) for place, now in enumerate(make()))

    def keep(self, *held):
        """Keep arrays that launches know by their addresses alone."""
        self._kept.append(held)

    def repeat(self, action):
        """Have the host call `action` behind each repetition."""
        self._actions.append(action)

    def feed(self, make, dtype):
        """Return an array that holds ``make()`` in each repetition; its shape never changes."""
        self._feeds.append(_Feed(make, _memory.empty(np.shape(make()), dtype)))
        return self._feeds[-1].array

    def dial(self, make, dtype, numbers):
        """Return numbers as an array on the GPU; `_recording.changing` describes the arguments."""
        key = make, dtype, numbers
        if key not in self._dials:
            now = [number.now if isinstance(number, Later) else number for number in numbers]
            size = len(make(dtype.type, *now)) * dtype.itemsize
            begin, self._used = self._used, self._used + -(-size // APART) * APART
            if self._used > TABLE:
                raise CannotRecordError("the step has too many numbers that change")
            staged, array = (
                table[begin : begin + size].view(dtype) for table in (self._staged, self._table)
            )
            self._dials[key] = _Dial(make, numbers, staged, array)
        return self._dials[key].array

    # ---- before and behind each repetition -------------------------------------------------------

    def fill(self):
        """Send the GPU the numbers and arrays of the next repetition."""
        answers = [make() for make in self._sources]
        for dial in self._dials.values():
            asked = [
                answers[number.source][number.place] if isinstance(number, Later) else number
                for number in dial.numbers
            ]
            dial.staged[:] = dial.make(dial.staged.dtype.type, *asked)
        if self._dials:
            _memory.send(self._staged, self._table)
        for feed in self._feeds:
            _memory.send(feed.make(), feed.array)

    def finish(self):
        """Let the host do its part of a step, such as counting it."""
        for action in self._actions:
            action()

    def check(self, before):
        """Raise `CannotRecordError` unless launches made by the same step before fit these."""
        dials = {id(dial.array) for dial in self._dials.values()}
        if len(before) != len(self.launches):
            raise CannotRecordError(
                f"the step launched {len(before)} kernels, and {len(self.launches)} the next time"
            )
        for old, new in zip(before, self.launches, strict=True):
            if (old[0], old[1], old[2]) != new[:3] or len(old[3]) != len(new.args):
                raise CannotRecordError(
                    f"the step launched {_name(old[0])}, and {_name(new.kernel)} in its place or "
                    f"another grid of it the next time"
                )
            for place, (known, given) in enumerate(zip(old[3], new.args, strict=True)):
                seen = () if id(given) in dials else described(given)
                if known != seen:
                    raise CannotRecordError(
                        f"argument {place} of {_name(new.kernel)} was {known} and is {seen} in "
                        f"the next step"
                    )


def _name(kernel):
    function = getattr(kernel, "py_func", getattr(kernel, "fn", kernel))
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
