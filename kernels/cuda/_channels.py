"""A block of threads walks through one channel of a batch (N, C, S), and adds it up.

Thread t of T takes the numbers t, t + T, t + 2 T ... of the channel, counted through all pictures.
``first_of`` and ``next_of`` turn that count into picture n and pixel s; only the first asks for the
division by S that a count costs, since every step is the same.
"""

import numpy as np

from ._cuda import WHOLE_BLOCK, cuda, device, kernel, launch_blocks
from ._intrinsics import block_sum


@device
def first_of(thread, pixels):
    """Return picture and pixel at which a thread begins."""
    if pixels == 0:
        return 2**40, 0  # beyond every picture: there is nothing to do
    return thread // pixels, thread % pixels


@device
def next_of(n, s, threads, pixels):
    """Return picture and pixel, so many threads further on."""
    n, s = n + threads // pixels, s + threads % pixels
    if s >= pixels:
        return n + 1, s - pixels
    return n, s


def channel_sums(dy, dbias):
    """Write dbias[c] = sum over n, s of dy[n, c, s]; a block owns one channel."""
    launch_blocks(_add_up, dbias.size, WHOLE_BLOCK, dy, dbias)


@kernel(double=True)
def _add_up(dy, dbias):
    c, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    own = np.float64(0)
    n, s = first_of(thread, dy.shape[2])
    while n < dy.shape[0]:
        own += dy[n, c, s]
        n, s = next_of(n, s, threads, dy.shape[2])
    total = block_sum(own)
    if thread == 0:
        dbias[c] = total
