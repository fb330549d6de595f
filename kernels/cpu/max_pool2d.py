"""Max pooling, the loops of ``reference/max_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: windows that overlap send their gradients
to pixels of one plane only, so scattering inside a plane can't meet another thread. Forward turns the nest
around: for a tap (kh, kw) a whole row of windows compares at once, over the range of ow in which
that tap lies inside the picture.

Shapes and letters as in ``reference/max_pool2d.py``; every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def _compete(row, step, position, best, winner):
    """Let one pixel of each window of a row of windows compete with the best so far.

    ``winner`` is -1 where no pixel has competed yet. Choices instead of branches, so that the
    compiler can compare several windows at once.
    """
    for i in range(best.size):
        value = row[i * step]
        first_nan = (value != value) & (best[i] == best[i])
        wins = (winner[i] < 0) | (value > best[i]) | first_nan
        best[i] = value if wins else best[i]
        winner[i] = position + i * step if wins else winner[i]


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
    height = x.shape[2]
    width = x.shape[3]
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            best = y[n, c, oh]
            winner = argmax[n, c, oh]
            for ow in range(best.size):
                best[ow] = 0
                winner[ow] = -1
            for kh in range(kernel_h):
                ih = oh * stride_h - pad_top + kh * dilation_h
                if 0 <= ih < height:
                    for kw in range(kernel_w):
                        left = kw * dilation_w - pad_left
                        begin = max(0, (stride_w - 1 - left) // stride_w)
                        end = min(best.size, (width - left + stride_w - 1) // stride_w)
                        end = max(begin, end)
                        iw = begin * stride_w + left
                        row = x[n, c, ih, iw:]
                        at = ih * width + iw
                        _compete(row, stride_w, at, best[begin:end], winner[begin:end])


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
