"""Direct convolution with sums that stay in registers.

What it does to the loops of ``conv2d_loops.py``: there, every product loads a running sum, adds
to it and stores it again. Here a block of ROWS output channels × SPAN output positions is kept
in registers (`_simd.Tile`) while all its products are added up: for AVX-512, 24 vectors of sums
for 11 loads. The walk over memory is the same flat one (``_planes.py``), and weights are packed
so that the numbers a block needs lie side by side.

- forward: a thread owns pictures and blocks of output channels; terms are (ci, kh, kw).
- backward_input: the same nest with dy in the place of x. Each dx gathers, from every output it
  contributed to, ``dy[p - offset] * tap``: a convolution whose taps look backwards. With a
  stride, each of the small planes of ``_planes.py`` has its own subset of the taps.
- backward_weight: an inner product over positions. A thread owns taps (ci, kh, kw) and blocks
  of output channels; ROWS × COLUMNS inner products run at once, lane by lane.

What it bought on a 2-core AVX-512 machine, LeNet's second layer at batch 64 (32 → 64 channels,
3×3 on 26×26): see docs/performance.md. Float32 only; the loops serve float64.
Every sum runs in a fixed order: results don't depend on the number of threads.
"""

import numpy as np

from . import _simd
from ._jit import helper, kernel, prange
from ._planes import Layout, join

ROWS = _simd.ROWS
COLUMNS = _simd.COLUMNS
SPAN = _simd.SPAN
WIDTH = _simd.WIDTH
CHUNK = 4 * COLUMNS  # columns of dweight that a thread works on at a time
TASKS = 8


