"""One kernel for y = x * w and for the gradient of x: a correlation by tiles.

Write the taps of a filter in one line, ``k = (ci, kh, kw)``, and the outputs of all pictures in
another, ``p = (n, oh, ow)``. Then convolution is a product of matrices::

    y[co, p] = sum over k of weight[co, k] * seen[k, p]

where ``seen[k, p]`` is the pixel under tap k when the filter stands at p. That matrix would be
KH * KW times as large as x and is never written: a block copies the pieces that it needs straight
from x to shared memory, tile by tile as ``_tiles.py`` tells. A block owns some filters at some
positions, a thread of it the few that ``row_of`` and ``column_of`` name.

Finding the pixel under tap k asks for divisions, and the inner loop has no time for any. So the
geometry is worked out beforehand, once for all steps of a training, in a table with a line for
each tap (``_taps.py``): how far it lies from the filter's corner, as an offset in memory and as a
number of rows and columns, by which a thread sees whether it falls into the padding.

``places`` are the numbers that don't change in a launch, in the order of ``Places``. Positions
number ``q = (n, qh, qw)``; at one of them the filter's corner lies at pixel
``qh * step_h + start_h``, and what it gives goes to ``qh * out_step_h + out_start_h`` of y; with
``relu``, as 0 unless it is positive or NaN.
"""

import functools
from typing import NamedTuple

import numpy as np

from . import _tiles
from ._cuda import cuda, device, kernel
from ._intrinsics import copy, copy_async, shared_floats, wait_for_copies
from ._taps import OUTSIDE


class Places(NamedTuple):
    """The numbers of a launch, all int."""

    rows: int  # filters of a group
    depth: int  # taps of a filter
    positions: int  # N * QH * QW
    across: int  # QW
    inside: int  # QH * QW
    step_h: int
    step_w: int
    start_h: int
    start_w: int
    height: int  # of x
    width: int
    picture: int  # numbers from a picture of x to the next
    group: int  # from a group's channels of x to the next
    weight_row: int  # from a filter's weights to the next's
    weight_group: int
    out_picture: int
    out_channel: int
    out_width: int
    out_step_h: int
    out_step_w: int
    out_start_h: int
    out_start_w: int


def _writer(arithmetic):
    """Return what writes the numbers of a thread to their places in y."""
    own_rows, own_columns = arithmetic.own_rows, arithmetic.own_columns
    row_of, column_of, shift = arithmetic.row_of, arithmetic.column_of, arithmetic.shift
    zero = np.float32(0)

    @device
    def write(sums, thread, first_row, first_column, group, bias, relu, places, y):
        for j in range(own_columns):
            q = first_column + column_of(thread, j)
            n, qh, qw = q // places.inside, q % places.inside // places.across, q % places.across
            line = qh * places.out_step_h + places.out_start_h
            pixel = n * places.out_picture + line * places.out_width
            pixel += qw * places.out_step_w + places.out_start_w
            for i in range(own_rows):
                row = first_row + row_of(thread, i)
                if q < places.positions and row < places.rows:
                    channel = group * places.rows + row
                    total = sums[i * own_columns]
                    if bias.size > 0:
                        total += bias[channel]
                    if relu and total <= zero:
                        total = zero
                    y[pixel + channel * places.out_channel] = total
            shift(sums)

    return write


@functools.cache
def correlation(tile, tensor_cores, asynchronous):  # noqa: PLR0915 (the kernel is inside)
    """Return the kernel for a tile, an arithmetic and a way of copying."""
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
    a_copies, a_step = rows * depth // threads, threads // depth
    b_copies, b_step = columns * depth // threads, threads // columns
    zero = np.float32(0)

    @kernel(registers=255, threads=tile.threads)
    def run(x, weight, bias, relu, taps, places, y):
        shared = shared_memory()
        left = cuda.local.array(left_size, operand)
        right = cuda.local.array(right_size, operand)
        sums = cuda.local.array(sums_size, np.float32)
        for i in range(sums_size):
            sums[i] = zero
        thread = cuda.threadIdx.x
        group = cuda.blockIdx.z
        first_row, first_column = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns

        # this thread copies tap a_k of filters a_row, a_row + a_step ..., and taps b_k,
        # b_k + b_step ... of the position b_column
        a_k, a_row = thread % depth, thread // depth
        b_column, b_k = thread % columns, thread // columns
        a_from = group * places.weight_group + (first_row + a_row) * places.weight_row
        q = first_column + b_column
        n, qh, qw = q // places.inside, q % places.inside // places.across, q % places.across
        top, edge = qh * places.step_h + places.start_h, qw * places.step_w + places.start_w
        b_from = n * places.picture + group * places.group + top * places.width + edge
        if q >= places.positions:
            top = OUTSIDE

        pieces = -(-places.depth // depth)
        for piece in range(pieces + 1):
            if piece < pieces:
                at = piece % 2 * stage
                k = piece * depth + a_k
                offset = taps[k, 3]
                for i in range(a_copies):
                    row = a_row + i * a_step
                    wanted = first_row + row < places.rows and k < places.depth
                    origin = a_from + i * a_step * places.weight_row + offset
                    send(shared, at + a_k * a_line + row, weight, origin, wanted)
                for i in range(b_copies):
                    line = b_k + i * b_step
                    k = piece * depth + line
                    down, right_by = top + taps[k, 1], edge + taps[k, 2]
                    wanted = 0 <= down < places.height and 0 <= right_by < places.width
                    to = at + depth * a_line + line * b_line + b_column
                    send(shared, to, x, b_from + taps[k, 0], wanted)
            if piece > 0:
                at = (piece - 1) % 2 * stage
                multiply(shared, at, at + depth * a_line, thread, left, right, sums)
            if asynchronous:
                wait_for_copies()
            cuda.syncthreads()

        write(sums, thread, first_row, first_column, group, bias, relu, places, y)

    return run
