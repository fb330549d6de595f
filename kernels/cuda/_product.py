"""A product of two matrices by tiles: C[m, n] = sum over k of A[m, k] * B[k, n].

A block owns a tile of C for one slice of the sum, a thread up to 8 rows at 8 columns of it;
``_tiles.py`` tells how. Neighbouring threads copy numbers that are neighbours in memory: along k
where a matrix lies so (``a_deep``, ``b_deep``), else along its rows or columns.

One launch makes as many products of the same size as there are ``matrices``, one behind the other
in memory. A block's third number says which of them it works on, and at which slice.
"""

import functools
from typing import NamedTuple

import numpy as np

from . import _precision, _tiles
from ._cuda import cuda, device, kernel, launch_blocks
from ._intrinsics import copy, copy_async, shared_floats, wait_for_copies


class Sizes(NamedTuple):
    """The numbers of a launch, all int."""

    rows: int  # M
    columns: int  # N
    depth: int  # K
    slice: int  # of K
    a_row: int  # from A[m, k] to A[m + 1, k] in memory
    a_depth: int  # to A[m, k + 1]
    b_depth: int  # from B[k, n] to B[k + 1, n]
    b_column: int  # to B[k, n + 1]
    matrices: int = 1
    a_matrix: int = 0  # from one product's A to the next's
    b_matrix: int = 0


def _writer(arithmetic):
    """Return what writes the numbers of a thread to their places in a slice."""
    own_rows, own_columns = arithmetic.own_rows, arithmetic.own_columns
    row_of, column_of, shift = arithmetic.row_of, arithmetic.column_of, arithmetic.shift

    @device
    def write(sums, thread, first_row, first_column, bias, sizes, parts):
        for j in range(own_columns):
            n = first_column + column_of(thread, j)
            for i in range(own_rows):
                m = first_row + row_of(thread, i)
                if n < sizes.columns and m < sizes.rows:
                    total = sums[i * own_columns]
                    if bias.size > 0:
                        total += bias[n]
                    parts[(cuda.blockIdx.z * sizes.rows + m) * sizes.columns + n] = total
            shift(sums)

    return write


def multiply(tile, tensor_cores, factors, sizes, slices, parts):
    """Write the slices of each product, parts[slice, matrix, m, n].

    factors is (A, B, bias); bias (N,) is added to every slice, and may be empty.
    """
    a, b, bias = (factor.reshape(-1) for factor in factors)
    deep = sizes.a_depth == 1, sizes.b_depth == 1
    launch_blocks(
        product(tile, tensor_cores, _precision.copies_run_ahead(), *deep),
        (-(-sizes.columns // tile.columns), -(-sizes.rows // tile.rows), slices * sizes.matrices),
        tile.threads,
        *(a, b, bias, sizes, parts),
    )


@functools.cache
def product(tile, tensor_cores, asynchronous, a_deep, b_deep):  # noqa: PLR0915
    """Return the kernel for a tile, an arithmetic, a way of copying and of lying in memory."""
    arithmetic = (_tiles.tensor if tensor_cores else _tiles.plain)(tile)
    left_size, right_size, operand, padding = arithmetic[2:6]
    multiply, write = arithmetic.multiply, _writer(arithmetic)
    rows, columns, depth = tile[:3]
    threads = tile.threads
    a_line, b_line = rows + padding, columns + padding
    stage = depth * (a_line + b_line)
    shared_memory = shared_floats(2 * stage)
    send = copy_async if asynchronous else copy
    sums_size = tile.own_rows * tile.own_columns
    a_copies, b_copies = rows * depth // threads, columns * depth // threads
    # from one copy of a thread to its next: lines along k, or rows and columns
    a_step = (0, threads // depth) if a_deep else (threads // rows, 0)
    b_step = (0, threads // depth) if b_deep else (threads // columns, 0)
    a_k_step, a_row_step = a_step
    b_k_step, b_column_step = b_step
    zero = np.float32(0)

    @kernel(registers=255, threads=tile.threads)
    def run(a, b, bias, sizes, parts):
        shared = shared_memory()
        left = cuda.local.array(left_size, operand)
        right = cuda.local.array(right_size, operand)
        sums = cuda.local.array(sums_size, np.float32)
        for i in range(sums_size):
            sums[i] = zero
        thread = cuda.threadIdx.x
        first_row, first_column = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns
        matrix, part = cuda.blockIdx.z % sizes.matrices, cuda.blockIdx.z // sizes.matrices
        a_first, b_first = matrix * sizes.a_matrix, matrix * sizes.b_matrix
        start = part * sizes.slice
        end = start + sizes.slice if start + sizes.slice < sizes.depth else sizes.depth
        a_k, a_line_of = (
            (thread % depth, thread // depth) if a_deep else (thread // rows, thread % rows)
        )
        b_k, b_line_of = (
            (thread % depth, thread // depth) if b_deep else (thread // columns, thread % columns)
        )

        pieces = -(-(end - start) // depth)
        for piece in range(pieces + 1):
            if piece < pieces:
                at = piece % 2 * stage
                for i in range(a_copies):
                    k, row = a_k + i * a_k_step, a_line_of + i * a_row_step
                    deep, m = start + piece * depth + k, first_row + row
                    wanted = deep < end and m < sizes.rows
                    origin = a_first + m * sizes.a_row + deep * sizes.a_depth
                    send(shared, at + k * a_line + row, a, origin, wanted)
                for i in range(b_copies):
                    k, column = b_k + i * b_k_step, b_line_of + i * b_column_step
                    deep, n = start + piece * depth + k, first_column + column
                    wanted = deep < end and n < sizes.columns
                    origin = b_first + deep * sizes.b_depth + n * sizes.b_column
                    send(shared, at + depth * a_line + k * b_line + column, b, origin, wanted)
            if piece > 0:
                at = (piece - 1) % 2 * stage
                multiply(shared, at, at + depth * a_line, thread, left, right, sums)
            if asynchronous:
                wait_for_copies()
            cuda.syncthreads()

        write(sums, thread, first_row, first_column, bias, sizes, parts)

    return run
