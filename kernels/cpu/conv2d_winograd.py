"""3×3 convolution by Winograd's algorithm F(4×4, 3×3): 4 times fewer multiplications.

What it does to the loops: a tile of 4×4 outputs takes 4·4·9 = 144 multiplications for each pair
(ci, co) in the loops of ``conv2d_loops.py``. Here 6×6 inputs d, and the 3×3 weights g, are first
turned by small fixed matrices; then 36 products give the same 16 outputs:

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

The turning costs additions, but a turned input serves every co and a turned weight every tile.
What remains is, for each of the 36 positions, a product of matrices: tiles × ci by ci × co.
(Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.)

- forward: a thread owns a block of tiles. Pictures are first laid out with their channels side by
  side, so that one instruction turns a vector of channels.
- backward_input: a convolution of dy with the weights turned by 180° and ci, co exchanged.
- backward_weight: the transpose of each step. dg = Gᵀ [ Σ (Bᵀ d B) ⊙ (A dy Aᵀ) ] G, summed
  over the tiles before it is turned back. A thread owns the sums of one slice of the tiles; they
  are added up at the end, in order: results don't depend on the number of threads.

Float32; stride and dilation 1, one group. Other convolutions are passed on to
``conv2d_direct.py``. What it costs: rounding errors about twice those of the loops, since the
matrices hold numbers from 0.1 to 3.4, and relative to the largest number of a tile, not to each
output. A NaN or an infinity makes NaN of its whole tile. What it bought: docs/performance.md.
"""

import numpy as np
from numba.core import config

from . import _simd, conv2d_direct
from ._jit import helper, kernel, prange

WIDTH = _simd.WIDTH
ROWS = 6 if WIDTH == 8 else 12
COLUMNS = 2
SPAN = COLUMNS * WIDTH
TILES = 4 * ROWS  # tiles of a block
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 22  # at most so many partial sums (16 MiB)

# The matrices evaluate polynomials at 0, ±P, ±Q and infinity. 1 and 2 would spare two
# multiplications; these numbers cost a third of the rounding errors (and float32 holds them,
# their squares and cubes exactly).
P, Q = 3 / 4, 3 / 2
P2, Q2 = P * P, Q * Q
DIFFERENCE = P2 - Q2
G = np.array(
    [
        [1 / (P2 * Q2), 0, 0],
        [1 / (2 * P2 * DIFFERENCE), 1 / (2 * P * DIFFERENCE), 1 / (2 * DIFFERENCE)],
        [1 / (2 * P2 * DIFFERENCE), -1 / (2 * P * DIFFERENCE), 1 / (2 * DIFFERENCE)],
        [-1 / (2 * Q2 * DIFFERENCE), -1 / (2 * Q * DIFFERENCE), -1 / (2 * DIFFERENCE)],
        [-1 / (2 * Q2 * DIFFERENCE), 1 / (2 * Q * DIFFERENCE), -1 / (2 * DIFFERENCE)],
        [0, 0, 1],
    ]
)
BOTH_AXES = np.kron(G, G)  # G g Gᵀ, for 3×3 weights written as 9 numbers


def serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
    """Return whether this algorithm computes such a convolution itself."""
    steps = (stride_h, stride_w, dilation_h, dilation_w, groups)
    return weight.dtype == np.float32 and weight.shape[2:] == (3, 3) and steps == (1,) * 5


def _turn_weight(weight):
    """Return G g Gᵀ as (36, blocks of co, ci, SPAN), filled up with zeros."""
    filters, channels = weight.shape[:2]
    flat = weight.transpose(2, 3, 1, 0).reshape(9, -1)
    turned = (BOTH_AXES @ flat).reshape(36, channels, filters)
    padded = np.zeros((36, channels, _simd.round_up(filters, SPAN)), np.float32)
    padded[:, :, :filters] = turned
    blocks = padded.reshape(36, channels, -1, SPAN).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks)


def _lay_out(x, height, width, pad_top, pad_left, multiple):
    """Return pictures x (N, C, H, W) as (N, height, width, C), framed with zeros."""
    shape = (x.shape[0], height, width, _simd.round_up(x.shape[1], multiple))
    framed = np.empty(shape, np.float32)
    _frame(x, pad_top, pad_left, framed)
    return framed


