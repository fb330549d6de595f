"""How much memory there is, and what to say before more than that is asked for.

The system hands out memory that it doesn't have, and ends the process when it is written to. So
what is large is compared with what is free before any of it is taken.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from .shapes import ShapeError

__all__ = ["LARGE", "TooLargeError", "free", "in_bytes", "measure", "need_memory"]

LARGE = 2**28  # bytes from which it is worth asking the system


class TooLargeError(ShapeError):
    """Something would take more memory than this machine has; the text says what, and how much."""


def measure() -> dict[str, Any]:
    """Return the bytes of memory: all, what is free now, free swap, and a container's limit."""
    names = ("total", "available", "swap", "container_limit")
    found: dict[str, Any] = dict.fromkeys(names)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found["total"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/meminfo").read_text("ascii")
        for name, line in (("available", "MemAvailable"), ("swap", "SwapFree")):
            match = re.search(line + r":\s+(\d+) kB", text)
            found[name] = int(match[1]) * 1024 if match else None
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        found["container_limit"] = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
    return found


def free() -> int | None:
    """Return how many bytes may be taken now: free memory and swap, or all where nobody says."""
    found = measure()
    room = found["total"]
    if found["available"] is not None:
        room = found["available"] + (found["swap"] or 0)
    limits = [size for size in (room, found["container_limit"]) if size is not None]
    return min(limits, default=None)


def need_memory(size: int, what: str, remedy: str) -> None:
    """Raise `TooLargeError` if `size` bytes are more than is free; to be asked beforehand.

    Parameters
    ----------
    size : int
    what : str
        Begins the sentence: what takes the memory.
    remedy : str
        Ends it: what would take less.
    """
    if size < LARGE:
        return
    room = free()
    if room is not None and size > room:
        raise TooLargeError(
            f"{what} would take {in_bytes(size)} of memory, and {in_bytes(room)} are free here; "
            f"{remedy}"
        )


def in_bytes(number: int | None) -> str:
    """Return a number of bytes in words."""
    if number is None:
        return "unknown"
    if number >= 10**18:
        return "more than a billion GB"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} bytes"
