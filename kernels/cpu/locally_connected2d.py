"""Locally connected layer, the loops of ``reference/locally_connected2d.py`` on every core.

There are far more weights than pixels, and each serves one output pixel, so time goes into
reading weights. Hence the order of the loops: a row of weights (one tap, all ow) is fetched once
and meets every picture of the batch while it is in cache; the loop over ow is innermost, where
rows of weights, of y and (with stride 1) of x lie unbroken in memory.

- forward: a thread owns rows (co, oh) of y, in all pictures.
- backward_input: a thread owns rows (c, ih) of dx, in all pictures. It asks for each kh which
  row of outputs looked at this one (gather), and scatters along the row.
- backward_weight, backward_bias: a thread owns rows (co, oh) of filters or biases.

No two threads write one number, and each sum has one order whatever the number of threads.
Shapes and letters as in the reference; every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def _inside(kw, stride_w, pad_left, width, count):
    """Return the first of `count` outputs whose tap kw lies in the picture, and the last + 1."""
    first = max(0, (pad_left - kw + stride_w - 1) // stride_w)
    end = (width - 1 + pad_left - kw) // stride_w + 1
    return first, max(first, min(count, end))


@kernel
def locally_connected2d_forward(x, weight, bias, stride_h, stride_w, pad_top, pad_left, y):
    """Write y; a thread owns rows (co, oh) in all pictures."""
    channels, kernel_h, kernel_w = weight.shape[1:4]
    pictures, filters, rows, columns = y.shape
    for row in prange(filters * rows):
        co = row // rows
        oh = row % rows
        for n in range(pictures):
            for ow in range(columns):
                y[n, co, oh, ow] = bias[co, oh, ow]
        for ci in range(channels):
            for kh in range(kernel_h):
                ih = oh * stride_h - pad_top + kh
                if 0 <= ih < x.shape[2]:
                    for kw in range(kernel_w):
                        first, end = _inside(kw, stride_w, pad_left, x.shape[3], columns)
                        start = first * stride_w - pad_left + kw
                        taps = weight[co, ci, kh, kw, oh, first:end]
                        for n in range(pictures):
                            source = x[n, ci, ih, start:]
                            target = y[n, co, oh, first:end]
                            for j in range(target.size):
                                target[j] += source[j * stride_w] * taps[j]


@kernel
def locally_connected2d_backward_input(dy, weight, stride_h, stride_w, pad_top, pad_left, dx):
    """Write dx; a thread owns rows (c, ih) in all pictures."""
    kernel_h, kernel_w = weight.shape[2:4]
    filters, rows, columns = dy.shape[1:]
    pictures, channels, height, width = dx.shape
    for row in prange(channels * height):
        c = row // height
        ih = row % height
        for n in range(pictures):
            for iw in range(width):
                dx[n, c, ih, iw] = 0
        for co in range(filters):
            for kh in range(kernel_h):
                down = ih + pad_top - kh
                oh = down // stride_h
                if oh * stride_h == down and 0 <= oh < rows:
                    for kw in range(kernel_w):
                        first, end = _inside(kw, stride_w, pad_left, width, columns)
                        start = first * stride_w - pad_left + kw
                        taps = weight[co, c, kh, kw, oh, first:end]
                        for n in range(pictures):
                            source = dy[n, co, oh, first:end]
                            target = dx[n, c, ih, start:]
                            for j in range(source.size):
                                target[j * stride_w] += source[j] * taps[j]


@kernel
def locally_connected2d_backward_weight(dy, x, stride_h, stride_w, pad_top, pad_left, dweight):
    """Write dweight; a thread owns rows (co, oh) of filters."""
    channels, kernel_h, kernel_w, rows, columns = dweight.shape[1:]
    for row in prange(dweight.shape[0] * rows):
        co = row // rows
        oh = row % rows
        for ci in range(channels):
            for kh in range(kernel_h):
                ih = oh * stride_h - pad_top + kh
                for kw in range(kernel_w):
                    for ow in range(columns):
                        dweight[co, ci, kh, kw, oh, ow] = 0
                    if 0 <= ih < x.shape[2]:
                        first, end = _inside(kw, stride_w, pad_left, x.shape[3], columns)
                        start = first * stride_w - pad_left + kw
                        target = dweight[co, ci, kh, kw, oh, first:end]
                        for n in range(dy.shape[0]):
                            source = x[n, ci, ih, start:]
                            factors = dy[n, co, oh, first:end]
                            for j in range(target.size):
                                target[j] += factors[j] * source[j * stride_w]


@kernel
def locally_connected2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns rows (co, oh)."""
    filters, rows, columns = dbias.shape
    for row in prange(filters * rows):
        co = row // rows
        oh = row % rows
        for ow in range(columns):
            dbias[co, oh, ow] = 0
        for n in range(dy.shape[0]):
            for ow in range(columns):
                dbias[co, oh, ow] += dy[n, co, oh, ow]