@helper
def _lay_row(x, n, ih, pad_left, target):
    """target[j, c] = x[n, c, ih, j - pad_left], zeros where there is no such pixel."""
    channels, height, width = x.shape[1:]
    size = target.shape[1]
    flat, row = x.reshape(-1), target.reshape(-1)
    begin = max(0, pad_left)
    end = min(target.shape[0], pad_left + width)
    for k in range(min(begin, target.shape[0]) * size):
        row[k] = 0
    for k in range(max(end, 0) * size, row.size):
        row[k] = 0
    for j in range(begin, end):
        for c in range(channels, size):
            row[j * size + c] = 0
    whole = channels // WIDTH * WIDTH if end - begin >= 4 else 0
    at = (n * channels * height + ih) * width - pad_left
    for j in range(begin, end, 4):
        j = min(j, end - 4)
        for c in range(0, whole, WIDTH):
            four = _simd.load_across(flat, at + c * height * width + j, height * width)
            _simd.store(four, row, j * size + c, size)
    for j in range(begin, end):
        for c in range(whole, channels):
            row[j * size + c] = flat[at + c * height * width + j]


@kernel
def _frame(x, pad_top, pad_left, framed):
    """framed[n, i, j, c] = x[n, c, i - pad_top, j - pad_left]; a thread owns rows (n, i)."""
    height = x.shape[2]
    rows = framed.shape[1]
    for task in prange(x.shape[0] * rows):
        n = task // rows
        target = framed[n, task % rows]
        ih = task % rows - pad_top
        if 0 <= ih < height:
            _lay_row(x, n, ih, pad_left, target)
        else:
            flat = target.reshape(-1)
            for k in range(flat.size):
                flat[k] = 0


@helper
def _turn_input(source, at, step_i, step_j, target, to, to_i, to_j):
    """Write Bᵀ along one axis: 6 vectors of source give 6 of target, 6 times."""
    for j in range(6):
        d0 = _simd.load(source, at + j * step_j)
        d1 = _simd.load(source, at + j * step_j + step_i)
        d2 = _simd.load(source, at + j * step_j + 2 * step_i)
        d3 = _simd.load(source, at + j * step_j + 3 * step_i)
        d4 = _simd.load(source, at + j * step_j + 4 * step_i)
        d5 = _simd.load(source, at + j * step_j + 5 * step_i)
        even = _simd.plus(d4, d2, -Q2)
        odd = _simd.plus(d3, d1, -Q2)
        even_q = _simd.plus(d4, d2, -P2)
        odd_q = _simd.plus(d3, d1, -P2)
        o = to + j * to_j
        _simd.store(_simd.plus(_simd.plus(d4, d2, -P2 - Q2), d0, P2 * Q2), target, o, 0)
        _simd.store(_simd.plus(even, odd, P), target, o + to_i, 0)
        _simd.store(_simd.plus(even, odd, -P), target, o + 2 * to_i, 0)
        _simd.store(_simd.plus(even_q, odd_q, Q), target, o + 3 * to_i, 0)
        _simd.store(_simd.plus(even_q, odd_q, -Q), target, o + 4 * to_i, 0)
        _simd.store(_simd.plus(_simd.plus(d5, d3, -P2 - Q2), d1, P2 * Q2), target, o + 5 * to_i, 0)


@helper
def _turn_output(source, at, step_i, step_j, count, target, to, to_i, to_j):
    """Write Aᵀ along one axis: 6 vectors of source give 4 of target, `count` times."""
    for j in range(count):
        m0 = _simd.load(source, at + j * step_j)
        m1 = _simd.load(source, at + j * step_j + step_i)
        m2 = _simd.load(source, at + j * step_j + 2 * step_i)
        m3 = _simd.load(source, at + j * step_j + 3 * step_i)
        m4 = _simd.load(source, at + j * step_j + 4 * step_i)
        m5 = _simd.load(source, at + j * step_j + 5 * step_i)
        even = _simd.plus(m1, m2, 1)
        odd = _simd.times(_simd.plus(m1, m2, -1), P)
        even_q = _simd.plus(m3, m4, 1)
        odd_q = _simd.times(_simd.plus(m3, m4, -1), Q)
        o = to + j * to_j
        _simd.store(_simd.plus(_simd.plus(m0, even, 1), even_q, 1), target, o, 0)
        _simd.store(_simd.plus(odd, odd_q, 1), target, o + to_i, 0)
        _simd.store(_simd.plus(_simd.times(even, P2), even_q, Q2), target, o + 2 * to_i, 0)
        _simd.store(_simd.plus(_simd.plus(m5, odd, P2), odd_q, Q2), target, o + 3 * to_i, 0)


