"""Two-dimensional convolution, the loops of ``reference/conv2d.py`` turned inside out.

The reference loops over all outputs; here a thread *is* one turn of those loops: it owns one
number of the result, finds out which from its own number, adds up everything that belongs to
it, and writes it once. No two threads write to the same place, so nothing is locked, no order
is left to chance, and the same input gives the same bits every time.

- forward: a thread owns one y[n, co, oh, ow] and loops over ci, kh, kw. Nothing else changes.
- backward_input: the reference walks over dy and adds each product to the dx it came from
  (scatter). Filters overlap, so several threads would add to one pixel at once. Here a thread
  owns one dx[n, c, ih, iw] and asks for every tap which output used this pixel through this
  tap (gather). That is the one equation of the reference, solved for oh::

      oh = (ih + pad_top  - kh * dilation_h) / stride_h
      ow = (iw + pad_left - kw * dilation_w) / stride_w

  It has a solution only if the division leaves no rest and oh, ow lie inside dy. The loop
  over co comes last, inside these tests, because they don't depend on it.
- backward_weight: a thread owns one tap dweight[co, ci, kh, kw] and loops over n, oh, ow.
- backward_bias: a thread owns one channel co.

``c`` is the input channel among all; ``ci`` its position within its group. Shapes and the other
letters as in ``reference/conv2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel4


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a thread owns one y[n, co, oh, ow]."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    launch(_forward, y.size, x, weight, bias, *geometry, False, y)


def conv_relu2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write max(y, 0); a thread owns one y[n, co, oh, ow]."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    launch(_forward, y.size, x, weight, bias, *geometry, True, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the outputs that used it."""
    launch(
        _backward_input,
        dx.size,
        dy,
        weight,
        stride_h,
        stride_w,
        pad_top,
        pad_left,
        dilation_h,
        dilation_w,
        groups,
        dx,
    )


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a thread owns one tap dweight[co, ci, kh, kw]."""
    launch(
        _backward_weight,
        dweight.size,
        dy,
        x,
        stride_h,
        stride_w,
        pad_top,
        pad_left,
        dilation_h,
        dilation_w,
        groups,
        dweight,
    )


def conv2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns one channel co."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel
def _forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, relu, y
):
    i = cuda.grid(1)
    if i < y.size:
        n, co, oh, ow = unravel4(i, y.shape)
        filters, channels_per_group, kernel_h, kernel_w = weight.shape
        height, width = x.shape[2:]
        first = co // (filters // groups) * channels_per_group
        total = bias[co]
        for ci in range(channels_per_group):
            for kh in range(kernel_h):
                ih = oh * stride_h - pad_top + kh * dilation_h
                if 0 <= ih < height:
                    for kw in range(kernel_w):
                        iw = ow * stride_w - pad_left + kw * dilation_w
                        if 0 <= iw < width:
                            total += x[n, first + ci, ih, iw] * weight[co, ci, kh, kw]
        if relu and total <= y.dtype.type(0):
            total = y.dtype.type(0)
        y[n, co, oh, ow] = total


@kernel(registers=104)
def _backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        filters, channels_per_group, kernel_h, kernel_w = weight.shape
        out_h, out_w = dy.shape[2:]
        filters_per_group = filters // groups
        first = c // channels_per_group * filters_per_group
        ci = c % channels_per_group
        total = dx.dtype.type(0)
        for kh in range(kernel_h):
            down = ih + pad_top - kh * dilation_h
            oh = down // stride_h
            if oh * stride_h == down and 0 <= oh < out_h:
                for kw in range(kernel_w):
                    right = iw + pad_left - kw * dilation_w
                    ow = right // stride_w
                    if ow * stride_w == right and 0 <= ow < out_w:
                        for co in range(first, first + filters_per_group):
                            total += dy[n, co, oh, ow] * weight[co, ci, kh, kw]
        dx[n, c, ih, iw] = total


@kernel
def _backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    i = cuda.grid(1)
    if i < dweight.size:
        co, ci, kh, kw = unravel4(i, dweight.shape)
        pictures, filters, out_h, out_w = dy.shape
        height, width = x.shape[2:]
        c = co // (filters // groups) * dweight.shape[1] + ci
        total = dweight.dtype.type(0)
        for n in range(pictures):
            for oh in range(out_h):
                ih = oh * stride_h - pad_top + kh * dilation_h
                if 0 <= ih < height:
                    for ow in range(out_w):
                        iw = ow * stride_w - pad_left + kw * dilation_w
                        if 0 <= iw < width:
                            total += dy[n, co, oh, ow] * x[n, c, ih, iw]
        dweight[co, ci, kh, kw] = total


@kernel
def _backward_bias(dy, dbias):
    co = cuda.grid(1)
    if co < dbias.size:
        pictures, _, out_h, out_w = dy.shape
        total = dbias.dtype.type(0)
        for n in range(pictures):
            for oh in range(out_h):
                for ow in range(out_w):
                    total += dy[n, co, oh, ow]
        dbias[co] = total