def _round_up(number, multiple):
    return -(-number // multiple) * multiple


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns pictures n and blocks of output channels co."""
    layout = Layout(
        weight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), y.shape[2:], SPAN
    )
    planes = layout.split(x, pad_top, pad_left)
    per_group, channels = weight.shape[0] // groups, weight.shape[1]
    blocks = -(-per_group // ROWS)
    packed = np.zeros((groups * blocks, channels * layout.offsets.size, ROWS), weight.dtype)
    _pack_forward(weight.reshape(weight.shape[0], -1), groups, packed)
    steps = np.arange(channels)[:, None] * layout.size
    offsets = (steps + layout.offsets.reshape(1, -1)).ravel()
    _forward(planes, packed, bias, offsets, layout.width, groups, y)


@kernel
def _pack_forward(weight, groups, packed):
    """packed[block, term, i] = weight[co, term] for the ROWS filters co of each block."""
    per_group = weight.shape[0] // groups
    blocks = packed.shape[0] // groups
    for block in prange(packed.shape[0]):
        first = block % blocks * ROWS
        for i in range(min(ROWS, per_group - first)):
            co = block // blocks * per_group + first + i
            for term in range(weight.shape[1]):
                packed[block, term, i] = weight[co, term]


@helper
def _sum_terms(packed, source, begin, offsets, target, at, step):
    """target[i, p] = sum over terms of packed[term, i] * source[begin + offsets[term] + p]."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for term in range(offsets.size):
        tile = _simd.multiply_add(tile, packed, term * ROWS, source, begin + offsets[term])
    _simd.store(tile, target, at, step)


@kernel
def _forward(planes, packed, bias, offsets, width, groups, y):
    pictures, filters, height, columns = y.shape
    channels = planes.shape[1] // groups
    per_group = filters // groups
    blocks = packed.shape[0] // groups
    length = -(-height * width // SPAN) * SPAN
    for task in prange(pictures * groups * blocks):
        n = task // (groups * blocks)
        block = task % (groups * blocks)
        group = block // blocks
        first = block % blocks * ROWS
        source = planes[n].reshape(-1)
        factors = packed[block].reshape(-1)
        rows = np.empty(ROWS * length, y.dtype)
        begin = group * channels * planes.shape[2]
        for p in range(0, length, SPAN):
            _sum_terms(factors, source, begin + p, offsets, rows, p, length)
        for i in range(min(ROWS, per_group - first)):
            co = group * per_group + first + i
            for oh in range(height):
                source_row = rows[i * length + oh * width :]
                target_row = y[n, co, oh]
                for ow in range(columns):
                    target_row[ow] = source_row[ow] + bias[co]


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns pictures n and blocks of input channels ci."""
    stride = (stride_h, stride_w)
    layout = Layout(weight.shape[2:], stride, (dilation_h, dilation_w), dy.shape[2:], SPAN)
    area = layout.height * layout.width
    shifts = layout.offsets % area
    margin = int(shifts.max())
    rows = layout.stretch(dy, margin, margin + _round_up(area, SPAN))
    planes = np.empty((*dx.shape[:2], layout.size), dx.dtype)
    per_group, channels = weight.shape[0] // groups, weight.shape[1]
    grouped = weight.reshape(groups, per_group, channels, -1)
    for phase in range(stride_h * stride_w):
        taps = np.flatnonzero(layout.offsets.ravel() // area == phase)
        if taps.size == 0:
            planes[:, :, phase * area : (phase + 1) * area] = 0  # no tap looks at these pixels
            continue
        blocks = -(-channels // ROWS)
        packed = np.zeros((groups * blocks, per_group * taps.size, ROWS), weight.dtype)
        _pack_backward(grouped, taps, packed)
        steps = np.arange(per_group)[:, None] * rows.shape[2]
        offsets = (steps + (margin - shifts.ravel()[taps])).ravel()
        _backward_input(rows, packed, offsets, area, phase * area, groups, planes)
    join(planes, *stride, pad_top, pad_left, layout.height, layout.width, dx)


@kernel
def _pack_backward(weight, taps, packed):
    """packed[block, (co, tap), i] = weight[group, co, ci, tap] for the ROWS channels ci."""
    groups, per_group, channels = weight.shape[:3]
    blocks = packed.shape[0] // groups
    for block in prange(packed.shape[0]):
        first = block % blocks * ROWS
        for i in range(min(ROWS, channels - first)):
            for co in range(per_group):
                for t in range(taps.size):
                    packed[block, co * taps.size + t, i] = weight[
                        block // blocks, co, first + i, taps[t]
                    ]


@kernel
def _backward_input(rows, packed, offsets, area, base, groups, planes):
    channels = planes.shape[1] // groups
    blocks = packed.shape[0] // groups
    per_group = rows.shape[1] // groups
    length = -(-area // SPAN) * SPAN
    for task in prange(planes.shape[0] * groups * blocks):
        n = task // (groups * blocks)
        block = task % (groups * blocks)
        group = block // blocks
        first = block % blocks * ROWS
        source = rows[n].reshape(-1)
        factors = packed[block].reshape(-1)
        sums = np.empty(ROWS * SPAN, planes.dtype)
        begin = group * per_group * rows.shape[2]
        for p in range(0, length, SPAN):
            _sum_terms(factors, source, begin + p, offsets, sums, 0, SPAN)
            for i in range(min(ROWS, channels - first)):
                target = planes[n, group * channels + first + i, base + p :]
                part = sums[i * SPAN :]
                for j in range(min(SPAN, area - p)):
                    target[j] = part[j]


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns taps (ci, kh, kw) and blocks of output channels co."""
    layout = Layout(
        dweight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), dy.shape[2:], SPAN
    )
    planes = layout.split(x, pad_top, pad_left)
    rows = layout.stretch(dy, 0, _round_up(layout.row_size, WIDTH), ROWS - 1)
    per_group, channels = dweight.shape[0] // groups, dweight.shape[1]
    steps = np.arange(channels)[:, None] * layout.size
    wanted = (steps + layout.offsets.reshape(1, -1)).ravel()
    offsets = np.full(_round_up(wanted.size, CHUNK), wanted[-1])  # what is too much is cut off
    offsets[: wanted.size] = wanted
    sums = np.zeros((groups, _round_up(per_group, ROWS), offsets.size), dy.dtype)
    _backward_weight(rows, planes, offsets, per_group, sums)
    dweight[...] = sums[:, :per_group, : wanted.size].reshape(dweight.shape)


@kernel
def _backward_weight(rows, planes, offsets, per_group, sums):
    groups, padded, columns = sums.shape
    channels = planes.shape[1] // groups
    length = rows.shape[2]
    blocks = padded // ROWS
    chunks = columns // CHUNK
    parts = min(blocks, max(1, TASKS // (groups * chunks)))
    for task in prange(groups * chunks * parts):
        group = task // (chunks * parts)
        chunk = task // parts % chunks
        part = task % parts
        totals = sums[group].reshape(-1)
        for n in range(rows.shape[0]):
            left = rows[n].reshape(-1)
            right = planes[n].reshape(-1)
            begin = group * channels * planes.shape[2]
            for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                at = (group * per_group + block * ROWS) * length
                for column in range(chunk * CHUNK, (chunk + 1) * CHUNK, COLUMNS):
                    tile = _simd.zeros(ROWS, COLUMNS)
                    for p in range(0, length, WIDTH):
                        tile = _simd.multiply_add_rows(
                            tile, left, at + p, length, right, begin + p, offsets, column
                        )
                    _simd.add_sums(tile, totals, block * ROWS * columns + column, columns)