@helper
def _turn_gradient(source, at, step_i, step_j, count, target, to, to_i, to_j):
    """Write A along one axis: 4 vectors of source give 6 of target, `count` times."""
    for j in range(count):
        y0 = _simd.load(source, at + j * step_j)
        y1 = _simd.load(source, at + j * step_j + step_i)
        y2 = _simd.load(source, at + j * step_j + 2 * step_i)
        y3 = _simd.load(source, at + j * step_j + 3 * step_i)
        even = _simd.plus(y0, y2, P2)
        odd = _simd.plus(y1, y3, P2)
        even_q = _simd.plus(y0, y2, Q2)
        odd_q = _simd.plus(y1, y3, Q2)
        o = to + j * to_j
        _simd.store(y0, target, o, 0)
        _simd.store(_simd.plus(even, odd, P), target, o + to_i, 0)
        _simd.store(_simd.plus(even, odd, -P), target, o + 2 * to_i, 0)
        _simd.store(_simd.plus(even_q, odd_q, Q), target, o + 3 * to_i, 0)
        _simd.store(_simd.plus(even_q, odd_q, -Q), target, o + 4 * to_i, 0)
        _simd.store(y3, target, o + 5 * to_i, 0)


@helper
def _corner(tile, tiles_h, tiles_w, height, width):
    """Return where tile number `tile` of all pictures begins, in framed pixels."""
    n = tile // (tiles_h * tiles_w)
    ti = tile // tiles_w % tiles_h
    tj = tile % tiles_w
    return (n * height + ti * 4) * width + tj * 4


@helper
def _turn_inputs(framed, tiles_h, tiles_w, first, count, scratch, turned):
    """turned[position, t, ci] = Bᵀ d B of tile first + t."""
    height, width, channels = framed.shape[1:]
    flat = framed.reshape(-1)
    step = TILES * channels
    for t in range(count):
        at = _corner(first + t, tiles_h, tiles_w, height, width) * channels
        for c in range(0, channels, WIDTH):
            row = width * channels
            _turn_input(flat, at + c, row, channels, scratch, 0, 6 * WIDTH, WIDTH)
            to = t * channels + c
            _turn_input(scratch, 0, WIDTH, 6 * WIDTH, turned, to, step, 6 * step)


