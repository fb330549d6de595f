"""The most that this GPU can multiply and add in float32: the yardstick of the benchmarks.

Each thread keeps eight sums in registers and does nothing but feed them. No sum waits for another,
so the arithmetic units always have something to do; nothing is read, and one number is written.
"""

import numpy as np

from . import _cuda
from ._cuda import cuda, kernel, launch_blocks
from ._memory import empty

THREADS = 64 if _cuda.SIMULATED else 256
FLOP = 2 * 8  # of one round of one thread


def multiply_add(blocks, rounds):
    """Have every thread do so many rounds; return (how many operations that were, the sums)."""
    sums = empty((blocks * THREADS,), np.float32)
    launch_blocks(_fill, blocks, THREADS, rounds, np.float32(0.5), sums)
    return blocks * THREADS * FLOP * rounds, sums


@kernel
def _fill(rounds, factor, sums):
    i = cuda.grid(1)
    one = np.float32(1)
    a, b, c, d = factor, factor + one, factor - one, -factor
    e, f, g, h = one, one + one, -one, one + factor
    for _ in range(rounds):
        a, b, c, d = a * factor + one, b * factor + one, c * factor + one, d * factor + one
        e, f, g, h = e * factor + one, f * factor + one, g * factor + one, h * factor + one
    sums[i] = (a + b) + (c + d) + ((e + f) + (g + h))
