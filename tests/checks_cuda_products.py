"""NumPy in place of products by tiles, for tests of what stands around them.

In the simulator a barrier costs a millisecond, and products by tiles wait at hundreds of them.
"""

import numpy as np

from numcnn.kernels.cuda import _cuda


def _where(first, *steps):
    """Return the offsets of a matrix's numbers, for counts and steps of each axis."""
    found = np.array(first)
    for count, step in steps:
        found = np.add.outer(found, np.arange(count) * step)
    return found


def by_numpy(tile, tensor_cores, factors, sizes, slices, parts):
    """Write the slices of each product as `_product.multiply` does."""
    assert not tensor_cores
    a, b, bias = (_cuda.to_host(factor) for factor in factors)
    assert not bias.size
    for part in range(slices):
        begin = part * sizes.slice
        depth = min(sizes.slice, sizes.depth - begin)
        across = (sizes.matrices, sizes.a_matrix), (sizes.rows, sizes.a_row), (depth, sizes.a_depth)
        left = a[_where(begin * sizes.a_depth, *across)]
        down = (sizes.matrices, sizes.b_matrix), (depth, sizes.b_depth)
        right = b[_where(begin * sizes.b_depth, *down, (sizes.columns, sizes.b_column))]
        found = (left @ right).reshape(-1)
        parts[part * found.size : (part + 1) * found.size].copy_to_device(found)
