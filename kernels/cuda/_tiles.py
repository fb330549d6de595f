"""How a block of threads multiplies two matrices: by tiles in shared memory and in registers.

C = A B with A (M, K) and B (K, N). Read as it stands, each number of A is fetched N times from
memory. So a block takes a tile of C, ``rows`` by ``columns``, and walks along K in pieces of
``depth``: it copies a piece of A and one of B to shared memory, where all its threads read them,
and memory is asked only once per tile. From shared memory a thread in turn reads a few numbers of
each into registers and multiplies every one with every other: it owns a small tile of C of its
own, and one read serves several products. Meanwhile the next piece is on its way to the other
half of shared memory.

Which numbers of C a thread owns, ``row_of(thread, i)`` and ``column_of(thread, j)`` say:

``plain``
    float32 as it is. A thread owns ``own_rows`` by ``own_columns`` in squares of 4 by 4, so that
    it reads four neighbours at once; the squares lie apart so that neighbouring threads read
    neighbouring squares.
``tensor``
    Tensor cores: the 32 threads of a warp own a part of the tile together, put together of pieces
    of 16 by 8 as ``mma_tf32`` of ``_intrinsics.py`` lays them out. They multiply numbers rounded
    to TF32 (10 binary digits) and add up in float32.

In shared memory a piece lies as ``A[k, row]`` and ``B[k, column]``, its lines some numbers longer
than they need to be: else the threads of a warp, which read from several lines at once, would
wait for one another at the same memory bank.
"""

from typing import NamedTuple

import numpy as np

from ._cuda import IS_NVIDIAS, SIMULATED, device
from ._intrinsics import WARP, columns_up, load4, mma_tf32, round_tf32


class Tile(NamedTuple):
    """Sizes of what a block and a thread own; tests take tiny ones."""

    rows: int
    columns: int
    depth: int
    own_rows: int
    own_columns: int

    @property
    def threads(self):
        """Return how many threads a block has."""
        return self.rows * self.columns // (self.own_rows * self.own_columns)


def serve(dtype):
    """Return whether products by tiles serve numbers of a type here.

    They need numba-cuda, which compiles what ``_intrinsics.py`` asks for. In the simulator a
    barrier costs milliseconds: there the loops are chosen, and tests ask for tiles by name.
    """
    return dtype == np.float32 and IS_NVIDIAS and not SIMULATED


def need(algorithm):
    """Raise a ValueError where an algorithm was asked for by name that can't be compiled."""
    if not IS_NVIDIAS:
        raise ValueError(
            f"{algorithm} needs NVIDIA's numba-cuda: pip install 'numcnn[cuda13]' (or "
            "'numcnn[cuda12]' where nvidia-smi shows CUDA 12), or take algorithm=\"auto\""
        )


def choose(rows, tensor_cores):
    """Return the tile for a product with so many rows: few rows must not fill a large tile."""
    depth = 16 if tensor_cores else 8
    if rows <= 32:
        return Tile(32, 128, depth, 4, 8)
    return Tile(64 if rows <= 64 else 128, 128, depth, 8, 8)


class Arithmetic(NamedTuple):
    """How the threads of a block share out a tile, and multiply."""

    own_rows: int
    own_columns: int
    left: int  # numbers of A that a thread holds in registers
    right: int  # numbers of B
    operand: type  # of those
    padding: int  # of a line in shared memory
    multiply: object  # (shared, a, b, thread, left, right, sums): add the product of two pieces
    row_of: object
    column_of: object
    shift: object  # (sums): move each column into the place of the one before


def plain(tile):
    """Return float32 arithmetic for a tile."""
    rows, columns, depth, own_rows, own_columns = tile
    padding = 4
    a_line, b_line = rows + padding, columns + padding
    across = columns // own_columns
    row_step, column_step = rows * 4 // own_rows, columns * 4 // own_columns

    @device
    def multiply(shared, a, b, thread, left, right, sums):
        first_row, first_column = thread // across * 4, thread % across * 4
        for k in range(depth):
            for i in range(0, own_rows, 4):
                four = load4(shared, a + k * a_line + i // 4 * row_step + first_row)
                left[i], left[i + 1], left[i + 2], left[i + 3] = four
            for j in range(0, own_columns, 4):
                four = load4(shared, b + k * b_line + j // 4 * column_step + first_column)
                right[j], right[j + 1], right[j + 2], right[j + 3] = four
            for i in range(own_rows):
                for j in range(own_columns):
                    sums[i * own_columns + j] += left[i] * right[j]

    @device
    def row_of(thread, i):
        return i // 4 * row_step + thread // across * 4 + i % 4

    @device
    def column_of(thread, j):
        return j // 4 * column_step + thread % across * 4 + j % 4

    return Arithmetic(
        *(own_rows, own_columns, own_rows, own_columns, np.float32, padding),
        *(multiply, row_of, column_of, columns_up(own_rows, own_columns)),
    )


def tensor(tile):
    """Return TF32 arithmetic for a tile."""
    rows, columns, depth = tile[:3]
    padding = 8
    a_line, b_line = rows + padding, columns + padding
    warp_rows = min(64, rows)
    warps_down = rows // warp_rows
    warp_columns = columns * warps_down * WARP // tile.threads
    across = columns // warp_columns
    pieces_down, pieces_across = warp_rows // 16, warp_columns // 8
    own_columns = 2 * pieces_across

    @device
    def multiply(shared, a, b, thread, left, right, sums):
        warp, g, t = thread // WARP, thread % WARP // 4, thread % 4
        first_a = a + t * a_line + warp // across * warp_rows + g
        first_b = b + t * b_line + warp % across * warp_columns + g
        for k in range(0, depth, 8):
            for i in range(pieces_down):
                at = first_a + k * a_line + i * 16
                left[4 * i] = round_tf32(shared[at])
                left[4 * i + 1] = round_tf32(shared[at + 8])
                left[4 * i + 2] = round_tf32(shared[at + 4 * a_line])
                left[4 * i + 3] = round_tf32(shared[at + 4 * a_line + 8])
            for j in range(pieces_across):
                at = first_b + k * b_line + j * 8
                right[2 * j] = round_tf32(shared[at])
                right[2 * j + 1] = round_tf32(shared[at + 4 * b_line])
            for i in range(pieces_down):
                for j in range(pieces_across):
                    up = 2 * i * own_columns + 2 * j
                    down = up + own_columns
                    d = mma_tf32(
                        left[4 * i],
                        left[4 * i + 1],
                        left[4 * i + 2],
                        left[4 * i + 3],
                        right[2 * j],
                        right[2 * j + 1],
                        sums[up],
                        sums[up + 1],
                        sums[down],
                        sums[down + 1],
                    )
                    sums[up], sums[up + 1], sums[down], sums[down + 1] = d

    @device
    def row_of(thread, i):
        return thread // WARP // across * warp_rows + i // 2 * 16 + i % 2 * 8 + thread % WARP // 4

    @device
    def column_of(thread, j):
        return thread // WARP % across * warp_columns + j // 2 * 8 + thread % 4 * 2 + j % 2

    return Arithmetic(
        *(2 * pieces_down, own_columns, 4 * pieces_down, 2 * pieces_across, np.uint32, padding),
        *(multiply, row_of, column_of, columns_up(2 * pieces_down, own_columns)),
    )
