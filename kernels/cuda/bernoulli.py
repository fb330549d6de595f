"""Random decisions, the loop of ``reference/bernoulli.py`` with one thread per number.

A thread encrypts its own counter and takes one of the four words: arithmetic costs a GPU less than
threads that wait for each other's numbers. Every output array is overwritten.
"""

import numpy as np

from ._cuda import cuda, device, kernel, launch
from ._recording import changing

BLOCK = 256
LOW = np.uint64(2**32 - 1)
HALF = np.uint64(32)
FACTOR0, FACTOR1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP0, STEP1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
ROUNDS = 10


def bernoulli_forward(key0, key1, call, limit, kept, mask):
    """Write mask[i] = kept, or 0 where the word of i is below limit."""
    given = changing(_given, np.uint64, key0, key1, call, limit)
    launch(_decide, mask.size, given, mask.dtype.type(kept), mask)


def _given(number, *given):
    return tuple(map(number, given))


@device
def _word(counter, which, call, key0, key1):
    a, b, c, d = counter & LOW, counter >> HALF, call & LOW, call >> HALF
    for _ in range(ROUNDS):
        first = FACTOR0 * a
        second = FACTOR1 * c
        a = (second >> HALF) ^ b ^ key0
        b = second & LOW
        c = (first >> HALF) ^ d ^ key1
        d = first & LOW
        key0 = (key0 + STEP0) & LOW
        key1 = (key1 + STEP1) & LOW
    low = a if which == 0 else b
    high = c if which == 2 else d
    return low if which < 2 else high


@kernel
def _decide(given, kept, mask):
    i = cuda.grid(1)
    if i < mask.size:
        key0, key1, call, limit = given[0], given[1], given[2], given[3]
        block = i // (4 * BLOCK)
        place = i % (4 * BLOCK)
        counter = np.uint64(block * BLOCK + place % BLOCK)
        word = _word(counter, place // BLOCK, call, key0, key1)
        mask[i] = mask.dtype.type(0) if word < limit else kept
