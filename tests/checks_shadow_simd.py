"""Vector registers in plain Python: every piece of ``kernels/cpu/_simd.py`` as NumPy arithmetic.

A tile of rows × columns vectors is an array (rows, columns * WIDTH). A pointer knows the array that
it points into, so that nothing beside it can be read or written.
"""

import numpy as np
from checks_shadow import RECORDER, Watched


class Pointer:
    """A place in an array."""

    __slots__ = ("at", "first", "plain", "words")

    def __init__(self, array, at):
        if isinstance(array, Pointer):
            self.plain, self.first, self.words = array.plain, array.first, array.words
            self.at = array.at + int(at)
            return
        watched = isinstance(array, Watched)  # else it is a table that stays as it is
        plain = array.plain() if watched else array
        assert plain.flags.c_contiguous, "a pointer into an array with gaps"
        self.plain, self.at = plain.reshape(-1), int(at)
        self.first, self.words = (array._first, array.itemsize // 4) if watched else (0, 0)

    def _begin(self, at, count=1):
        """Return the place of the number at `at`, if there are `count` of them."""
        begin = self.at + int(at)
        if begin < 0 or begin + count > self.plain.size:
            raise IndexError(
                f"{RECORDER.where}: numbers {begin} to {begin + count - 1} of an array of "
                f"{self.plain.size}"
            )
        return begin

    def _words(self, begin, count):
        return slice(self.first + begin * self.words, self.first + (begin + count) * self.words)

    def __getitem__(self, index):
        begin = self._begin(index)
        for word in range(self.words):
            RECORDER.read_one(self.first + begin * self.words + word)
        return self.plain[begin]

    def __setitem__(self, index, value):
        begin = self._begin(index)
        assert self.words, "a table was written to"
        for word in range(self.words):
            RECORDER.write_one(self.first + begin * self.words + word)
        self.plain[begin] = value

    def take(self, at, count):
        """Return `count` numbers from `at` on."""
        begin = self._begin(at, count)
        RECORDER.read(self._words(begin, count))
        return self.plain[begin : begin + count].copy()

    def put(self, at, values):
        """Write numbers from `at` on."""
        begin = self._begin(at, len(values))
        assert self.words, "a table was written to"
        RECORDER.write(self._words(begin, len(values)))
        self.plain[begin : begin + len(values)] = values

    def pick(self, numbers):
        """Return those of the numbers that stand at these places."""
        places = self.at + np.asarray(numbers)
        self._begin(places.min() - self.at)
        self._begin(places.max() - self.at)
        assert self.words == 1, "not an array of float32"
        RECORDER.read(self.first + places)
        return self.plain[places]


_zeros = np.zeros  # while a kernel runs, np.zeros gives memory of the arena
_width = 16


def pointer(array, at):
    return Pointer(array, at)


def align(start):
    address = start.plain.ctypes.data + start.at * start.plain.itemsize
    return Pointer(start, -address % 64 // start.plain.itemsize)


def hold(array):
    pass


def zeros(rows, columns):
    return _zeros((rows, columns * _width), np.float32)


def _vectors(tile):
    """Return a tile as (rows, columns, lanes)."""
    return tile.reshape(tile.shape[0], -1, _width)


def multiply_add(tile, a, at_a, step_a, b, at_b):
    left, right = Pointer(a, at_a), Pointer(b, at_b).take(0, tile.shape[1])
    return tile + left.pick(np.arange(len(tile)) * step_a)[:, None] * right


def multiply_add_at(tile, a, at_a, starts, first, b, at_b):
    left, right = Pointer(a, at_a), Pointer(b, at_b).take(0, tile.shape[1])
    table = Pointer(starts, first).take(0, len(tile))
    return tile + left.pick(table)[:, None] * right


def multiply_add_lanes(tile, a, at_a, starts, first, b, at_b):
    left, right = Pointer(a, at_a), Pointer(b, at_b).take(0, _width)
    table = Pointer(starts, first)
    return tile + np.stack([left.take(table[i], _width) for i in range(len(tile))]) * right


def multiply_add_rows(tile, a, at_a, step_a, b, at_b, offsets, first):
    left, right, table = Pointer(a, at_a), Pointer(b, at_b), Pointer(offsets, first)
    ours = _vectors(tile)
    rights = np.stack([right.take(table[j], _width) for j in range(ours.shape[1])])
    lefts = np.stack([left.take(i * step_a, _width) for i in range(len(tile))])
    return (ours + lefts[:, None] * rights).reshape(tile.shape)


def store(tile, c, at_c, step_c):
    for i, row in enumerate(tile):
        Pointer(c, at_c + i * step_c).put(0, row)


def store_at(tile, c, at_c, places):
    target = Pointer(c, at_c)
    for row, place in zip(tile, Pointer(places, 0).take(0, len(tile)), strict=True):
        target.put(place, row)


def add_to(tile, c, at_c, step_c):
    for i, row in enumerate(tile):
        target = Pointer(c, at_c + i * step_c)
        target.put(0, target.take(0, row.size) + row)


def add_sums(tile, c, at_c, step_c):
    for i, row in enumerate(_vectors(tile)):
        target = Pointer(c, at_c + i * step_c)
        target.put(0, target.take(0, len(row)) + row.sum(axis=1))


def load(array, at):
    return Pointer(array, at).take(0, _width)[None]


def load_some(array, at, count):
    some = min(max(int(count), 0), _width)
    vector = _zeros((1, _width), np.float32)
    vector[0, :some] = Pointer(array, at).take(0, some) if some else 0
    return vector


def store_some(vector, array, at, count):
    some = min(max(int(count), 0), _width)
    if some:
        Pointer(array, at).put(0, vector[0, :some])


def times(a, factor):
    return a * np.float32(factor)


def plus(a, b, factor):
    return a + np.float32(factor) * b[:1, :_width]


def plus_row(tile, a, at):
    return tile + Pointer(a, at).take(0, tile.shape[1])


def positive(tile):
    return np.where(tile <= 0, np.float32(0), tile)


def where_positive(tile, on):
    return np.where(on <= 0, np.float32(0), tile)


def load_tile(tile, c, at_c, step_c):
    source = Pointer(c, at_c)
    return np.stack([source.take(i * step_c, tile.shape[1]) for i in range(len(tile))])


def prefetch_tile(tile, c, at_c, step_c):
    pass


def load_across(array, at, step):
    source = Pointer(array, at)
    return np.stack([source.take(i * step, 4) for i in range(_width)], axis=1)


def store_across(tile, array, at, step):
    for i in range(_width):
        Pointer(array, at + i * step).put(0, tile[:, i])


def exchange(a):
    return a[:, np.arange(_width) ^ 1]


def merge(a, b):
    return np.where(np.arange(_width) % 2, b, a)


def replace(simd):
    """Put plain Python in the place of the intrinsics of the module `simd`."""
    global _width  # noqa: PLW0603
    _width = simd.WIDTH
    for name, value in list(vars(simd).items()):
        if type(value).__name__ == "_Intrinsic":
            setattr(simd, name, globals()[name])
