"""Convolution by Winograd's algorithm: for 3×3 taps 4 times fewer multiplications.

What it does to the loops: a tile of 4×4 outputs takes 4·4·9 = 144 multiplications for each pair
(ci, co) in the loops of ``conv2d_loops.py``. Here 6×6 inputs d, and the 3×3 weights g, are first
turned by small fixed matrices; then 36 products give the same 16 outputs:

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

The turning costs additions, but a turned input serves every co and a turned weight every tile.
What remains is, for each of the 36 positions, a product of matrices: tiles × ci by ci × co.
(Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.) Such is F(4×4, 3×3).
With r×r taps the same 6×6 inputs give m×m outputs, m = 7 - r, and only A and G change: F(3×3, 4×4)
takes 4 times, F(2×2, 5×5) 2.8 times fewer multiplications than the loops.

- forward: a thread owns a block of tiles: it turns their inputs, and then, for SPAN output channels
  at a time, multiplies and turns back. Pictures lie channels last, so that one instruction turns a
  vector of channels (``_winograd.py``). What is turned stays in the cache; its 36 parts lie one
  vector further apart than they need, since at distances of a power of two they would all compete
  for the same few lines of it.
- backward_input: a convolution of dy with the weights turned by 180° and ci, co exchanged.
- backward_weight: the transpose of each step, in ``_winograd_gradient.py``.

Float32; stride and dilation 1, one group. Other convolutions are passed on to
``conv2d_direct.py``. What it costs: rounding errors about twice those of the loops, since the
matrices hold numbers from 0.1 to 3.4, and relative to the largest number of a tile, not to each
output. A NaN or an infinity makes NaN of its whole tile. What it bought: docs/performance.md.
"""

import numpy as np
from numba.core import config

from . import _simd, conv2d_direct
from ._jit import helper, kernel, prange
from ._order import as_last, put_last, room_last
from ._winograd import shown, tile_at, tiles_of, turn_input, turn_output
from ._winograd_gradient import weight_gradient
from ._winograd_weights import turned_weights

WIDTH = _simd.WIDTH
LINE = _simd.LINE
TAPS = (3, 4, 5)
ROWS = 6 if WIDTH == 8 else 12
SPAN = 2 * WIDTH
TURNED = 1 << 16  # numbers of a block of turned tiles, at most, beyond ROWS tiles
LEAST_TASKS = 8
HEAVY = 1 << 15  # weights that, turned, don't stay in the cache
HEAVY_ROWS = 3 * ROWS


def serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
    """Return whether this algorithm computes such a convolution itself."""
    steps = (stride_h, stride_w, dilation_h, dilation_w, groups)
    square = weight.shape[2] == weight.shape[3] and weight.shape[2] in TAPS
    return weight.dtype == np.float32 and square and steps == (1,) * 5


