"""The gradient of a convolution's weights by tiles: a product whose long side is the sum.

    dweight[co, k] = sum over p of dy[co, p] * seen[k, p]

with taps k = (ci, kh, kw), positions p = (n, oh, ow) and the pixel ``seen`` under tap k at position
p. A block owns up to 128 filters at 128 taps, for one slice of the positions; a thread owns 8 of
each. Neighbouring threads copy neighbouring positions, of dy and of x; each finds out by two
divisions per piece where its position lies, and by the table of ``_taps.py`` where each tap is.
Numbers of the loops and the order of shared memory are those of ``_correlation.py``.
"""

import functools
from typing import NamedTuple

import numpy as np

from . import _tiles
from ._cuda import cuda, device, kernel
from ._intrinsics import copy, copy_async, shared_floats, wait_for_copies


class Sizes(NamedTuple):
    """The numbers of a launch, all int."""

    rows: int  # filters of a group
    columns: int  # taps of a filter
    positions: int  # N * OH * OW
    slice: int  # positions of a slice
    groups: int
    across: int  # OW
    inside: int  # OH * OW
    channels: int  # of dy
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    height: int  # of x
    width: int
    picture: int  # numbers from a picture of x to the next
    group: int  # from a group's channels of x to the next


def _writer(arithmetic):
    """Return what writes the numbers of a thread to their places in a slice and group."""
    own_rows, own_columns = arithmetic.own_rows, arithmetic.own_columns
    row_of, column_of, shift = arithmetic.row_of, arithmetic.column_of, arithmetic.shift

    @device
    def write(sums, thread, first_row, first_column, part, sizes, parts):
        for j in range(own_columns):
            column = first_column + column_of(thread, j)
            for i in range(own_rows):
                row = first_row + row_of(thread, i)
                if column < sizes.columns and row < sizes.rows:
                    filters = part * sizes.rows + row
                    parts[filters * sizes.columns + column] = sums[i * own_columns]
            shift(sums)

    return write


@functools.cache
def weight_gradient(tile, tensor_cores, asynchronous):  # noqa: PLR0915 (the kernel is inside)
    """Return the kernel for a tile, an arithmetic and a way of copying."""
    arithmetic = (_tiles.tensor if tensor_cores else _tiles.plain)(tile)
    left_size, right_size, operand, padding = arithmetic[2:6]
    multiply, write = arithmetic.multiply, _writer(arithmetic)
    rows, columns, depth = tile[:3]
    a_line, b_line = rows + padding, columns + padding
    stage = depth * (a_line + b_line)
    shared_memory = shared_floats(2 * stage)
    send = copy_async if asynchronous else copy
    sums_size = tile.own_rows * tile.own_columns
    step = tile.threads // depth
    a_copies, b_copies = rows // step, columns // step
    zero = np.float32(0)

    @kernel(registers=255, threads=tile.threads)
    def run(dy, x, taps, sizes, parts):
        shared = shared_memory()
        left = cuda.local.array(left_size, operand)
        right = cuda.local.array(right_size, operand)
        sums = cuda.local.array(sums_size, np.float32)
        for i in range(sums_size):
            sums[i] = zero
        thread = cuda.threadIdx.x
        group, part = cuda.blockIdx.z % sizes.groups, cuda.blockIdx.z // sizes.groups
        first_row, first_column = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns
        start = part * sizes.slice
        left_over = sizes.positions - start
        count = sizes.slice if sizes.slice < left_over else left_over

        # this thread copies position k of each piece: of filters and taps line, line + step ...
        k, line = thread % depth, thread // depth
        pieces = -(-count // depth)
        for piece in range(pieces + 1):
            if piece < pieces:
                at = piece % 2 * stage
                here = piece * depth + k < count
                p = start + piece * depth + k
                n, rest = p // sizes.inside, p % sizes.inside
                oh, ow = rest // sizes.across, rest % sizes.across
                channel = n * sizes.channels + group * sizes.rows + first_row + line
                origin = channel * sizes.inside + rest
                for i in range(a_copies):
                    row = line + i * step
                    wanted = here and first_row + row < sizes.rows
                    to = at + k * a_line + row
                    send(shared, to, dy, origin + i * step * sizes.inside, wanted)
                top, edge = (
                    oh * sizes.stride_h - sizes.pad_top,
                    ow * sizes.stride_w - sizes.pad_left,
                )
                corner = n * sizes.picture + group * sizes.group + top * sizes.width + edge
                for i in range(b_copies):
                    column = line + i * step
                    tap = first_column + column
                    known = tap < sizes.columns
                    tap = tap if known else 0
                    down, along = top + taps[tap, 1], edge + taps[tap, 2]
                    inside = 0 <= down < sizes.height and 0 <= along < sizes.width
                    to = at + depth * a_line + k * b_line + column
                    send(shared, to, x, corner + taps[tap, 0], here and known and inside)
            if piece > 0:
                at = (piece - 1) % 2 * stage
                multiply(shared, at, at + depth * a_line, thread, left, right, sums)
            if asynchronous:
                wait_for_copies()
            cuda.syncthreads()

        write(sums, thread, first_row, first_column, part * sizes.groups + group, sizes, parts)

    return run
