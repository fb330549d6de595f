"""How the CPU kernels are compiled: one set of options, and a cache that can't go stale.

``@kernel`` compiles a loop nest for all cores (``prange``), ``@helper`` a serial piece that
kernels call. Floating-point freedoms are chosen one by one: sums may be reordered so that they
vectorise, products and sums may fuse into FMAs; NaN and infinity keep their meaning
(``fastmath=True`` would let the compiler assume that they never occur).
"""

from numba import prange

from ._cache import attach
from ._compiler import compile_helper, compile_kernel
from ._memory import keep_freed_memory

__all__ = ["exact_kernel", "helper", "kernel", "prange"]

FASTMATH = {"reassoc", "nsz", "contract", "arcp", "afn"}
# without the wrapper for callers in C, which nobody here needs, compiling takes a tenth less time
COMMON = {"error_model": "numpy", "no_cfunc_wrapper": True}
OPTIONS = COMMON | {"fastmath": FASTMATH}


def kernel(function):
    """Compile a loop nest whose ``prange`` iterations are independent of each other."""
    options = OPTIONS | {"parallel": True}
    return attach(compile_kernel(function, **options), options)


def exact_kernel(function):
    """Compile as `kernel`, but with every sum and difference in the order in which it is written.

    For kernels whose accuracy rests on that order: ``(x - largest) - log_total`` loses its small
    part where the compiler turns it into ``x - (largest + log_total)``.
    """
    options = COMMON | {"parallel": True}
    return attach(compile_kernel(function, **options), options)


def helper(function):
    """Compile a serial piece, to be called inside a kernel."""
    return compile_helper(function, **OPTIONS)


keep_freed_memory()  # every kernel works on arrays that come and go
