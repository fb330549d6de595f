"""Max pooling, the loops of ``reference/max_pool2d.py`` on every core.

- forward: a thread owns LANES channels of one picture. It turns their planes so that the same
  pixel of all the channels lies side by side: then one comparison serves a vector of channels,
  where along a row of few and overlapping windows there is nothing for vectors to do. 3 times
  as fast as one plane at a time (LeNet's pooling, AVX-512), turning there and back included.
- backward_input: a thread owns whole planes (n, c). Windows that overlap send their gradients to
  pixels of one plane only, so scattering inside a plane can't meet another thread.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange

LANES = 32


@helper
def _turn(rows, columns):
    """columns[j, i] = rows[i, j]."""
    for j in range(rows.shape[1]):
        column = columns[j]
        for i in range(rows.shape[0]):
            column[i] = rows[i, j]


@helper
def _challenge(values, pixel, best, winner):
    """Put values[c] in the place of best[c] where it is larger."""
    for c in range(best.size):
        value = values[c]
        old = best[c]
        # larger, or the first NaN, against which nothing wins any more; or the window's first
        wins = (not (value <= old)) & (old == old) | (winner[c] < 0)
        best[c] = value if wins else old
        winner[c] = pixel if wins else winner[c]


@helper
def _pool_window(pixels, top, left, height, width, kernel, dilation, best, winner):
    """Write the largest pixel of one window, and where it is, for every channel."""
    for c in range(best.size):  # what stays, where the window lies in the padding alone
        best[c] = -np.inf
        winner[c] = -1
    for kh in range(kernel[0]):
        ih = top + kh * dilation[0]
        if ih < 0 or ih >= height:
            continue
        for kw in range(kernel[1]):
            iw = left + kw * dilation[1]
            if 0 <= iw < width:
                pixel = ih * width + iw
                _challenge(pixels[pixel], pixel, best, winner)


@kernel
def max_pool2d_forward(
    x,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    y,
    argmax,
):
    """Write y and argmax; a thread owns LANES channels of one picture."""
    pictures, channels, out_h, out_w = y.shape
    height, width = x.shape[2:]
    blocks = (channels + LANES - 1) // LANES
    for task in prange(pictures * blocks):
        n = task // blocks
        first = task % blocks * LANES
        end = min(first + LANES, channels)
        pixels = np.empty((height * width, end - first), x.dtype)
        best = np.empty((out_h * out_w, end - first), y.dtype)
        winner = np.empty((out_h * out_w, end - first), argmax.dtype)
        _turn(x[n, first:end].reshape(end - first, -1), pixels)
        for oh in range(out_h):
            for ow in range(out_w):
                _pool_window(
                    pixels,
                    oh * stride_h - pad_top,
                    ow * stride_w - pad_left,
                    height,
                    width,
                    (kernel_h, kernel_w),
                    (dilation_h, dilation_w),
                    best[oh * out_w + ow],
                    winner[oh * out_w + ow],
                )
        _turn(best, y[n, first:end].reshape(end - first, -1))
        _turn(winner, argmax[n, first:end].reshape(end - first, -1))


@kernel
def max_pool2d_backward_input(
    dy,
    argmax,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    dilation_h,
    dilation_w,
    dx,
):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(dx.shape[2]):
            for iw in range(dx.shape[3]):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            for ow in range(dy.shape[3]):
                winner = argmax[n, c, oh, ow]
                if winner >= 0:  # -1: the window lay in the padding alone
                    dx[n, c, winner // dx.shape[3], winner % dx.shape[3]] += dy[n, c, oh, ow]
