"""Which GPU thread computes what: a picture drawn from what Numba's simulator was seen to do.

``NUMBA_ENABLE_CUDASIM=1 python -m numcnn.pictures.thread_map docs/thread-map.png``
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, NamedTuple

import numpy as np

from ..figures import finish, new_figure
from ..kernels import cuda as kernels
from ..kernels.cuda import _cuda

__all__ = ["Access", "thread_map", "watch"]

WARP = 32
SIZE, TAPS, STRIDE = 13, 3, 2


class Access(NamedTuple):
    """One number read or written by one thread of a launch."""

    what: str  # the array's name
    place: tuple[int, ...]
    thread: int  # its number among all threads of the launch
    block: int
    write: bool


class _Watched(np.ndarray):
    """An array that tells who touches it. In the simulator a GPU thread is a Python thread."""

    note: Any = None

    def __getitem__(self, index: Any) -> Any:
        if self.note is not None:
            self.note(index, False)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.note is not None:
            self.note(index, True)
        super().__setitem__(index, value)


def watch(function: Any, named: dict[str, Any]) -> list[Access]:
    """Call a CUDA function in the simulator; return what its threads read and wrote, in order.

    Parameters
    ----------
    function : callable
    named : dict
        Its arguments by name; arrays of NumPy are brought to the device.

    Raises
    ------
    RuntimeError
        Outside the simulator, where nobody can watch.
    """
    if not _cuda.SIMULATED:
        raise RuntimeError(
            "only Numba's simulator can be watched: set NUMBA_ENABLE_CUDASIM=1 in the environment"
        )
    seen: list[Access] = []

    def watched(name: str, host: np.ndarray) -> Any:
        def note(index: Any, write: bool) -> None:
            thread: Any = threading.current_thread()
            place = tuple(map(int, index if isinstance(index, tuple) else (index,)))
            block = thread.blockIdx.x
            number = block * _cuda.THREADS_PER_BLOCK + thread.threadIdx.x
            seen.append(Access(name, place, number, block, write))

        array = host.view(_Watched)
        array.note = note
        return type(_cuda.to_device(host))(array)

    arguments = (
        watched(name, value) if isinstance(value, np.ndarray) else value
        for name, value in named.items()
    )
    function(*arguments)
    return seen


def _convolution() -> tuple[list[Access], list[Access]]:
    """Return what happens forward and backward: one picture, one filter of 3×3, stride 2."""
    outputs = (SIZE - TAPS) // STRIDE + 1
    x = np.ones((1, 1, SIZE, SIZE), np.float32)
    weight = np.ones((1, 1, TAPS, TAPS), np.float32)
    y = np.empty((1, 1, outputs, outputs), np.float32)
    geometry = dict(zip("abcdefg", (STRIDE, STRIDE, 0, 0, 1, 1, 1), strict=True))
    forward = {"x": x, "weight": weight, "bias": np.zeros(1, np.float32)} | geometry | {"y": y}
    backward = {"dy": y, "weight": weight} | geometry | {"dx": x.copy()}
    return (
        watch(kernels.conv2d_forward, forward),
        watch(kernels.conv2d_backward_input, backward),
    )


def _grid(axes: Any, seen: list[Access], output: str, shape: tuple[int, int]) -> None:
    """Draw who writes what: a number in each cell, a colour for each warp."""
    owner = np.full(shape, -1)
    for access in seen:
        if access.write and access.what == output:
            owner[access.place[-2:]] = access.thread
    axes.imshow(owner // WARP % 10, cmap="tab10", vmin=0, vmax=9, alpha=0.45)
    axes.set_axis_off()
    for (row, column), thread in np.ndenumerate(owner):
        axes.text(column, row, str(thread), ha="center", va="center", fontsize=7)


def _reads(axes: Any, seen: list[Access], thread: int, what: str, shape: tuple[int, int]) -> None:
    """Draw what one thread reads of an array."""
    read = np.zeros(shape)
    for access in seen:
        if access.thread == thread and access.what == what and not access.write:
            read[access.place[-2:]] += 1
    axes.pcolormesh(read, cmap="Oranges", vmin=0, vmax=2, edgecolors="0.8", linewidth=0.5)
    axes.set_xlim(0, shape[1])
    axes.set_ylim(shape[0], 0)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _first_reads(axes: Any, seen: list[Access], what: str, width: int) -> None:
    """Draw which address each thread of a warp reads first: together these are one fetch."""
    first: dict[int, int] = {}
    for access in seen:
        if access.what == what and not access.write and access.thread < WARP:
            row, column = access.place[-2:]
            first.setdefault(access.thread, row * width + column)
    axes.plot(list(first), list(first.values()), "o", markersize=4)
    axes.set_xlabel("thread of the first warp")
    axes.set_ylabel(f"place in {what} of its first read")


def thread_map(path: str | os.PathLike | None = None) -> Any:
    """Draw a convolution forward and the gradient of its input; return the figure.

    Parameters
    ----------
    path : path, optional
        PNG, PDF or SVG, by the ending.
    """
    forward, backward = _convolution()
    outputs = (SIZE - TAPS) // STRIDE + 1
    small, large = (outputs, outputs), (SIZE, SIZE)
    figure = new_figure(11, 7.4)
    axes = figure.subplots(2, 3)
    thread = outputs + 2
    _grid(axes[0, 0], forward, "y", small)
    axes[0, 0].set_title("forward: the thread that owns each y")
    _reads(axes[0, 1], forward, thread, "x", large)
    axes[0, 1].set_title(f"what thread {thread} reads of x")
    _first_reads(axes[0, 2], forward, "x", SIZE)
    axes[0, 2].set_title("its warp's first reads of x")
    _grid(axes[1, 0], backward, "dx", large)
    axes[1, 0].set_title("backward: the thread that owns each dx")
    thread = 4 * SIZE + 4
    _reads(axes[1, 1], backward, thread, "dy", small)
    axes[1, 1].set_title(f"what thread {thread} gathers from dy")
    _first_reads(axes[1, 2], backward, "dy", outputs)
    axes[1, 2].set_title("the first warp's first reads of dy")
    figure.suptitle(
        f"{TAPS}×{TAPS} filter, stride {STRIDE}, {SIZE}×{SIZE} picture; "
        f"a colour is a warp of {WARP} threads"
    )
    return finish(figure, path)


if __name__ == "__main__":
    thread_map(sys.argv[1])