def _tasks_of(total, channels, spans):
    """Return how many tiles make a block, and in how many shares a block's outputs are computed.

    Turned tiles should stay in the cache. But weights that don't are read anew for each block, so
    then a block is large, and threads share its output channels.
    """
    fitting = TURNED // (36 * channels) // ROWS * ROWS
    least = HEAVY_ROWS if channels * spans * SPAN >= HEAVY else ROWS
    many = _simd.round_up(-(-total // LEAST_TASKS), ROWS)
    size = max(least, min(fitting, many))
    return size, max(1, min(spans, LEAST_TASKS * size // max(1, total)))


# ---- forward, and the gradient of the input ---------------------------------------------------


def _multiply_by(columns):
    """Return the helper that multiplies ROWS turned tiles by `columns` vectors of weights."""
    span = columns * WIDTH

    @helper
    def multiply(turned, stride, channels, weight, product):
        """product[t, co] = sum over ci of turned[t, ci] * weight[ci, co]."""
        tile = _simd.zeros(ROWS, columns)
        for ci in range(channels):
            tile = _simd.multiply_add(tile, turned, ci, stride, weight, ci * span)
        _simd.store(tile, product, 0, SPAN)

    return multiply


_by_two = _multiply_by(2)
_by_one = _multiply_by(1)


@helper
def _finish(y, to, across, down, outputs, bias, relu):
    """Add the bias to a tile of outputs, and if `relu` put 0 where that is negative."""
    for i in range(outputs):
        for j in range(outputs):
            at = to + i * down + j * across
            value = _simd.plus(_simd.load(y, at), bias, 1)
            if relu:
                value = _simd.positive(value)
            _simd.store(value, y, at, 0)


@helper
def _turn_product(product, step, span, outputs, half, out, bias, relu, place, sizes, co, y):
    """Write the outputs of one tile: y[n, oh + i, ow + j, co...] = Aᵀ m A + bias."""
    n, oh, ow = place
    height, width, filters = sizes
    inside = oh + outputs <= height and ow + outputs <= width and co + span <= filters
    base = ((n * height + oh) * width + ow) * filters + co
    for c in range(0, span, WIDTH):
        if inside:
            target, to, down, across = y, base + c, width * filters, filters
        else:
            target, to, down, across = out, 0, outputs * WIDTH, WIDTH
        turn_output(outputs, product, c, 6 * step, step, half, target, to, down, across)
        _finish(target, to, across, down, outputs, _simd.load(bias, co + c), relu)
        if not inside:
            for i in range(min(outputs, height - oh)):
                for j in range(min(outputs, width - ow)):
                    for lane in range(min(WIDTH, filters - co - c)):
                        to = base + (i * width + j) * filters + c + lane
                        y[to] = out[(i * outputs + j) * WIDTH + lane]


@kernel
def _forward(source, on, masked, weight, bias, relu, corner, tiles, size, shares, y):
    """Write y; a thread owns blocks of `size` tiles, or one of the shares of their channels.

    tiles is (rows and columns of a picture's tiles, outputs in a row of a tile).
    """
    top, left = corner
    tiles_h, tiles_w, outputs = tiles
    pictures, height, width, filters = y.shape
    sizes = source.shape[1], source.shape[2], source.shape[3]
    channels = (source.shape[3] + WIDTH - 1) // WIDTH * WIDTH
    padded = (filters + WIDTH - 1) // WIDTH * WIDTH
    total = pictures * tiles_h * tiles_w
    step = size * channels + WIDTH
    product_step = size * SPAN + WIDTH
    spans = (padded + SPAN - 1) // SPAN
    for task in prange((total + size - 1) // size * shares):
        # one piece of memory for all that this block needs between input and output
        room = np.empty(
            36 * (step + product_step + channels + WIDTH) + 52 * WIDTH + LINE, np.float32
        )
        turned = _simd.align(_simd.pointer(room, 0))
        product = _simd.pointer(turned, 36 * step)
        patch = _simd.pointer(product, 36 * product_step)
        scratch = _simd.pointer(patch, 36 * channels)
        half = _simd.pointer(scratch, 36 * WIDTH)
        out = _simd.pointer(half, 36 * WIDTH)
        share = task % shares
        first = task // shares * size
        count = min(size, total - first)
        numbers, mask = _simd.pointer(source, 0), _simd.pointer(on, 0)
        factors, shift, target = (
            _simd.pointer(weight, 0),
            _simd.pointer(bias, 0),
            _simd.pointer(y, 0),
        )
        for t in range(count):
            place = tile_at(first + t, tiles, top, left)
            tile, down = shown(numbers, mask, masked, sizes, place, 6, patch)
            for c in range(0, channels, WIDTH):
                to = t * channels + c
                turn_input(tile, c, down, channels, scratch, turned, to, 6 * step, step)
        for each in range(share * spans // shares, (share + 1) * spans // shares):
            co = each * SPAN
            span = min(SPAN, padded - co)
            for position in range(36):
                block = 36 * (co * channels + each * WIDTH)
                taps = _simd.pointer(factors, block + position * (channels * span + WIDTH))
                for t in range(0, count, ROWS):
                    row = _simd.pointer(turned, position * step + t * channels)
                    to = _simd.pointer(product, position * product_step + t * SPAN)
                    if span > WIDTH:
                        _by_two(row, channels, channels, taps, to)
                    else:
                        _by_one(row, channels, channels, taps, to)
            for t in range(count):
                place = tile_at(first + t, tiles, 0, 0)
                own = _simd.pointer(product, t * SPAN)
                shape = height, width, filters
                _turn_product(
                    own,
                    product_step,
                    span,
                    outputs,
                    half,
                    out,
                    shift,
                    relu,
                    place,
                    shape,
                    co,
                    target,
                )
        _simd.hold(room)


def convolve(x, on, weight, bias, relu, geometry, y):
    """Write y = bias + x * weight, and if `relu` 0 where that is negative.

    x and y are (N, C, H, W) in either order. Where `on` is given, x counts as 0 wherever `on`
    isn't positive.
    """
    _, _, pad_top, pad_left, *_ = geometry
    turned = turned_weights(weight, False)
    _convolve(x, on, turned, weight.shape[2], bias, relu, pad_top, pad_left, y)


def _convolve(x, on, turned, taps, bias, relu, pad_top, pad_left, y):
    tiles = tiles_of(y, taps)
    source, room = as_last(x), room_last(y)
    masked = on is not None
    mask = (as_last(on) if masked else source).reshape(-1)
    deep, spans = _simd.round_up(x.shape[1], WIDTH), -(-y.shape[1] // SPAN)
    size, shares = _tasks_of(y.shape[0] * tiles[0] * tiles[1], deep, spans)
    shift = np.zeros(_simd.round_up(bias.size, WIDTH), np.float32)
    shift[: bias.size] = bias
    corner = -pad_top, -pad_left
    _forward(source, mask, masked, turned, shift, relu, corner, tiles, size, shares, room)
    put_last(room, y)


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns blocks of tiles."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_forward(x, weight, bias, *geometry, y)
    convolve(x, None, weight, bias, False, (1, 1, pad_top, pad_left, 1, 1, 1), y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns blocks of its tiles."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_backward_input(dy, weight, *geometry, dx)
    input_gradient(dy, None, weight, (1, 1, pad_top, pad_left, 1, 1, 1), dx)


def input_gradient(dy, on, weight, geometry, dx):
    """Write dx from dy, which counts as 0 wherever `on`, if given, isn't positive."""
    _, _, pad_top, pad_left, *_ = geometry
    zeros = np.zeros(dx.shape[1], np.float32)
    taps = weight.shape[2]
    pads = taps - 1 - pad_top, taps - 1 - pad_left
    _convolve(dy, on, turned_weights(weight, True), taps, zeros, False, *pads, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the sums of one position of all tiles."""
    if not serves(dweight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_backward_weight(dy, x, *geometry, dweight)
    weight_gradient(dy, None, x, (1, 1, pad_top, pad_left, 1, 1, 1), dweight)


if config.DISABLE_JIT:  # vector registers exist in compiled code only
    conv2d_forward = conv2d_direct.conv2d_forward
    conv2d_backward_input = conv2d_direct.conv2d_backward_input
    conv2d_backward_weight = conv2d_direct.conv2d_backward_weight
