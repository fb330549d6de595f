"""When a kernel may run on all cores: whose turn it is, and what a forked child can still do.

Numba hands the iterations of a ``prange`` to one of three libraries. ``workqueue`` ends the process
if two Python threads enter it at once, so with it they take turns. ``omp`` and ``tbb`` take any
number of them, and nothing stands in their way. Which library it is shows when the first kernel
has run; until then threads take turns as well.

GNU's OpenMP doesn't survive a fork: its threads are gone in the child, and Numba ends a child that
asks for them. There, kernels run in one thread, with a warning. A fork waits until nobody is inside
a kernel or compiles one, so that a child never inherits a lock that nobody will open again.
"""

import os
import threading
import warnings

import numba
from numba.core.compiler_lock import global_compiler_lock

FORKED = (
    "this process was forked from one that had run kernels on several threads, and GNU OpenMP's "
    "threads don't survive a fork: kernels run in one thread here, and sums may differ in their "
    "last digits. Start the process with multiprocessing.get_context('spawn'), or fork before the "
    "first kernel runs, or set NUMBA_THREADING_LAYER=workqueue"
)

free = False  # whether threads may enter kernels for all cores without asking
_lost = False  # whether this process is a child without threads
_warned = False
_turn = threading.RLock()  # a signal's handler may run a kernel, too, between two of ours


def _layer():
    """Return the name of the library that runs the threads, None before there is one."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def take_turns(for_all, for_one, args):
    """Call a kernel on all cores when no other thread is inside one; in a lost child, on one."""
    global free, _warned  # noqa: PLW0603  facts about this process
    if _lost:
        if not _warned:
            _warned = True
            warnings.warn(FORKED, RuntimeWarning, stacklevel=3)
        return for_one(*args)
    with _turn:
        for_all(*args)
        free = _layer() in ("omp", "tbb")


def _before_fork():
    _turn.acquire()
    global_compiler_lock.acquire()


def _after_fork():
    global_compiler_lock.release()
    _turn.release()


def _in_child():
    global free, _lost  # noqa: PLW0603
    _after_fork()
    if _layer() == "omp":
        from numba.np.ufunc import omppool

        _lost = omppool.openmp_vendor == "GNU"
        free = free and not _lost


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
