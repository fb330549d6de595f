"""The launches of Winograd's algorithm that turn: weights, tiles, products and sums.

Everything turned is an array of 36 matrices, one for each position (i, j) of a 6×6 tile. Number
(i, j) of a thread's tile lies at ``(6 i + j) * size + thread``, where ``size`` is how many threads
there are: so neighbouring threads write neighbours in each of their 36 steps, and read neighbours
where they turn back. Tiles run fastest, ``thread = (channel, tile)``; in weights the rows of the
matrix they become, and in sums the input channels.

Pixels can't lie so well. Tiles begin 4 pixels apart, so that neighbouring threads read every
fourth number of a row; the next three of their six steps find the others in the cache, where the
first has brought them. The same holds for writing y.

A thread holds its tile in registers, as `cuda.local.array`: all loops over it have fixed ends, and
the compiler writes them out.
"""

from typing import NamedTuple

import numpy as np

from ._cuda import cuda, device, kernel, launch
from ._winograd import turn_gradient, turn_input, turn_output, turn_sum, turn_weight

POSITIONS = 36
ZERO = np.float32(0)


class Tiles(NamedTuple):
    """The tiles that a launch turns, of all those of a batch, and the pictures they lie in."""

    first: int  # number of the first, counted through all pictures
    count: int
    across: int  # tiles in a row of a picture
    inside: int  # tiles of a picture
    channels: int
    height: int  # of a picture
    width: int
    top: int  # where the first tile of a picture begins; negative in the padding
    left: int


@device
def _place(tile, tiles):
    """Return picture, row and column where a tile begins."""
    number = tiles.first + tile
    rest = number % tiles.inside
    down, along = rest // tiles.across, rest % tiles.across
    return number // tiles.inside, down * 4 + tiles.top, along * 4 + tiles.left


@device
def _corner(channel, place, tiles):
    """Return the offset in memory of the number at a tile's corner, which may lie outside."""
    n, row, column = place
    return ((n * tiles.channels + channel) * tiles.height + row) * tiles.width + column


@device
def _seen(pictures, at, inside):
    """Return a pixel; those outside of the picture are 0."""
    return pictures[at] if inside else ZERO


# ---- to 36 matrices ----------------------------------------------------------------------------


def turn_inputs(x, tiles, turned):
    """Write turned[36, c, t] = Bᵀ d B, d the 6×6 pixels of tile t; a thread owns a tile."""
    launch(_turn_inputs, tiles.channels * tiles.count, x.reshape(-1), tiles, turned)


