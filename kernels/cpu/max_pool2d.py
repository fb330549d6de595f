"""Max pooling, the loops of ``reference/max_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: windows that overlap send their gradients
to pixels of one plane only, so scattering inside a plane can't meet another thread. The tests
for padding become the ends of the loops over kh and kw.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

import numpy as np

from ._jit import helper, kernel, prange


@helper
def _taps_inside(start, kernel, dilation, size):
    """Return the range of taps k for which 0 <= start + k * dilation < size."""
    if start >= 0 and start + (kernel - 1) * dilation < size:
        return 0, kernel
    first = max(0, (dilation - 1 - start) // dilation)
    return first, min(kernel, (size - start + dilation - 1) // dilation)


@helper
def _pool_plane(
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
    """Write one plane of y and argmax."""
    height, width = x.shape
    for oh in range(y.shape[0]):
        top = oh * stride_h - pad_top
        first_kh, end_kh = _taps_inside(top, kernel_h, dilation_h, height)
        for ow in range(y.shape[1]):
            left = ow * stride_w - pad_left
            first_kw, end_kw = _taps_inside(left, kernel_w, dilation_w, width)
            if first_kh >= end_kh or first_kw >= end_kw:  # the window lies in the padding alone
                y[oh, ow] = -np.inf
                argmax[oh, ow] = -1
                continue
            winner = (top + first_kh * dilation_h) * width + left + first_kw * dilation_w
            best = x[winner // width, winner % width]
            for kh in range(first_kh, end_kh):
                ih = top + kh * dilation_h
                for kw in range(first_kw, end_kw):
                    iw = left + kw * dilation_w
                    value = x[ih, iw]
                    # larger, or the first NaN; against a NaN nothing wins any more
                    wins = (not (value <= best)) & (best == best)
                    best = value if wins else best
                    winner = ih * width + iw if wins else winner
            y[oh, ow] = best
            argmax[oh, ow] = winner


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
    """Write y and argmax; a thread owns planes (n, c)."""
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        _pool_plane(
            x[n, c],
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            pad_top,
            pad_left,
            dilation_h,
            dilation_w,
            y[n, c],
            argmax[n, c],
        )


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
