"""Locally connected layer, the loops of ``reference/locally_connected2d.py`` turned inside out.

A thread owns one number of the result, adds up everything that belongs to it and writes it once:

- forward: one y[n, co, oh, ow], which has filters of its own; loops over ci, kh, kw.
- backward_input: one dx[n, c, ih, iw]. It asks for every tap which output used this pixel through
  it (gather), as in ``conv2d.py``: oh = (ih + pad_top - kh) / stride_h, if that leaves no rest.
- backward_weight: one tap dweight[co, ci, kh, kw, oh, ow]; loops over n alone.
- backward_bias: one dbias[co, oh, ow]; loops over n.

Neighbouring threads have neighbouring ow, and so do the weights they read. Shapes and letters as
in the reference; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel3, unravel4


def locally_connected2d_forward(x, weight, bias, stride_h, stride_w, pad_top, pad_left, y):
    """Write y; a thread owns one y[n, co, oh, ow]."""
    launch(_forward, y.size, x, weight, bias, stride_h, stride_w, pad_top, pad_left, y)


def locally_connected2d_backward_input(dy, weight, stride_h, stride_w, pad_top, pad_left, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the outputs that used it."""
    launch(_backward_input, dx.size, dy, weight, stride_h, stride_w, pad_top, pad_left, dx)


def locally_connected2d_backward_weight(dy, x, stride_h, stride_w, pad_top, pad_left, dweight):
    """Write dweight; a thread owns one tap of one output pixel."""
    launch(_backward_weight, dweight.size, dy, x, stride_h, stride_w, pad_top, pad_left, dweight)


def locally_connected2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns one dbias[co, oh, ow]."""
    launch(_backward_bias, dbias.size, dy, dbias)


@kernel
def _forward(x, weight, bias, stride_h, stride_w, pad_top, pad_left, y):
    i = cuda.grid(1)
    if i < y.size:
        n, co, oh, ow = unravel4(i, y.shape)
        channels, kernel_h, kernel_w = weight.shape[1:4]
        height, width = x.shape[2:]
        total = bias[co, oh, ow]
        for ci in range(channels):
            for kh in range(kernel_h):
                ih = oh * stride_h - pad_top + kh
                if 0 <= ih < height:
                    for kw in range(kernel_w):
                        iw = ow * stride_w - pad_left + kw
                        if 0 <= iw < width:
                            total += x[n, ci, ih, iw] * weight[co, ci, kh, kw, oh, ow]
        y[n, co, oh, ow] = total


@kernel
def _backward_input(dy, weight, stride_h, stride_w, pad_top, pad_left, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        filters = weight.shape[0]
        kernel_h, kernel_w, out_h, out_w = weight.shape[2:]
        total = dx.dtype.type(0)
        for kh in range(kernel_h):
            down = ih + pad_top - kh
            oh = down // stride_h
            if oh * stride_h == down and 0 <= oh < out_h:
                for kw in range(kernel_w):
                    right = iw + pad_left - kw
                    ow = right // stride_w
                    if ow * stride_w == right and 0 <= ow < out_w:
                        for co in range(filters):
                            total += dy[n, co, oh, ow] * weight[co, c, kh, kw, oh, ow]
        dx[n, c, ih, iw] = total


@kernel
def _backward_weight(dy, x, stride_h, stride_w, pad_top, pad_left, dweight):
    i = cuda.grid(1)
    if i < dweight.size:
        filters, channels, kernel_h, kernel_w, out_h, out_w = dweight.shape
        per_plane = kernel_w * out_h * out_w
        co, ci, kh = unravel3(i // per_plane, (filters, channels, kernel_h))
        kw, oh, ow = unravel3(i % per_plane, (kernel_w, out_h, out_w))
        ih = oh * stride_h - pad_top + kh
        iw = ow * stride_w - pad_left + kw
        total = dweight.dtype.type(0)
        if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
            for n in range(dy.shape[0]):
                total += dy[n, co, oh, ow] * x[n, ci, ih, iw]
        dweight[co, ci, kh, kw, oh, ow] = total


@kernel
def _backward_bias(dy, dbias):
    i = cuda.grid(1)
    if i < dbias.size:
        co, oh, ow = unravel3(i, dbias.shape)
        total = dbias.dtype.type(0)
        for n in range(dy.shape[0]):
            total += dy[n, co, oh, ow]
        dbias[co, oh, ow] = total
