"""Convolution as a matrix product: the classical way (im2col).

What it does to the loops: all the numbers that one output sees are written into a column, and a
convolution becomes ``weight · columns``, which ``_gemm.py`` computes at the machine's peak. A
pixel stands in as many columns as there are taps that see it: with 3×3 taps, the columns take nine
times the memory of the picture. So they are never made whole. A thread makes those of BLOCK
outputs, DEPTH rows (ci, kh, kw) at a time, in the order in which the product reads them, and
multiplies while they are in the cache. Stride, dilation, padding and groups concern only how
columns are made. (Chellapilla, Puri and Simard, "High performance convolutional neural networks
for document processing", 2006.)

- forward          y[n]    = weight · columns(x[n]) + bias. A thread owns BLOCK outputs.
- backward_input   columns = weightᵀ · dy[n], and every number of it is added to the pixel that it
  was copied from (col2im). A thread owns planes (n, ci) of dx: no two add to the same pixel.
- backward_weight  dweightᵀ = Σ over n of columns(x[n]) · dy[n]ᵀ. A thread owns the partial sums of
  a slice of the batch, or of some rows (ci, kh, kw); they are added up at the end, in order.

Pictures are taken plane by plane; those that lie channels last are turned first (``_order.py``).
Float32 only, the loops serve float64. Every sum runs in a fixed order: results don't depend on the
number of threads.
"""

import numpy as np
from numba.core import config

from ..order import empty
from . import _simd, conv2d_loops
from ._gemm import HIGH, INT, LOW, SPAN, STEP, depth_of, fill, multiply_rows, pack, turn
from ._jit import helper, kernel, prange
from ._order import as_planes, put_planes, room_planes

WIDTH = _simd.WIDTH
LINE = _simd.LINE
BLOCK = 8 * SPAN  # outputs whose columns are made at once
TASKS = 16  # a batch of fewer pictures is cut into some of the channels
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 22  # at most so many partial sums (16 MiB)
TAP = 5  # numbers in a row of `_taps`


