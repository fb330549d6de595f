"""What threads can't share: so that two trainings never write into each other's notes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["reserved"]

_lock = threading.Lock()
_held: dict[int, tuple[int, int]] = {}  # id of an object: the thread that has it, and how often


@contextlib.contextmanager
def reserved(things: Iterable[Any]) -> Iterator[None]:
    """Keep objects for this thread for a while.

    Raises
    ------
    RuntimeError
        If another thread has one of them; the text names it.
    """
    own = [thing for thing in things if thing is not None]
    me = threading.get_ident()
    with _lock:
        for thing in own:
            if _held.get(id(thing), (me, 0))[0] != me:
                raise RuntimeError(
                    f"{thing!r} is at work in another thread. Trainings that run at once can't "
                    f"share a network, a loss, an optimizer or a callback: give each its own; "
                    f"model.copy() makes a network of its own"
                )
        for thing in own:
            _held[id(thing)] = me, _held.get(id(thing), (me, 0))[1] + 1
    try:
        yield
    finally:
        with _lock:
            for thing in own:
                _, count = _held.pop(id(thing))
                if count > 1:
                    _held[id(thing)] = me, count - 1
