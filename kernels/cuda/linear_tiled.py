"""Fully connected layer as three products of matrices by tiles. Float32.

The loops of ``reference/linear.py`` are products as they stand: y = x wᵀ, dx = dy w, dw = dyᵀ x.
A block of threads owns a tile of the result, up to 128 by 128, a thread 64 numbers of it; how it
multiplies, ``_tiles.py`` tells. Which of the two indices of a matrix goes on by one in memory
differs from product to product, and with it which numbers neighbouring threads copy. Where the
result is small and the sum long, the sum is cut into slices (``_slices.py``).

Shapes and letters as in the reference; every output array is overwritten.
"""

from . import _precision, _tiles
from ._cuda import scratch
from ._product import Sizes, multiply
from ._slices import add_slices, slices_for
from .linear_loops import linear_backward_bias

__all__ = [
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
]


def linear_forward(x, weight, bias, y):
    """Write y = x wᵀ + b; both matrices go on along ci."""
    depth = x.shape[1]
    _multiply(x, (depth, 1), weight, (1, depth), bias, depth, y)


def linear_backward_input(dy, weight, dx):
    """Write dx = dy w: dy goes on along co, the sum, and w along ci, a column."""
    depth = dy.shape[1]
    _multiply(dy, (depth, 1), weight, (dx.shape[1], 1), None, depth, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dw = dyᵀ x: neither goes on along n, the sum."""
    filters, channels = dweight.shape
    _multiply(dy, (1, filters), x, (channels, 1), None, dy.shape[0], dweight)


def _multiply(a, a_steps, b, b_steps, bias, depth, c):
    """Write c = A B + bias; steps are how far apart in memory neighbours are, by row and column."""
    tensor_cores = _precision.tensor_cores()
    rows, columns = c.shape
    tile = _tiles.choose(rows, tensor_cores)
    down, across = -(-rows // tile.rows), -(-columns // tile.columns)
    slices, length = slices_for(down * across, depth, tile.depth)
    (a_row, a_depth), (b_depth, b_column) = a_steps, b_steps
    sizes = Sizes(rows, columns, depth, length, a_row, a_depth, b_depth, b_column)
    total = c.reshape(-1)
    nothing = total[:0]
    bias = nothing if bias is None else bias
    parts = scratch("slices of a sum", slices * c.size, c.dtype) if slices > 1 else total
    factors = a, b, bias if slices == 1 else nothing
    multiply(tile, tensor_cores, factors, sizes, slices, parts)
    if slices > 1:
        add_slices(parts, slices, bias, total)
