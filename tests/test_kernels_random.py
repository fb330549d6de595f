"""Random decisions: the published words, the same on every floor, and as often as asked for."""

import numpy as np
import pytest
from checks_kernels import Out, assert_equal, both_dtypes

from numcnn.kernels import cpu
from numcnn.kernels.reference.bernoulli import BLOCK, philox

# Random123, tests/kat_vectors, "philox4x32 10": counter of four words, key of two, what comes out
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
KEY = 0xA4093822, 0x299F31D0
CALL = 3 * 2**40 + 7  # both halves of the number are used


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED)
def test_the_words_are_the_published_ones(counter, key, expected):
    low, high, call_low, call_high = counter
    assert philox(low + (high << 32), call_low + (call_high << 32), *key) == expected


@both_dtypes
@pytest.mark.parametrize("size", [0, 1, BLOCK, 4 * BLOCK - 1, 4 * BLOCK, 9 * BLOCK + 5])
@pytest.mark.parametrize("limit", [0, 1 << 20, 3**19, 2**31, 2**32 - 1])
def test_the_compiled_loops_decide_alike(limit, size, dtype):
    assert_equal("bernoulli_forward", (*KEY, CALL, limit, 1.25, Out((size,))), dtype)


def decide(size, key=KEY, call=0, limit=2**31):
    mask = np.full(size, np.nan, np.float32)
    cpu.bernoulli_forward(*key, call, limit, 1.0, mask)
    return mask


def test_the_limit_is_met_to_the_last_bit():
    # Among the first words of many calls some are met exactly: at its own word a number is kept,
    # one unit higher it is dropped.
    for call in range(8):
        (word, *_) = philox(0, call, *KEY)
        assert decide(1, call=call, limit=word) == [1]
        assert decide(1, call=call, limit=word + 1) == [0]


def test_a_decision_does_not_depend_on_how_many_there_are():
    longest = decide(50_000)
    for size in (1, 1000, 1025, 20_011):
        np.testing.assert_array_equal(decide(size), longest[:size])


@pytest.mark.parametrize("p", [0.01, 0.25, 0.5, 0.9])
def test_decisions_are_as_frequent_as_asked_for_and_know_nothing_of_each_other(p):
    """A mean of n decisions deviates by √(p q / n), that of products of two by less than √(1 / n).

    Neighbours, numbers decided by the same counter (BLOCK apart), and those of the next call, of
    another key and of the counter's next block are compared.
    """
    n = 400_000
    limit = round(p * 2**32)
    kept = decide(n, limit=limit)
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    centred = (kept - kept.mean(dtype=np.float64)) / np.sqrt(p * (1 - p))
    others = [
        *(np.roll(kept, shift) for shift in (1, 2, BLOCK, 2 * BLOCK, 4 * BLOCK)),
        decide(n, call=1, limit=limit),
        decide(n, call=1 << 32, limit=limit),
        decide(n, key=(KEY[0] + 1, KEY[1]), limit=limit),
        decide(n, key=(KEY[0], KEY[1] + 1), limit=limit),
    ]
    for other in others:
        again = (other - other.mean(dtype=np.float64)) / np.sqrt(p * (1 - p))
        assert abs((centred * again).mean()) < 5 / np.sqrt(n)


# ---- threads (tests/test_kernels_threads.py) ------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    return {
        f"bernoulli_forward, {size}": (
            "bernoulli_forward",
            (*KEY, CALL, 3**19, 1.25, Out((size,))),
        )
        for size in (37, 9001)
    }
