"""Run every compiled kernel with its arrays between memory that nobody may touch.

Checks of array bounds don't see what goes through pointers (`_simd.py`), and none are made inside
a compiled ``prange``. Here the processor makes them: each array of a call, and each that a kernel
makes for itself, ends where a page begins that can be neither read nor written, or begins where
such a page ends. A kernel that goes one number too far ends the process. What is left of the
array's own pages is filled with a pattern, which must still be there afterwards; new memory is
filled with NaN, so that numbers which nobody wrote would show in the result.

``python checks_fences.py end all`` (or ``begin``; or ``short``, or its ``sixth``, or the name of
a case) prints the name of each case before it runs, and at last how many arrays stood between
fences, and how many of them the kernels had made. The names of the functions in `PLANTED` run
kernels with faults.

With ``NUMBA_BOUNDSCHECK=1`` it is the serial build of each kernel that runs, in which Numba checks
every index as well.
"""

import ctypes
import faulthandler
import functools
import mmap
import sys

import checks_memory
import llvmlite.binding
import numpy as np
from numba.core import config
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys

from numcnn.kernels.cpu import _cache, _compiler, _jit, _simd
from numcnn.kernels.cpu._jit import prange

PAGE = mmap.PAGESIZE
FENCE = 64 * PAGE  # bytes on either side
PATTERN = 0xA5

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Fenced:
    """Memory of `size` bytes that ends, or begins, where a fence stands."""

    made = 0
    scratch = 0
    trespasses = 0

    def __init__(self, size, at_end):
        Fenced.made += 1
        inner = -(-max(size, 1) // PAGE) * PAGE
        self.whole = inner + 2 * FENCE
        # no access at all (0), private and anonymous memory
        self.address = libc.mmap(None, self.whole, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        first = self.address + FENCE
        if libc.mprotect(first, inner, mmap.PROT_READ | mmap.PROT_WRITE):
            raise OSError(ctypes.get_errno(), "mprotect")
        ctypes.memset(first, PATTERN, inner)
        self.begin = first + (inner - size if at_end else 0)
        self.rest = (first, inner - size) if at_end else (first + size, inner - size)

    def close(self):
        """Give the memory back; count it where the pattern beside it was changed."""
        if self.address:
            where, size = self.rest
            if ctypes.string_at(where, size) != bytes([PATTERN]) * size:
                Fenced.trespasses += 1
            libc.munmap(self.address, self.whole)
            self.address = None


def fence_arguments(at_end):
    """Let every call of a kernel work on copies of its arrays that stand between fences."""

    def call(kernel, *args):
        fences = []

        def allocate(size):
            fences.append(Fenced(size, at_end))
            return np.frombuffer((ctypes.c_uint8 * size).from_address(fences[-1].begin), np.uint8)

        given, bring_back = checks_memory.move(args, allocate)
        Dispatcher.__call__(kernel, *given)
        bring_back()
        for fence in fences:
            fence.close()

    _compiler.Kernel.__call__ = call


class Owner:
    """Holds the fenced memory of an array that a kernel made, as long as the array lives."""

    def __init__(self, fence):
        self.fence = fence

    def __del__(self):
        self.fence.close()


def fence_scratch(at_end):
    """Let the arrays that kernels make stand between fences; return what must be kept alive."""
    rtsys.initialize(cpu_target.target_context)
    make = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object)(
        _nrt_python.c_helpers["meminfo_new_from_pyobject"]
    )

    def allocate(size, align):
        fence = Fenced(size, at_end)
        ctypes.memset(fence.begin, 0xFF, size)  # NaN
        Fenced.scratch += 1
        return make(fence.begin, Owner(fence))

    called = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)(allocate)
    address = ctypes.cast(called, ctypes.c_void_p).value
    for name in ("NRT_MemInfo_alloc_aligned", "NRT_MemInfo_alloc_safe_aligned"):
        llvmlite.binding.add_symbol(name, address)
    return called


def writes_behind(x, y):
    for i in prange(x.size):
        y[i] = x[i]
    y[x.size - 1] = x[0]
    _simd.store_some(_simd.load_some(x, 0, 1), y, x.size, 1)


def reads_behind(x, y):
    for i in prange(x.size):
        y[i] = _simd.pointer(x, 1)[i]


def reads_before(x, y):
    for i in prange(x.size):
        y[i] = _simd.pointer(x, -1)[i]


def indexes_behind(x, y):
    for i in prange(x.size):
        y[i] = x[i + 1]


def writes_far_behind(x, y):
    for i in prange(x.size):
        y[i] = x[i]
        _simd.store_some(_simd.load_some(x, i, 1), y, 10_000 + i, 1)


def writes_behind_scratch(x, y):
    for i in prange(x.size):
        room = np.zeros(8, np.float32)
        _simd.store_some(_simd.load_some(x, i, 1), room, 8, 1)
        y[i] = room[0]


def trusts_new_memory(x, y):
    for i in prange(x.size):
        room = np.empty(8, np.float32)
        y[i] = x[i] + room[0]


def leaves_one_out(x, y):
    for i in prange(x.size - 1):
        y[i] = x[i]


def right(x, y):
    for i in prange(x.size):
        room = np.zeros(8, np.float32)
        room[7] = x[i]
        y[i] = room[7]


PLANTED = (
    writes_behind,
    reads_behind,
    reads_before,
    indexes_behind,
    writes_far_behind,
    writes_behind_scratch,
    trusts_new_memory,
    leaves_one_out,
    right,
)


def _run_planted(kernel):
    y = np.full(37, np.nan, np.float32)
    kernel(np.ones(37, np.float32), y)
    assert (y == 1).all(), "a wrong number"
    return [y]


def cases(which):
    """Yield names and calls."""
    planted = {each.__name__: each for each in PLANTED}
    if which in planted:
        kernel = _jit.kernel(planted[which])
        yield which, functools.partial(_run_planted, kernel)
        return
    import checks_every_kernel

    turn = int(_cache.sources_hash()[:8], 16)
    for number, (name, call) in enumerate(
        checks_every_kernel.every_case(which in ("short", "sixth"))
    ):
        if which in ("all", "short", name) or (which == "sixth" and (number + turn) % 6 == 0):
            yield name, call


def main(at_end, which):
    """Run cases; compare what they write with what they write without fences."""
    faulthandler.enable()
    kept = fence_scratch(at_end)
    _jit.SMALL = 2**62 if config.BOUNDSCHECK else 0
    planted = [each.__name__ for each in PLANTED]
    for name, call in cases(which):
        print(name, flush=True)
        expected = call() if which not in planted else [np.ones(37, np.float32)]
        fence_arguments(at_end)
        found = call()
        del _compiler.Kernel.__call__
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, want, name)
        assert not Fenced.trespasses, f"{name} wrote beside an array"
    del kept
    print(Fenced.made, Fenced.scratch)


if __name__ == "__main__":
    assert not config.DISABLE_JIT
    main(sys.argv[1] == "end", sys.argv[2])
