"""A shadow of the CPU floor: its loops in plain Python, with a note of who reads and writes what.

The sources of the kernels are taken as they are, but ``prange`` notes which iteration runs, arrays
lie in an arena that remembers for every byte which iteration wrote or read it last, and vector
registers (`_simd`) are NumPy arrays (checks_shadow_simd.py). Two iterations that touch one byte,
at least one of them writing, are a race, wherever the threads are. An index that is negative, or
beyond an array or what a pointer points to, is an error.

``install()`` must run before anything imports ``numcnn.kernels.cpu``, in a process of its own.
"""

import functools
import importlib
import importlib.util
import sys
import types
from pathlib import Path

import checks_memory
import numpy as np

WORDS = 1 << 26  # of 4 bytes, the unit in which notes are kept
MANY = 2**31 - 1  # stands for several iterations that read a word
CPU = "numcnn.kernels.cpu"


class Race(AssertionError):
    """Two iterations of a ``prange`` touch the same memory."""


class Recorder:
    """The arena, and which iteration touched each word of it last.

    Iterations are numbered through all loops, so that older notes need not be deleted; `now` is 0
    outside a loop. Within a loop the numbers rise: who isn't `now` is less.
    """

    def __init__(self):
        self.arena = np.zeros(WORDS, np.uint32)
        self.origin = self.arena.ctypes.data
        self.wrote = np.zeros(WORDS, np.int32)
        self.read_by = np.zeros(WORDS, np.int32)
        self.last_write = memoryview(self.wrote)  # single numbers come faster out of these
        self.last_read = memoryview(self.read_by)
        self.kernels = set()
        self.count = 0
        self.enter("nowhere")

    def enter(self, where):
        """Forget all arrays, and note which kernel runs."""
        self.top = 16
        self.now = self.first = 0
        self.where = where

    # ---- memory ---------------------------------------------------------------------------------

    def allocate(self, size):
        """Return so many bytes of the arena, which no array of this kernel had before."""
        begin, self.top = self.top, self.top + (size + 127) // 64 * 16
        if self.top > WORDS:
            raise MemoryError("the case is too large for the shadow's arena")
        return self.arena[begin : self.top].view(np.uint8)[:size]

    def new(self, shape, dtype=float, value=None):
        """Return a new array, like `numpy.full`; without a value it holds NaN or -77."""
        dtype = np.dtype(dtype)
        shape = (int(shape),) if np.ndim(shape) == 0 else tuple(shape)
        room = self.allocate(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        array = room.view(dtype).reshape(shape)
        array[...] = {"f": np.nan, "i": -77}.get(dtype.kind, 77) if value is None else value
        return array.view(Watched)

    # ---- loops ----------------------------------------------------------------------------------

    def prange(self, *bounds):
        """Yield the numbers of a range, each as an iteration of its own."""
        if self.now:
            raise Race(f"{self.where}: a prange inside a prange")
        self.first = self.count + 1
        before = self.arena[: self.top].copy()
        try:
            for i in range(*(int(bound) for bound in bounds)):
                self.count += 1
                self.now = self.count
                yield i
        finally:
            self.now = 0
            self.read_by[: self.top] = 0
        changed = self.arena[: before.size] != before
        unseen = (changed & (self.wrote[: before.size] < self.first)).sum()
        if unseen:
            raise AssertionError(f"{self.where}: {unseen} words were written without a note")

    def race(self, number, done):
        """Raise an error that names the loop and both iterations."""
        other = "several" if number == MANY else f"number {number - self.first}"
        raise Race(f"{self.where}: iteration {self.now - self.first} {done} iteration {other}")

    def read(self, places):
        """Note that words are read; `places` is a slice or an array of indices."""
        if not self.now:
            return
        wrote = self.wrote[places]
        others = (wrote >= self.first) & (wrote != self.now)
        if others.any():
            self.race(wrote[others][0], "reads what was written by")
        before = self.read_by[places]
        others = (before >= self.first) & (before != self.now)
        self.read_by[places] = np.where(others, MANY, self.now)

    def write(self, places):
        """Note that words are written."""
        if not self.now:
            return
        for notes, done in ((self.wrote, "written"), (self.read_by, "read")):
            last = notes[places]
            others = (last >= self.first) & (last != self.now)
            if others.any():
                self.race(last[others][0], f"writes what was {done} by")
        self.wrote[places] = self.now

    def read_one(self, place):
        """Note that the word at `place` is read."""
        if not self.now:
            return
        if self.first <= self.last_write[place] != self.now:
            self.race(self.last_write[place], "reads what was written by")
        before = self.last_read[place]
        self.last_read[place] = MANY if self.first <= before != self.now else self.now

    def write_one(self, place):
        """Note that the word at `place` is written."""
        if not self.now:
            return
        if self.first <= self.last_write[place] != self.now:
            self.race(self.last_write[place], "writes what was written by")
        if self.first <= self.last_read[place] != self.now:
            self.race(self.last_read[place], "writes what was read by")
        self.last_write[place] = self.now


RECORDER = Recorder()


class Watched(np.ndarray):
    """An array of the arena, whose reads and writes are noted."""

    def plain(self):
        """Return the array without its notes."""
        known = self.__dict__
        if "_plain" not in known:
            first = self.__array_interface__["data"][0] - RECORDER.origin
            if not 0 <= first <= 4 * WORDS or self.itemsize not in (4, 8):
                raise AssertionError(f"{RECORDER.where}: an array that can't be watched")
            known["_first"] = first // 4
            known["_steps"] = [stride // 4 for stride in self.strides]
            known["_plain"] = self.view(np.ndarray)
        return known["_plain"]

    def places(self):
        """Return the words of the array, as a slice or indices into the arena."""
        plain = self.plain()
        words = self.itemsize // 4
        if plain.flags.c_contiguous:
            return slice(self._first, self._first + plain.size * words)
        offsets = np.arange(words)
        for size, step in zip(reversed(self.shape), reversed(self._steps), strict=True):
            offsets = (np.arange(size) * step).reshape(-1, *[1] * offsets.ndim) + offsets
        return self._first + offsets.ravel()

    def _place(self, key):
        """Return the first word of one number; refuse indices that count from the end."""
        self.plain()
        place = self._first
        keys = key if type(key) is tuple else (key,)
        for index, size, step in zip(keys, self.shape, self._steps, strict=True):
            if not 0 <= index < size:
                raise IndexError(f"{RECORDER.where}: index {index} of an axis of {size}")
            place += int(index) * step
        return place

    def _is_number(self, key):
        if type(key) is tuple:
            return len(key) == self.ndim and all(isinstance(k, INTEGERS) for k in key)
        return self.ndim == 1 and isinstance(key, INTEGERS)

    def __getitem__(self, key):
        if self._is_number(key):
            place = self._place(key)
            for word in range(self.itemsize // 4):
                RECORDER.read_one(place + word)
            return self._plain[key]
        found = super().__getitem__(key)
        if found.size and found.base is None:
            raise AssertionError(f"{RECORDER.where}: a copy by index, which isn't noted")
        return found

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def copy(self, order="C"):
        """Return a copy, which isn't watched: it belongs to the iteration."""
        return _read(self).copy(order)

    def __setitem__(self, key, value):
        if isinstance(value, Watched):
            value = _read(value)
        if self._is_number(key):
            place = self._place(key)
            for word in range(self.itemsize // 4):
                RECORDER.write_one(place + word)
        else:
            RECORDER.write(super().__getitem__(key).places())
        self.plain()[key] = value

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **rest):
        if out is not None:
            for each in out:
                if isinstance(each, Watched):
                    RECORDER.write(each.places())
            rest["out"] = tuple(each.plain() if isinstance(each, Watched) else each for each in out)
        found = getattr(ufunc, method)(*map(_read, inputs), **rest)
        return found if out is None else out[0]

    def __array_function__(self, function, kinds, args, kwargs):
        if "out" in kwargs:
            raise AssertionError(f"{RECORDER.where}: {function.__name__}(out=) isn't noted")
        return function(*map(_read, args), **{name: _read(each) for name, each in kwargs.items()})


INTEGERS = (int, np.integer)


def _read(each):
    """Note that an array is read as a whole; return it without its notes."""
    if not isinstance(each, Watched):
        return each
    RECORDER.read(each.places())
    return each.plain()


# ---- what stands in for kernels/cpu/_jit.py -----------------------------------------------------


def kernel(function):
    """Stand in for the decorator: run the function itself, on arrays of the arena."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
    ALL_KERNELS.add(name)

    @functools.wraps(function)
    def call(*args):
        RECORDER.enter(name)
        RECORDER.kernels.add(name)
        given, bring_back = checks_memory.move(args, RECORDER.allocate)
        given = [each.view(Watched) if isinstance(each, np.ndarray) else each for each in given]
        before = np.empty, np.zeros, np.full
        np.empty = RECORDER.new
        np.zeros = functools.partial(RECORDER.new, value=0)
        np.full = lambda shape, value, dtype=float: RECORDER.new(shape, dtype, value)
        try:
            with np.errstate(all="ignore"):
                function(*given)
        finally:
            np.empty, np.zeros, np.full = before
        bring_back()

    call.py_func = function
    return call


def helper(function):
    """Stand in for the decorator of what kernels call."""
    function.py_func = function
    return function


ALL_KERNELS: set[str] = set()


def install():
    """Let ``import numcnn.kernels.cpu`` bring the shadow instead of the compiled floor."""
    import checks_shadow_simd
    import numba
    from numba.core import config

    spec = importlib.util.find_spec("numcnn.kernels")
    assert CPU not in sys.modules, "the compiled floor has been imported already"
    folder = spec.submodule_search_locations[0]
    own = importlib.util.spec_from_file_location(
        CPU, f"{folder}/cpu/__init__.py", submodule_search_locations=[f"{folder}/cpu"]
    )
    package = importlib.util.module_from_spec(own)
    sys.modules[CPU] = package
    jit = types.ModuleType(f"{CPU}._jit")
    jit.kernel = jit.exact_kernel = kernel
    jit.helper = helper
    jit.prange = RECORDER.prange
    jit.SMALL = 0
    sys.modules[jit.__name__] = package._jit = jit
    simd = importlib.import_module(f"{CPU}._simd")
    checks_shadow_simd.replace(simd)
    config.DISABLE_JIT = 1  # `_lanes` has vectors of its own for that
    importlib.import_module(f"{CPU}._lanes")
    config.DISABLE_JIT = 0
    numba.get_num_threads = lambda: 4  # products of matrices are cut into so many parts
    own.loader.exec_module(package)
    for path in sorted(Path(folder, "cpu").glob("*.py")):  # what is asked for by name alone, too
        importlib.import_module(f"{CPU}.{path.stem}")
