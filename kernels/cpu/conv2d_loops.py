"""Convolution, the loops of ``reference/conv2d.py`` on every core.

What changes from the reference, and why:

- Pictures are first copied into a frame of zeros, split by stride (``_planes.py``). Tests for
  padding are gone from the loops, and the loops over oh and ow become one loop over p: each tap
  meets long unbroken rows, which the compiler turns into vector instructions.
- The three nests are then one line each::

      forward          y[p]            += tap * x[p + offset]
      backward_input   dx[p + offset]  += tap * dy[p]
      backward_weight  dtap            += sum over p of dy[p] * x[p + offset]

- Each nest has one parallel axis over which no two iterations write the same number: forward
  owns planes (n, co) of y; backward_input owns planes (n, ci) of dx, into which it scatters as
  the reference does; backward_weight owns filter planes (co, ci). Nothing is locked, and
  results don't depend on the number of threads, bit for bit.

Shapes and letters as in ``reference/conv2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange
from ._order import as_planes, put_planes, room_planes
from ._planes import Layout, join


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns planes (n, co)."""
    layout = Layout(weight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), y.shape[2:])
    planes = layout.split(as_planes(x), pad_top, pad_left)
    room = room_planes(y)
    _forward(planes, weight, bias, layout.offsets, layout.width, groups, room)
    put_planes(room, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns planes (n, ci)."""
    layout = Layout(weight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), dy.shape[2:])
    planes = np.empty((*dx.shape[:2], layout.size), dx.dtype)
    _backward_input(layout.stretch(as_planes(dy)), weight, layout.offsets, groups, planes)
    room = room_planes(dx)
    join(planes, stride_h, stride_w, pad_top, pad_left, layout.height, layout.width, room)
    put_planes(room, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns filter planes (co, ci)."""
    layout = Layout(dweight.shape[2:], (stride_h, stride_w), (dilation_h, dilation_w), dy.shape[2:])
    planes = layout.split(as_planes(x), pad_top, pad_left)
    _backward_weight(layout.stretch(as_planes(dy)), planes, layout.offsets, groups, dweight)


@helper
def _add_scaled(target, source, factor):
    """target[p] += factor * source[p]: all the arithmetic of forward and backward_input."""
    for p in range(target.size):
        target[p] += factor * source[p]


@helper
def _dot(a, b):
    """Return the sum of a[p] * b[p]: all the arithmetic of backward_weight."""
    total = a.dtype.type(0)
    for p in range(a.size):
        total += a[p] * b[p]
    return total


@kernel
def _forward(planes, weight, bias, offsets, width, groups, y):
    filters, channels, kernel_h, kernel_w = weight.shape
    for plane in prange(y.shape[0] * filters):
        n = plane // filters
        co = plane % filters
        first = co // (filters // groups) * channels
        row = np.empty(y.shape[2] * width, y.dtype)
        for p in range(row.size):
            row[p] = bias[co]
        for ci in range(channels):
            for kh in range(kernel_h):
                for kw in range(kernel_w):
                    source = planes[n, first + ci, offsets[kh, kw] :]
                    _add_scaled(row, source, weight[co, ci, kh, kw])
        for oh in range(y.shape[2]):
            for ow in range(y.shape[3]):
                y[n, co, oh, ow] = row[oh * width + ow]


@kernel
def _backward_input(rows, weight, offsets, groups, planes):
    channels, kernel_h, kernel_w = weight.shape[1:]
    filters = weight.shape[0] // groups
    for plane in prange(planes.shape[0] * planes.shape[1]):
        n = plane // planes.shape[1]
        c = plane % planes.shape[1]
        group = c // channels
        ci = c % channels
        for p in range(planes.shape[2]):
            planes[n, c, p] = 0
        for co in range(group * filters, (group + 1) * filters):
            for kh in range(kernel_h):
                for kw in range(kernel_w):
                    at = offsets[kh, kw]
                    target = planes[n, c, at : at + rows.shape[2]]
                    _add_scaled(target, rows[n, co], weight[co, ci, kh, kw])


@kernel
def _backward_weight(rows, planes, offsets, groups, dweight):
    channels, kernel_h, kernel_w = dweight.shape[1:]
    filters = dweight.shape[0] // groups
    for plane in prange(dweight.shape[0] * channels):
        co = plane // channels
        ci = plane % channels
        first = co // filters * channels
        for kh in range(kernel_h):
            for kw in range(kernel_w):
                total = dweight.dtype.type(0)
                for n in range(rows.shape[0]):
                    total += _dot(rows[n, co], planes[n, first + ci, offsets[kh, kw] :])
                dweight[co, ci, kh, kw] = total
