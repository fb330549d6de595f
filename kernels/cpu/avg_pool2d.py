"""Average pooling, the loops of ``reference/avg_pool2d.py`` on every core.

A thread owns whole planes (n, c), in both directions: overlapping windows share pixels of one
plane only. The tests for padding become the ends of the loops over ih and iw.

Shapes and letters as in ``reference/avg_pool2d.py``; every output array is overwritten.
"""

from ._jit import helper, kernel, prange


@helper
def window_divisor(
    oh,
    ow,
    height,
    width,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
):
    """Return how many pixels the window at (oh, ow) is divided by."""
    if divisor_override != 0:
        return divisor_override
    top = oh * stride_h - pad_top
    left = ow * stride_w - pad_left
    if count_include_pad:
        return (min(top + kernel_h, height + pad_top) - top) * (
            min(left + kernel_w, width + pad_left) - left
        )
    return (min(top + kernel_h, height) - max(top, 0)) * (
        min(left + kernel_w, width) - max(left, 0)
    )


@kernel
def avg_pool2d_forward(
    x,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
    y,
):
    """Write y; a thread owns planes (n, c)."""
    height = x.shape[2]
    width = x.shape[3]
    for nc in prange(y.shape[0] * y.shape[1]):
        n = nc // y.shape[1]
        c = nc % y.shape[1]
        for oh in range(y.shape[2]):
            top = oh * stride_h - pad_top
            for ow in range(y.shape[3]):
                left = ow * stride_w - pad_left
                total = x.dtype.type(0)
                for ih in range(max(top, 0), min(top + kernel_h, height)):
                    for iw in range(max(left, 0), min(left + kernel_w, width)):
                        total += x[n, c, ih, iw]
                y[n, c, oh, ow] = total / x.dtype.type(
                    window_divisor(
                        oh,
                        ow,
                        height,
                        width,
                        kernel_h,
                        kernel_w,
                        stride_h,
                        stride_w,
                        pad_top,
                        pad_left,
                        count_include_pad,
                        divisor_override,
                    )
                )


@kernel
def avg_pool2d_backward_input(
    dy,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_top,
    pad_left,
    count_include_pad,
    divisor_override,
    dx,
):
    """Write dx; a thread owns planes (n, c) and scatters inside them."""
    height = dx.shape[2]
    width = dx.shape[3]
    for nc in prange(dx.shape[0] * dx.shape[1]):
        n = nc // dx.shape[1]
        c = nc % dx.shape[1]
        for ih in range(height):
            for iw in range(width):
                dx[n, c, ih, iw] = 0
        for oh in range(dy.shape[2]):
            top = oh * stride_h - pad_top
            for ow in range(dy.shape[3]):
                left = ow * stride_w - pad_left
                share = dy[n, c, oh, ow] / dy.dtype.type(
                    window_divisor(
                        oh,
                        ow,
                        height,
                        width,
                        kernel_h,
                        kernel_w,
                        stride_h,
                        stride_w,
                        pad_top,
                        pad_left,
                        count_include_pad,
                        divisor_override,
                    )
                )
                for ih in range(max(top, 0), min(top + kernel_h, height)):
                    for iw in range(max(left, 0), min(left + kernel_w, width)):
                        dx[n, c, ih, iw] += share
