"""Whether launches are made or only written down, and numbers that differ from step to step.

A training step is written down once and then repeated (``_tape.py``). All that is repeated is the
launches, with the arguments that they had. So a number that will be another one in the next step
can't be such an argument: it has to lie in the GPU's memory, where the host changes it before each
repetition. `changing` is how a kernel is given such numbers, whether anybody writes or not.

What is being written belongs to one thread of the host; others launch as ever.
"""

import contextlib
import threading

import numpy as np

__all__ = [
    "CannotRecordError",
    "Later",
    "changing",
    "described",
    "listening",
    "log",
    "refuse",
    "tape",
    "writing",
]

_here = threading.local()


class CannotRecordError(RuntimeError):
    """A step does something that a repetition of its launches would leave out."""


class Later:
    """A number that is asked for before each repetition of a step.

    Attributes
    ----------
    source, place : int
        Whose answer it is part of, and where in it.
    now : number
        What it was when the step was written down.
    """

    __slots__ = ("now", "place", "source")

    def __init__(self, source, place, now):
        self.source = source
        self.place = place
        self.now = now


def tape():
    """Return what this thread's launches are written to instead of being made, or None."""
    return getattr(_here, "tape", None)


def log():
    """Return the list that this thread's launches are noted in while they are made, or None."""
    return getattr(_here, "log", None)


@contextlib.contextmanager
def writing(to):
    """Write launches to a tape instead of making them."""
    _here.tape = to
    try:
        yield
    finally:
        _here.tape = None


@contextlib.contextmanager
def listening():
    """Note in a list what is launched meanwhile."""
    _here.log = found = []
    try:
        yield found
    finally:
        _here.log = None


def described(argument):
    """Return what tells one step's argument from another's; for numbers that may change ``()``."""
    if isinstance(argument, tuple):
        return ()
    if hasattr(argument, "__cuda_ndarray__"):
        return tuple(argument.shape), np.dtype(argument.dtype).str
    return argument


def refuse(what):
    """Raise `CannotRecordError` where a step is being written down, since it does `what`."""
    if tape() is not None:
        raise CannotRecordError(f"the step {what} before it is over")


def changing(make, dtype, *numbers):
    """Return numbers for a kernel, of which the next step may have others.

    make           called as ``make(number, *numbers)``, with the type of one number; returns a
                   tuple of such numbers
    numbers        some of them may be `Later`

    A kernel reads what is returned as ``given[0]``, ``given[1]`` and so on. It is a tuple, or, in a
    step that is written down, an array on the GPU that each repetition finds filled anew.
    """
    if tape() is None:
        return make(np.dtype(dtype).type, *numbers)
    return tape().dial(make, np.dtype(dtype), numbers)
