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
- backward_weight: an inner product over positions; ROWS × COLUMNS of them run at once, lane by
  lane. The batch is cut into slices, so that a picture is used for every tap while it is in
  cache. A thread owns the partial sums of a slice; they are added up at the end, in order.

What it bought on a 2-core AVX-512 machine, LeNet's second layer at batch 64 (32 → 64 channels,
3×3 on 26×26): see docs/performance.md. Float32 only; the loops serve float64.
Every sum runs in a fixed order: results don't depend on the number of threads.
"""

import math

import numpy as np
from numba.core import config

from . import _simd, conv2d_loops
from ._jit import helper, kernel, prange
from ._planes import Layout, join

ROWS = _simd.ROWS
COLUMNS = _simd.COLUMNS
SPAN = _simd.SPAN
WIDTH = _simd.WIDTH
CHUNK = 4 * COLUMNS  # columns of dweight that are finished before the next come
SLICES = 8  # a number of its own, not that of the threads: sums must not depend on them
PARTIALS = 1 << 20  # at most so many partial sums (4 MiB)


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns pictures n and blocks of output channels co."""
    layout = Layout(
        weight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), y.shape[2:], SPAN
    )
    planes = layout.split(x, pad_top, pad_left)
    packed = _pack(weight.reshape(groups, weight.shape[0] // groups, -1))
    steps = np.arange(weight.shape[1])[:, None] * layout.size
    offsets = (steps + layout.offsets.reshape(1, -1)).ravel()
    _forward(planes, packed, bias, offsets, layout.width, groups, y)


def _pack(factors):
    """Return factors (groups, outputs, terms) as (blocks, terms, ROWS), filled up with zeros.

    Side by side stand the numbers that the ROWS sums of one block need for one term.
    """
    groups, outputs, terms = factors.shape
    padded = np.zeros((groups, _simd.round_up(outputs, ROWS), terms), factors.dtype)
    padded[:, :outputs] = factors
    blocks = padded.reshape(-1, ROWS, terms)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1))


@helper
def _sum_terms(packed, source, begin, offsets, target, at, step):
    """target[i, p] = sum over terms of packed[term, i] * source[begin + offsets[term] + p]."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for term in range(offsets.size):
        tile = _simd.multiply_add(tile, packed, term * ROWS, 1, source, begin + offsets[term])
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
    rows = layout.stretch(dy, margin, margin + _simd.round_up(area, SPAN))
    planes = np.empty((*dx.shape[:2], layout.size), dx.dtype)
    per_group, channels = weight.shape[0] // groups, weight.shape[1]
    grouped = weight.reshape(groups, per_group, channels, -1)
    for phase in range(stride_h * stride_w):
        taps = np.flatnonzero(layout.offsets.ravel() // area == phase)
        if taps.size == 0:
            planes[:, :, phase * area : (phase + 1) * area] = 0  # no tap looks at these pixels
            continue
        packed = _pack(grouped[:, :, :, taps].transpose(0, 2, 1, 3).reshape(groups, channels, -1))
        steps = np.arange(per_group)[:, None] * rows.shape[2]
        offsets = (steps + (margin - shifts.ravel()[taps])).ravel()
        _backward_input(rows, packed, offsets, area, phase * area, groups, planes)
    join(planes, *stride, pad_top, pad_left, layout.height, layout.width, dx)


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
    """Write dweight; a thread owns the partial sums of one slice of the batch."""
    layout = Layout(
        dweight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), dy.shape[2:], SPAN
    )
    planes = layout.split(x, pad_top, pad_left)
    rows = layout.stretch(dy, 0, _simd.round_up(layout.row_size, WIDTH), ROWS - 1)
    per_group, channels = dweight.shape[0] // groups, dweight.shape[1]
    steps = np.arange(channels)[:, None] * layout.size
    wanted = (steps + layout.offsets.reshape(1, -1)).ravel()
    offsets = np.full(_simd.round_up(wanted.size, CHUNK), wanted[-1])  # what is too much is cut off
    offsets[: wanted.size] = wanted
    shape = (groups, _simd.round_up(per_group, ROWS), offsets.size)
    slices = max(1, min(SLICES, dy.shape[0], PARTIALS // math.prod(shape)))
    sums = np.zeros((slices, *shape), dy.dtype)
    _backward_weight(rows, planes, offsets, per_group, sums)
    dweight[...] = sums.sum(axis=0)[:, :per_group, : wanted.size].reshape(dweight.shape)


@helper
def _add_products(left, at, length, right, begin, offsets, column, totals, to, step):
    """totals[i, j] += sum over p of left[i, p] * right[offsets[column + j] + p]."""
    tile = _simd.zeros(ROWS, COLUMNS)
    for p in range(0, length, WIDTH):
        tile = _simd.multiply_add_rows(
            tile, left, at + p, length, right, begin + p, offsets, column
        )
    _simd.add_sums(tile, totals, to, step)


@kernel
def _backward_weight(rows, planes, offsets, per_group, sums):
    slices, groups, padded, columns = sums.shape
    pictures = rows.shape[0]
    length = rows.shape[2]
    chunks = columns // CHUNK
    parts = min(chunks, SLICES // slices)
    for task in prange(slices * groups * parts):
        piece = task // (groups * parts)
        group = task // parts % groups
        part = task % parts
        totals = sums[piece, group].reshape(-1)
        begin = group * (planes.shape[1] // groups) * planes.shape[2]
        for n in range(piece * pictures // slices, (piece + 1) * pictures // slices):
            left = rows[n].reshape(-1)
            right = planes[n].reshape(-1)
            for chunk in range(part * chunks // parts, (part + 1) * chunks // parts):
                for co in range(0, padded, ROWS):
                    at = (group * per_group + co) * length
                    for column in range(chunk * CHUNK, (chunk + 1) * CHUNK, COLUMNS):
                        to = co * columns + column
                        _add_products(
                            left, at, length, right, begin, offsets, column, totals, to, columns
                        )


if config.DISABLE_JIT:  # a register tile exists in compiled code only
    conv2d_forward = conv2d_loops.conv2d_forward
    conv2d_backward_input = conv2d_loops.conv2d_backward_input
    conv2d_backward_weight = conv2d_loops.conv2d_backward_weight