@kernel(registers=80)
def _turn_inputs(x, tiles, turned):
    thread, size = cuda.grid(1), tiles.channels * tiles.count
    half = cuda.local.array(36, np.float32)
    if thread < size:
        place = _place(thread % tiles.count, tiles)
        corner = _corner(thread // tiles.count, place, tiles)
        _, row, column = place
        for j in range(6):
            shown = 0 <= column + j < tiles.width
            at = corner + j
            d0 = _seen(x, at, shown and 0 <= row < tiles.height)
            d1 = _seen(x, at + tiles.width, shown and 0 <= row + 1 < tiles.height)
            d2 = _seen(x, at + 2 * tiles.width, shown and 0 <= row + 2 < tiles.height)
            d3 = _seen(x, at + 3 * tiles.width, shown and 0 <= row + 3 < tiles.height)
            d4 = _seen(x, at + 4 * tiles.width, shown and 0 <= row + 4 < tiles.height)
            d5 = _seen(x, at + 5 * tiles.width, shown and 0 <= row + 5 < tiles.height)
            six = turn_input(d0, d1, d2, d3, d4, d5)
            half[j], half[6 + j], half[12 + j], half[18 + j], half[24 + j], half[30 + j] = six
        for i in range(6):
            h = 6 * i
            six = turn_input(
                half[h], half[h + 1], half[h + 2], half[h + 3], half[h + 4], half[h + 5]
            )
            _write_six(six, turned, h * size + thread, size)


@device
def _write_six(six, turned, at, size):
    turned[at] = six[0]
    turned[at + size] = six[1]
    turned[at + 2 * size] = six[2]
    turned[at + 3 * size] = six[3]
    turned[at + 4 * size] = six[4]
    turned[at + 5 * size] = six[5]


def turn_gradients(dy, tiles, turned):
    """Write turned[36, co, t] = A dy Aᵀ of the 4×4 numbers of tile t; a thread owns a tile."""
    launch(_turn_gradients, tiles.channels * tiles.count, dy.reshape(-1), tiles, turned)


@kernel
def _turn_gradients(dy, tiles, turned):
    thread, size = cuda.grid(1), tiles.channels * tiles.count
    half = cuda.local.array(24, np.float32)
    if thread < size:
        place = _place(thread % tiles.count, tiles)
        corner = _corner(thread // tiles.count, place, tiles)
        _, row, column = place
        for j in range(4):
            shown = column + j < tiles.width
            at = corner + j
            y0 = _seen(dy, at, shown and row < tiles.height)
            y1 = _seen(dy, at + tiles.width, shown and row + 1 < tiles.height)
            y2 = _seen(dy, at + 2 * tiles.width, shown and row + 2 < tiles.height)
            y3 = _seen(dy, at + 3 * tiles.width, shown and row + 3 < tiles.height)
            six = turn_gradient(y0, y1, y2, y3)
            half[j], half[4 + j], half[8 + j], half[12 + j], half[16 + j], half[20 + j] = six
        for i in range(6):
            h = 4 * i
            six = turn_gradient(half[h], half[h + 1], half[h + 2], half[h + 3])
            _write_six(six, turned, 6 * i * size + thread, size)


def turn_weights(weight, around, turned):
    """Write turned[36, depth, row] = G g Gᵀ of all 3×3 weights; a thread owns one of them.

    Rows are output channels, depth the input channels. For the gradient of the input it is the
    other way `around`, and the 3×3 weights are turned by 180° first.
    """
    filters, channels = weight.shape[:2]
    rows, row, depth, first, tap = filters, channels * 9, 9, 0, 1
    if around:
        rows, row, depth, first, tap = channels, 9, channels * 9, 8, -1
    steps = rows, row, depth, first, tap
    launch(_turn_weights, filters * channels, weight.reshape(-1), steps, turned)


@kernel
def _turn_weights(weight, steps, turned):
    thread, size = cuda.grid(1), weight.size // 9
    rows, row, depth, first, tap = steps
    half = cuda.local.array(18, np.float32)
    if thread < size:
        corner = first + thread % rows * row + thread // rows * depth
        for j in range(3):
            at = corner + j * tap
            six = turn_weight(weight[at], weight[at + 3 * tap], weight[at + 6 * tap])
            half[j], half[3 + j], half[6 + j], half[9 + j], half[12 + j], half[15 + j] = six
        for i in range(6):
            h = 3 * i
            six = turn_weight(half[h], half[h + 1], half[h + 2])
            _write_six(six, turned, 6 * i * size + thread, size)


# ---- and back ----------------------------------------------------------------------------------


def turn_products(products, bias, relu, tiles, y):
    """Write the 4×4 numbers y = Aᵀ m A + bias of each tile of products[36, co, t].

    A thread owns a tile, of which what lies outside of y is left out; bias may be empty. With
    relu, what isn't positive is written as 0, but for NaN.
    """
    size = tiles.channels * tiles.count
    launch(_turn_products, size, products, bias, relu, tiles, y.reshape(-1))


@device
def _cut_off(value, relu):
    return ZERO if relu and value <= ZERO else value


@kernel(registers=80)
def _turn_products(products, bias, relu, tiles, y):
    thread, size = cuda.grid(1), tiles.channels * tiles.count
    half = cuda.local.array(24, np.float32)
    if thread < size:
        channel = thread // tiles.count
        place = _place(thread % tiles.count, tiles)
        corner = _corner(channel, place, tiles)
        _, row, column = place
        shift = bias[channel] if bias.size > 0 else ZERO
        for j in range(6):
            at = j * size + thread
            four = turn_output(
                products[at],
                products[at + 6 * size],
                products[at + 12 * size],
                products[at + 18 * size],
                products[at + 24 * size],
                products[at + 30 * size],
            )
            half[j], half[6 + j], half[12 + j], half[18 + j] = four
        for i in range(4):
            h = 6 * i
            four = turn_output(
                half[h], half[h + 1], half[h + 2], half[h + 3], half[h + 4], half[h + 5]
            )
            if row + i < tiles.height:
                at = corner + i * tiles.width
                y[at] = _cut_off(four[0] + shift, relu)
                if column + 1 < tiles.width:
                    y[at + 1] = _cut_off(four[1] + shift, relu)
                if column + 2 < tiles.width:
                    y[at + 2] = _cut_off(four[2] + shift, relu)
                if column + 3 < tiles.width:
                    y[at + 3] = _cut_off(four[3] + shift, relu)


def turn_sums(sums, dweight):
    """Write the 3×3 numbers dweight = Gᵀ m G of sums[36, co, ci]; a thread owns nine of them."""
    launch(_turn_sums, dweight.size // 9, sums, dweight.reshape(-1))


@kernel
def _turn_sums(sums, dweight):
    thread, size = cuda.grid(1), dweight.size // 9
    half = cuda.local.array(18, np.float32)
    if thread < size:
        for j in range(6):
            at = j * size + thread
            three = turn_sum(
                sums[at],
                sums[at + 6 * size],
                sums[at + 12 * size],
                sums[at + 18 * size],
                sums[at + 24 * size],
                sums[at + 30 * size],
            )
            half[j], half[6 + j], half[12 + j] = three
        for i in range(3):
            h, to = 6 * i, 9 * thread + 3 * i
            three = turn_sum(
                half[h], half[h + 1], half[h + 2], half[h + 3], half[h + 4], half[h + 5]
            )
            dweight[to], dweight[to + 1], dweight[to + 2] = three
