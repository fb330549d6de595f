"""Max pooling, the loops of ``reference/max_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: windows that overlap send their gradients
to pixels of one plane only, so scattering inside a plane can't meet another thread. The tests
for padding become the ends of the loops over kh and kw.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def _winner(x, top, left, kernel_h, kernel_w, dilation_h, dilation_w):
    """Return position of the largest value of one window of the plane x; -1 if it is empty."""
    height, width = x.shape
    best = x.dtype.type(0)
    winner = -1
    for kh in range(kernel_h):
        ih = top + kh * dilation_h
        if 0 <= ih < height:
            for kw in range(kernel_w):
                iw = left + kw * dilation_w
                if 0 <= iw < width:
                    value = x[ih, iw]
                    first_nan = value != value and best == best
                    if winner < 0 or value > best or first_nan:
                        best = value
                        winner = ih * width + iw
    return winner


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
        for oh in range(y.shape[2]):
            for ow in range(y.shape[3]):
                top = oh * stride_h - pad_top
                left = ow * stride_w - pad_left
                winner = _winner(x[n, c], top, left, kernel_h, kernel_w, dilation_h, dilation_w)
                y[n, c, oh, ow] = x[n, c, winner // x.shape[3], winner % x.shape[3]]
                argmax[n, c, oh, ow] = winner


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
                dx[n, c, winner // dx.shape[3], winner % dx.shape[3]] += dy[n, c, oh, ow]