def _taps(channels, kernel, sizes, pads, dilation):
    """Return a row for each (ci, kh, kw): what must be known to find the pixels it sees.

    ci; the row of pixels that output row 0 sees, and the column that output column 0 sees, both
    perhaps negative; the first output column that sees the picture, and the first that doesn't
    any more.
    """
    _, width, columns, _, stride_w = sizes
    rows = []
    for ci in range(channels):
        for kh in range(kernel[0]):
            for kw in range(kernel[1]):
                right = kw * dilation[1] - pads[1]
                begin = max(0, -(right // stride_w))
                end = max(0, min(columns, -((right - width) // stride_w)))
                rows.append((ci, kh * dilation[0] - pads[0], right, begin, end))
    return np.array(rows, np.int64)


# ---- between pictures and columns -------------------------------------------------------------


@helper
def _see(picture, sizes, tap, place, count, row):
    """row[i] = the pixel that the tap sees for the output i after `place`, (oh, ow), or 0."""
    height, width, columns, stride_h, stride_w = sizes
    for i in range(0, count, WIDTH):
        _simd.store(_simd.zeros(1, 1), row, i, 0)
    oh, ow = place
    done = 0
    while done < count:
        run = min(columns - ow, count - done)
        ih = oh * stride_h + tap[1]
        begin, end = max(ow, tap[3]), min(ow + run, tap[4])
        if 0 <= ih < height and begin < end:
            source = _simd.pointer(picture, (tap[0] * height + ih) * width + tap[2])
            target = _simd.pointer(row, done - ow)
            if stride_w == 1:
                for j in range(begin, end, WIDTH):
                    _simd.store_some(_simd.load_some(source, j, end - j), target, j, end - j)
            else:
                for j in range(begin, end):
                    target[j] = source[j * stride_w]
        done += run
        oh += 1
        ow = 0


@helper
def _add_back(row, sizes, tap, place, count, picture):
    """Add row[i] to the pixel that `_see` reads it from."""
    height, width, columns, stride_h, stride_w = sizes
    oh, ow = place
    done = 0
    while done < count:
        run = min(columns - ow, count - done)
        ih = oh * stride_h + tap[1]
        begin, end = max(ow, tap[3]), min(ow + run, tap[4])
        if 0 <= ih < height and begin < end:
            target = _simd.pointer(picture, (tap[0] * height + ih) * width + tap[2])
            source = _simd.pointer(row, done - ow)
            if stride_w == 1:
                for j in range(begin, end, WIDTH):
                    old = _simd.load_some(target, j, end - j)
                    new = _simd.plus(old, _simd.load_some(source, j, end - j), 1)
                    _simd.store_some(new, target, j, end - j)
            else:
                for j in range(begin, end):
                    target[j * stride_w] += source[j]
        done += run
        oh += 1
        ow = 0


def _packed_rows(matrix, more=0):
    """Return matrices (groups, rows, terms) as (groups, pieces of terms, rows, STEP).

    Rows are filled up to whole tiles; with `more`, so many follow: a tile that begins anywhere
    reads up to LOW - 1 rows behind the last one.
    """
    groups, rows, terms = matrix.shape
    depth = depth_of(terms)
    shape = groups, -(-terms // depth), _simd.round_up(rows, LOW) + more, STEP
    packed = empty(shape, np.float32)
    packed[:, :, rows:] = 0
    for piece in range(shape[1]):
        part = matrix[:, :, piece * depth : (piece + 1) * depth]
        packed[:, piece, :rows, : part.shape[2]] = part
    return packed


# ---- forward ----------------------------------------------------------------------------------


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns BLOCK outputs of a picture."""
    if x.dtype != np.float32:
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_loops.conv2d_forward(x, weight, bias, *geometry, y)
    sizes = (*x.shape[2:], y.shape[3], stride_h, stride_w)
    pads, dilation = (pad_top, pad_left), (dilation_h, dilation_w)
    taps = _taps(weight.shape[1], weight.shape[2:], sizes, pads, dilation)
    packed = _packed_rows(weight.reshape(groups, weight.shape[0] // groups, -1))
    room = room_planes(y)
    area = y.shape[2] * y.shape[3]
    outputs = room.reshape(*y.shape[:2], area)
    _forward(as_planes(x), packed, taps, sizes, depth_of(len(taps)), bias, outputs)
    put_planes(room, y)


@helper
def _some_outputs(picture, packed, rows, taps, terms, sizes, depth, first, count, bias, y, area):
    """Write y[i, first + j] for all rows i and j below count."""
    room = np.empty(HIGH * SPAN + depth * BLOCK + LINE, np.float32)
    edge = _simd.align(_simd.pointer(room, 0))
    columns = _simd.pointer(edge, HIGH * SPAN)
    fill(y, area, rows, count, bias)
    for k in range(0, terms, depth):
        high = min(depth, terms - k)
        for j in range(0, count, SPAN):
            wide = min(SPAN, count - j)
            place = (first + j) // sizes[2], (first + j) % sizes[2]
            for i in range(high):
                row = _simd.pointer(columns, j * high + i * SPAN)
                _see(picture, sizes, _simd.pointer(taps, (k + i) * TAP), place, wide, row)
        left = _simd.pointer(packed, k // depth * _round_up(rows) * STEP)
        for m in range(0, rows, HIGH):
            some = min(HIGH, rows - m)
            factors, to = _simd.pointer(left, m * STEP), _simd.pointer(y, m * area)
            multiply_rows(factors, some, columns, count, high, to, area, True, edge)
    _simd.hold(room)


@helper
def _round_up(rows):
    return (rows + LOW - 1) // LOW * LOW


@kernel
def _forward(x, packed, taps, sizes, depth, bias, y):
    pictures, filters, area = y.shape
    groups = packed.shape[0]
    own = filters // groups
    size = x.shape[1] // groups * x.shape[2] * x.shape[3]
    blocks = (area + BLOCK - 1) // BLOCK
    for number in prange(pictures * groups * blocks):
        task = INT(number)
        at, first = task // blocks, task % blocks * BLOCK  # at: n * groups + group
        group = at % groups
        _some_outputs(
            _simd.pointer(x, at * size),
            _simd.pointer(packed, group * packed.size // groups),
            own,
            _simd.pointer(taps, 0),
            INT(taps.shape[0]),
            sizes,
            depth,
            first,
            min(BLOCK, area - first),
            _simd.pointer(bias, group * own),
            _simd.pointer(y, at * own * area + first),
            area,
        )


# ---- gradient of the input --------------------------------------------------------------------


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns planes (n, ci)."""
    if dy.dtype != np.float32:
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_loops.conv2d_backward_input(dy, weight, *geometry, dx)
    sizes = (*dx.shape[2:], dy.shape[3], stride_h, stride_w)
    filters, channels = weight.shape[0] // groups, weight.shape[1]
    parts = max(1, min(channels, TASKS // max(1, dy.shape[0] * groups)))
    pads, dilation = (pad_top, pad_left), (dilation_h, dilation_w)
    taps = _taps(channels, weight.shape[2:], sizes, pads, dilation)
    turned = weight.reshape(groups, filters, -1).transpose(0, 2, 1)
    bounds = np.arange(parts + 1) * channels // parts
    room = room_planes(dx)
    rows = as_planes(dy).reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3])
    planes = room.reshape(*dx.shape[:2], dx.shape[2] * dx.shape[3])
    _backward_input(
        rows, _packed_rows(turned, LOW), taps, bounds, sizes, depth_of(filters), filters, planes
    )
    put_planes(room, dx)


@helper
def _some_planes(dy, area, filters, depth, packed, padded, taps, begin, end, sizes, picture):
    """Add to `picture` what the rows `begin` to `end` of the columns send back."""
    room = np.empty(HIGH * SPAN + HIGH * BLOCK + filters * BLOCK + LINE, np.float32)
    edge = _simd.align(_simd.pointer(room, 0))
    columns = _simd.pointer(edge, HIGH * SPAN)
    panels = _simd.pointer(columns, HIGH * BLOCK)
    for first in range(0, area, BLOCK):
        count = min(BLOCK, area - first)
        place = first // sizes[2], first % sizes[2]
        for k in range(0, filters, depth):
            high = min(depth, filters - k)
            to = _simd.pointer(panels, k * BLOCK)
            pack(dy, False, area, k, first, high, count, to, INT(SPAN), (high - 1) * SPAN)
        for m in range(begin, end, HIGH):
            some = min(HIGH, end - m)
            for k in range(0, filters, depth):
                high = min(depth, filters - k)
                factors = _simd.pointer(packed, (k // depth * padded + m) * STEP)
                right = _simd.pointer(panels, k * BLOCK)
                multiply_rows(factors, some, right, count, high, columns, INT(BLOCK), k > 0, edge)
            for i in range(some):
                row, tap = _simd.pointer(columns, i * BLOCK), _simd.pointer(taps, (m + i) * TAP)
                _add_back(row, sizes, tap, place, count, picture)
    _simd.hold(room)


@kernel
def _backward_input(dy, packed, taps, bounds, sizes, depth, filters, dx):
    pictures, channels, size = dx.shape
    groups, area = packed.shape[0], dy.shape[2]
    parts = bounds.size - 1
    own = channels // groups
    rows = taps.shape[0] // own  # taps of one channel
    for number in prange(pictures * groups * parts):
        task = INT(number)
        at, part = task // parts, task % parts  # at: n * groups + group
        picture = _simd.pointer(dx, at * own * size)
        for p in range(bounds[part] * size, bounds[part + 1] * size):
            picture[p] = 0
        _some_planes(
            _simd.pointer(dy, at * filters * area),
            area,
            filters,
            depth,
            _simd.pointer(packed, at % groups * packed.size // groups),
            packed.shape[2],
            _simd.pointer(taps, 0),
            bounds[part] * rows,
            bounds[part + 1] * rows,
            sizes,
            picture,
        )


# ---- gradient of the weights ------------------------------------------------------------------


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns the partial sums of a slice, or of some (ci, kh, kw)."""
    if dy.dtype != np.float32:
        geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
        return conv2d_loops.conv2d_backward_weight(dy, x, *geometry, dweight)
    sizes = (*x.shape[2:], dy.shape[3], stride_h, stride_w)
    pads, dilation = (pad_top, pad_left), (dilation_h, dilation_w)
    taps = _taps(dweight.shape[1], dweight.shape[2:], sizes, pads, dilation)
    filters = dweight.shape[0] // groups
    slices = max(1, min(SLICES, dy.shape[0], PARTIALS // dweight.size))
    sums = np.zeros((slices, groups, len(taps), filters), np.float32)
    rows = as_planes(dy).reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3])
    parts = max(1, SLICES // slices)
    _backward_weight(rows, as_planes(x), taps, sizes, depth_of(rows.shape[2]), parts, sums)
    dweight[...] = sums.sum(axis=0).transpose(0, 2, 1).reshape(dweight.shape)


@helper
def _some_weights(dy, area, filters, depth, picture, taps, begin, end, sizes, sums):
    """sums[k, co] += what one picture has to say to rows `begin` to `end` of the columns."""
    padded = (filters + SPAN - 1) // SPAN * SPAN
    room = np.empty(HIGH * SPAN + HIGH * STEP + padded * depth + LINE, np.float32)
    edge = _simd.align(_simd.pointer(room, 0))
    columns = _simd.pointer(edge, HIGH * SPAN)
    panels = _simd.pointer(columns, HIGH * STEP)
    for p in range(0, area, depth):
        high = min(depth, area - p)
        place = p // sizes[2], p % sizes[2]
        turn(_simd.pointer(dy, p), area, filters, high, panels, INT(SPAN), (high - 1) * SPAN)
        for m in range(begin, end, HIGH):
            some = min(HIGH, end - m)
            for i in range(some):
                row, tap = _simd.pointer(columns, i * STEP), _simd.pointer(taps, (m + i) * TAP)
                _see(picture, sizes, tap, place, high, row)
            to = _simd.pointer(sums, m * filters)
            multiply_rows(columns, some, panels, filters, high, to, filters, True, edge)
    _simd.hold(room)


@kernel
def _backward_weight(dy, x, taps, sizes, depth, parts, sums):
    slices, groups, terms, filters = sums.shape
    pictures, _, area = dy.shape
    size = x.shape[1] // groups * x.shape[2] * x.shape[3]
    for number in prange(slices * groups * parts):
        task = INT(number)
        piece, group, part = task // (groups * parts), task // parts % groups, task % parts
        for n in range(piece * pictures // slices, (piece + 1) * pictures // slices):
            _some_weights(
                _simd.pointer(dy, (n * groups + group) * filters * area),
                area,
                filters,
                depth,
                _simd.pointer(x, (n * groups + group) * size),
                _simd.pointer(taps, 0),
                part * terms // parts,
                (part + 1) * terms // parts,
                sizes,
                _simd.pointer(sums, (piece * groups + group) * terms * filters),
            )


if config.DISABLE_JIT:  # vector registers exist in compiled code only
    conv2d_forward = conv2d_loops.conv2d_forward
    conv2d_backward_input = conv2d_loops.conv2d_backward_input
    conv2d_backward_weight = conv2d_loops.conv2d_backward_weight
