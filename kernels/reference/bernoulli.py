"""Random decisions: every number of a mask is `kept`, or with a given probability 0.

mask is 1-D. The decision about number i depends on i, on a key of two 32-bit numbers and on a call
number below 2**64, on nothing else: not on the order in which numbers are visited, nor on who
visits them. Where a generator goes from one state to the next, all this would have to be in
order; here it *encrypts* a counter, and every counter can be encrypted by itself (Salmon, Moraes,
Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011; their Philox4x32-10).

Four 32-bit numbers, the counter and the call in two halves each, go through ten rounds. A round
multiplies the first and third by a constant, so that each becomes 64 bits, a high and a low half;
the high halves meet the other two numbers and the key by exclusive or, and all change places. The
key grows by constants from round to round. What comes out are four words that pass as uniform.

BLOCK counters in a row decide about 4 * BLOCK numbers: their first words about the first BLOCK,
their second words about the next, and so on (so a vector of words meets a vector of numbers).
A number is dropped where its word is below `limit`: with probability ``limit / 2**32``.
"""

BLOCK = 256
LOW = 2**32 - 1
FACTORS = (0xD2511F53, 0xCD9E8D57)
STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, in units of 2**-32
ROUNDS = 10


def philox(counter, call, key0, key1):
    """Return the four words of a counter."""
    a, b, c, d = counter & LOW, counter >> 32, call & LOW, call >> 32
    for _ in range(ROUNDS):
        first, second = FACTORS[0] * a, FACTORS[1] * c
        a, b = (second >> 32) ^ b ^ key0, second & LOW
        c, d = (first >> 32) ^ d ^ key1, first & LOW
        key0, key1 = (key0 + STEPS[0]) & LOW, (key1 + STEPS[1]) & LOW
    return a, b, c, d


def bernoulli_forward(key0, key1, call, limit, kept, mask):
    """Write mask[i] = kept, or 0 where the word of i is below limit (which is below 2**32)."""
    for i in range(mask.shape[0]):
        block, place = i // (4 * BLOCK), i % (4 * BLOCK)
        words = philox(block * BLOCK + place % BLOCK, call, key0, key1)
        mask[i] = 0 if words[place // BLOCK] < limit else kept
