"""Random decisions, the loops of ``reference/bernoulli.py`` on every core.

A thread owns blocks of 4 * BLOCK numbers. All numbers are 64 bits wide, since products are; what
stands above the low half is cut off before the next product, and costs nothing. The ten rounds are
written as five calls of two: the compiler makes vectors of counters only where no loop stands
inside the loop over counters.
"""

import numpy as np

from ._jit import helper, kernel, prange

BLOCK = 256
LOW = np.uint64(2**32 - 1)
HALF = np.uint64(32)
FACTOR0, FACTOR1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP0, STEP1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@helper
def _two_rounds(a, b, c, d, key0, key1):
    first, second = FACTOR0 * (a & LOW), FACTOR1 * (c & LOW)
    a, b, c, d = (second >> HALF) ^ b ^ key0, second, (first >> HALF) ^ d ^ key1, first
    key0, key1 = key0 + STEP0, key1 + STEP1
    first, second = FACTOR0 * (a & LOW), FACTOR1 * (c & LOW)
    return (second >> HALF) ^ b ^ key0, second, (first >> HALF) ^ d ^ key1, first


@helper
def _draw(begin, call, key0, key1, words0, words1, words2, words3):
    """Write the words of BLOCK counters from `begin` on."""
    by0, by1 = STEP0 + STEP0, STEP1 + STEP1
    for i in range(words0.size):
        counter = begin + np.uint64(i)
        a, b, c, d = counter, counter >> HALF, call, call >> HALF
        a, b, c, d = _two_rounds(a, b, c, d, key0, key1)
        a, b, c, d = _two_rounds(a, b, c, d, key0 + by0, key1 + by1)
        two0, two1 = key0 + by0 + by0, key1 + by1 + by1
        a, b, c, d = _two_rounds(a, b, c, d, two0, two1)
        a, b, c, d = _two_rounds(a, b, c, d, two0 + by0, two1 + by1)
        a, b, c, d = _two_rounds(a, b, c, d, two0 + by0 + by0, two1 + by1 + by1)
        words0[i] = a & LOW
        words1[i] = b & LOW
        words2[i] = c & LOW
        words3[i] = d & LOW


@helper
def _decide(words, limit, kept, mask):
    zero = mask.dtype.type(0)
    for i in range(mask.size):
        mask[i] = zero if words[i] < limit else kept


@kernel
def bernoulli_forward(key0, key1, call, limit, kept, mask):
    """Write mask[i] = kept, or 0 where the word of i is below limit; a thread owns blocks."""
    number = mask.dtype.type(kept)
    least = np.uint32(limit)
    for block in prange((mask.size + 4 * BLOCK - 1) // (4 * BLOCK)):
        words = np.empty((4, BLOCK), np.uint32)
        begin = np.uint64(block * BLOCK)
        own = np.uint64(call), np.uint64(key0), np.uint64(key1)
        _draw(begin, own[0], own[1], own[2], words[0], words[1], words[2], words[3])
        first = block * 4 * BLOCK
        _decide(words.reshape(-1), least, number, mask[first : first + 4 * BLOCK])