@helper
def _multiply(turned, row, stride, channels, weight, at, product, to, step):
    """product[t, co] = sum over ci of turned[t, ci] * weight[ci, co]."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for ci in range(channels):
        tile = _simd.multiply_add(tile, turned, row + ci, stride, weight, at + ci * SPAN)
    _simd.store(tile, product, to, step)


@helper
def _put_down(out, padded, tile, tiles_h, tiles_w, bias, y):
    """y[n, co, oh + i, ow + j] = out[i, j, co] + bias[co], for the 4×4 outputs of one tile."""
    filters, height, width = y.shape[1:]
    flat = y.reshape(-1)
    n = tile // (tiles_h * tiles_w)
    oh = tile // tiles_w % tiles_h * 4
    ow = tile % tiles_w * 4
    whole = filters // WIDTH * WIDTH if ow + 4 <= width else 0
    for i in range(min(4, height - oh)):
        row = i * 4 * padded
        at = (n * filters * height + oh + i) * width + ow
        for co in range(0, whole, WIDTH):
            four = _simd.load_tile(_simd.zeros(4, 1), out, row + co, padded)
            four = _simd.plus(four, _simd.load(bias, co), 1)
            _simd.store_across(four, flat, at + co * height * width, height * width)
        for co in range(whole, filters):
            for j in range(min(4, width - ow)):
                flat[at + co * height * width + j] = out[row + j * padded + co] + bias[co]


@kernel
def _forward(framed, weight, bias, tiles_h, tiles_w, y):
    pictures = y.shape[0]
    stride = framed.shape[3]
    blocks, channels = weight.shape[1:3]
    padded = blocks * SPAN
    total = pictures * tiles_h * tiles_w
    for task in prange((total + TILES - 1) // TILES):
        first = task * TILES
        count = min(TILES, total - first)
        scratch = np.empty(36 * WIDTH, np.float32)
        turned = np.empty(36 * TILES * stride, np.float32)
        product = np.empty(36 * TILES * padded, np.float32)
        half = np.empty(24 * padded, np.float32)
        out = np.empty(16 * padded, np.float32)
        factors = weight.reshape(-1)
        _turn_inputs(framed, tiles_h, tiles_w, first, count, scratch, turned)
        for position in range(36):
            for block in range(blocks):
                at = (position * blocks + block) * channels * SPAN
                for t in range(0, count, ROWS):
                    row = position * TILES + t
                    to = row * padded + block * SPAN
                    _multiply(
                        turned, row * stride, stride, channels, factors, at, product, to, padded
                    )
        for t in range(count):
            step = TILES * padded
            for co in range(0, padded, WIDTH):
                at = t * padded + co
                _turn_output(product, at, 6 * step, step, 6, half, co, 6 * padded, padded)
                _turn_output(half, co, padded, 6 * padded, 4, out, co, padded, 4 * padded)
            _put_down(out, padded, first + t, tiles_h, tiles_w, bias, y)


def _convolve(x, weight, bias, pad_top, pad_left, y):
    tiles_h, tiles_w = -(-y.shape[2] // 4), -(-y.shape[3] // 4)
    framed = _lay_out(x, tiles_h * 4 + 2, tiles_w * 4 + 2, pad_top, pad_left, WIDTH)
    _forward(framed, _turn_weight(weight), bias, tiles_h, tiles_w, y)


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns a block of tiles."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_forward(x, weight, bias, *geometry, y)
    _convolve(x, weight, bias, pad_top, pad_left, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns a block of tiles of dx."""
    if not serves(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_backward_input(dy, weight, *geometry, dx)
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    _convolve(dy, turned, np.zeros(dx.shape[1], np.float32), 2 - pad_top, 2 - pad_left, dx)


@helper
def _add_products(left, right, at, to, count, stride, padded, totals, where):
    """totals[ci, co] += sum over t of left[t, ci] * right[t, co]."""
    tile = _simd.load_tile(_simd.zeros(ROWS, COLUMNS), totals, where, padded)
    for t in range(count):
        tile = _simd.multiply_add(tile, left, at + t * stride, 1, right, to + t * padded)
    _simd.store(tile, totals, where, padded)


@kernel
def _backward_weight(framed, gradient, tiles_h, tiles_w, sums):
    slices, _, rows, padded = sums.shape
    stride = framed.shape[3]
    total = framed.shape[0] * tiles_h * tiles_w
    blocks = (total + TILES - 1) // TILES
    for piece in prange(slices):
        totals = sums[piece].reshape(-1)
        scratch = np.empty(36 * WIDTH, np.float32)
        left = np.empty(36 * TILES * stride + ROWS, np.float32)  # rows of sums nobody needs
        right = np.empty(36 * TILES * padded, np.float32)
        flat = gradient.reshape(-1)
        height, width = gradient.shape[1:3]
        for block in range(piece * blocks // slices, (piece + 1) * blocks // slices):
            first = block * TILES
            count = min(TILES, total - first)
            _turn_inputs(framed, tiles_h, tiles_w, first, count, scratch, left)
            for t in range(count):
                at = _corner(first + t, tiles_h, tiles_w, height, width) * padded
                step = TILES * padded
                for co in range(0, padded, WIDTH):
                    _turn_gradient(
                        flat, at + co, width * padded, padded, 4, scratch, 0, 4 * WIDTH, WIDTH
                    )
                    _turn_gradient(
                        scratch, 0, WIDTH, 4 * WIDTH, 6, right, t * padded + co, step, 6 * step
                    )
            for position in range(36):
                for ci in range(0, rows, ROWS):
                    for co in range(0, padded, SPAN):
                        at = position * TILES * stride + ci
                        to = position * TILES * padded + co
                        where = (position * rows + ci) * padded + co
                        _add_products(left, right, at, to, count, stride, padded, totals, where)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the sums of one slice of the tiles."""
    if not serves(dweight, stride_h, stride_w, dilation_h, dilation_w, groups):
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_direct.conv2d_backward_weight(dy, x, *geometry, dweight)
    filters, channels = dweight.shape[:2]
    tiles_h, tiles_w = -(-dy.shape[2] // 4), -(-dy.shape[3] // 4)
    framed = _lay_out(x, tiles_h * 4 + 2, tiles_w * 4 + 2, pad_top, pad_left, WIDTH)
    gradient = _lay_out(dy, tiles_h * 4, tiles_w * 4, 0, 0, SPAN)
    shape = (36, _simd.round_up(channels, ROWS), _simd.round_up(filters, SPAN))
    slices = max(1, min(SLICES, dy.shape[0], PARTIALS // (36 * shape[1] * shape[2])))
    sums = np.zeros((slices, *shape), np.float32)
    _backward_weight(framed, gradient, tiles_h, tiles_w, sums)
    total = sums.sum(axis=0)[:, :channels, :filters].reshape(36, -1)
    turned_back = (BOTH_AXES.T @ total).reshape(3, 3, channels, filters)
    dweight[...] = turned_back.transpose(3, 2, 0, 1)


if config.DISABLE_JIT:  # vector registers exist in compiled code only
    conv2d_forward = conv2d_direct.conv2d_forward
    conv2d_backward_input = conv2d_direct.conv2d_backward_input
    conv2d_backward_weight = conv2d_direct.conv2d_backward_weight
