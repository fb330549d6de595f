"""How the CPU kernels are compiled: one set of options, and a cache that can't go stale.

``@kernel`` compiles a loop nest for all cores (``prange``), ``@helper`` a serial piece that
kernels call. Floating-point freedoms are chosen one by one: sums may be reordered so that they
vectorise, products and sums may fuse into FMAs; NaN and infinity keep their meaning
(``fastmath=True`` would let the compiler assume that they never occur).

Waking the other cores takes longer than a small array does in one. So each kernel is there twice,
for all cores and for one (where ``prange`` is ``range``), and the sizes of its arrays decide at
each call; the number of threads has no say, so that it changes no result. What is never called
is never compiled. Which threads may enter the one for all cores at once: ``_threads.py``.
"""

import functools

import numpy as np
from numba import prange
from numba.core import config

from . import _threads
from ._cache import attach
from ._compiler import Kernel, compile_helper, compile_kernel
from ._memory import keep_freed_memory

__all__ = ["exact_kernel", "helper", "kernel", "prange"]

FASTMATH = {"reassoc", "nsz", "contract", "arcp", "afn"}
# without the wrapper for callers in C, which nobody here needs, compiling takes a tenth less time
COMMON = {"error_model": "numpy", "no_cfunc_wrapper": True}
OPTIONS = COMMON | {"fastmath": FASTMATH}


# Numbers in all arrays of a call, from which on all cores work on it. Sums of two arrays gain
# from a second core where there are 150,000 numbers, exponentials already at 8,000, and products
# of matrices with 8,000 numbers have at most (8000/3)**1.5 = 140,000 terms.
SMALL = 8192


def _by_size(function, **options):
    """Return a function that calls one of two compiled ones, and has them as attributes."""
    if config.DISABLE_JIT:
        return function
    parallel = options | {"parallel": True}
    for_all = attach(compile_kernel(function, **parallel), parallel)
    for_one = attach(compile_kernel(function, **options), options)
    if isinstance(for_all, Kernel):  # by which another process finds them (numcnn/warmup.py)
        for_all.build, for_one.build = "for_all", "for_one"
    arrays = None  # positions of the arguments that are arrays, which never change

    @functools.wraps(function)
    def call(*args):
        nonlocal arrays
        if arrays is None:  # set as a whole: other threads may be calling
            arrays = tuple(i for i, given in enumerate(args) if isinstance(given, np.ndarray))
        numbers = 0
        for i in arrays:
            numbers += args[i].size
        if numbers < SMALL:
            return for_one(*args)
        if _threads.free:
            return for_all(*args)
        return _threads.take_turns(for_all, for_one, args)

    call.py_func, call.for_all, call.for_one = function, for_all, for_one
    return call


def kernel(function):
    """Compile a loop nest whose ``prange`` iterations are independent of each other."""
    return _by_size(function, **OPTIONS)


def exact_kernel(function):
    """Compile as `kernel`, but with every sum and difference in the order in which it is written.

    For kernels whose accuracy rests on that order: ``(x - largest) - log_total`` loses its small
    part where the compiler turns it into ``x - (largest + log_total)``.
    """
    return _by_size(function, **COMMON)


def helper(function):
    """Compile a serial piece, to be called inside a kernel."""
    return compile_helper(function, **OPTIONS)


keep_freed_memory()  # every kernel works on arrays that come and go
