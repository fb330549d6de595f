"""The most that this machine's processors can multiply and add: the yardstick of the benchmarks."""

import numpy as np
from numba.core import config

from . import _simd
from ._jit import helper, kernel, prange

ROWS = _simd.ROWS
COLUMNS = _simd.COLUMNS
SPAN = _simd.SPAN
TASKS = 64  # many more than threads, so that a thread that was held up delays nobody
FLOP = 2 * ROWS * SPAN  # of one round: a product and a sum for each number of the tile


@helper
def _multiply_add(numbers, vectors, rounds, sums, at):
    """Feed a register tile from the first-level cache, `rounds` times."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for r in range(rounds):
        place = r % 16
        tile = _simd.multiply_add(tile, numbers, place * ROWS, 1, vectors, place * SPAN)
    _simd.store(tile, sums, at, SPAN)


@kernel
def _fill_tiles(numbers, vectors, rounds, sums):
    size = ROWS * SPAN
    for task in prange(TASKS):
        _multiply_add(numbers, vectors, rounds, sums, task * size)


def multiply_add(rounds):
    """Run `rounds` rounds of multiply-adds in every task; return how many operations that were.

    Raises
    ------
    RuntimeError
        Where compiling is off: there are no registers to fill.
    """
    if config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT=1 is set; without compiling there is no peak")
    numbers = np.full(16 * ROWS, 0.5, np.float32)
    vectors = np.ones(16 * SPAN, np.float32)
    sums = np.empty(TASKS * ROWS * SPAN, np.float32)
    _fill_tiles(numbers, vectors, rounds, sums)
    if not (sums == rounds / 2).all():
        raise RuntimeError("the multiply-adds of the peak were not all computed")
    return TASKS * FLOP * rounds
