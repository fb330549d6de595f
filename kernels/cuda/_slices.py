"""Long sums in slices: several blocks add up a part each, and a second launch adds the parts.

A product of matrices with a small result and a long sum has few tiles, so few blocks, and most of
the GPU would idle. How many slices there are depends on the sizes alone, not on the GPU, and they
are added up in their order: the same input gives the same bits on every GPU of a kind.
"""

from ._cuda import cuda, kernel, launch

ENOUGH_BLOCKS = 512  # a few for each multiprocessor of a large GPU
LEAST_PIECES = 16  # walked by a block: fewer don't pay for writing and reading the parts


def slices_for(tiles, depth, piece):
    """Return how many slices a sum of `depth` terms has, and the terms of each."""
    pieces = -(-depth // piece)
    slices = max(1, min(ENOUGH_BLOCKS // max(1, tiles), pieces // LEAST_PIECES))
    length = -(-pieces // slices) * piece
    return max(1, -(-depth // length)) if length else 1, length


def add_slices(parts, slices, bias, total):
    """Write total, flat: the parts added up, and the bias of its row or column.

    bias (B,) is repeated along total; it may be empty.
    """
    launch(_add, total.size, parts, slices, bias, total)


@kernel
def _add(parts, slices, bias, total):
    i = cuda.grid(1)
    if i < total.size:
        found = parts[i]
        for s in range(1, slices):
            found += parts[s * total.size + i]
        if bias.size > 0:
            found += bias[i % bias.size]
        total[i] = found
