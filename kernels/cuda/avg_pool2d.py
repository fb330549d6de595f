"""Average pooling, the loops of ``reference/avg_pool2d.py`` turned inside out.

Forward: a thread owns one y[n, c, oh, ow] and adds up its window, as the reference does.

Backward: the reference goes from window to window and adds a share to every pixel of each
(scatter). Windows overlap, so two threads could add to one pixel at the same moment and lose
one of the two. Here a thread owns one dx[n, c, ih, iw] and goes through the windows that see
this pixel (gather, ``_index.py``): each number is written once, by one thread, and the shares
are added in the reference's order.

Shapes and letters as in ``reference/avg_pool2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, device, kernel, launch
from ._index import larger, smaller, unravel4, windows_over


@device
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
        return (smaller(top + kernel_h, height + pad_top) - top) * (
            smaller(left + kernel_w, width + pad_left) - left
        )
    return (smaller(top + kernel_h, height) - larger(top, 0)) * (
        smaller(left + kernel_w, width) - larger(left, 0)
    )


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
    """Write y; a thread owns one y[n, c, oh, ow]."""
    launch(
        _forward,
        y.size,
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
    )


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
    """Write dx; a thread owns one dx[n, c, ih, iw] and gathers from the windows over it."""
    launch(
        _backward_input,
        dx.size,
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
    )


@kernel
def _forward(
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
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        height, width = x.shape[2:]
        total = x.dtype.type(0)
        for kh in range(kernel_h):
            ih = oh * stride_h - pad_top + kh
            if 0 <= ih < height:
                for kw in range(kernel_w):
                    iw = ow * stride_w - pad_left + kw
                    if 0 <= iw < width:
                        total += x[n, c, ih, iw]
        divisor = window_divisor(
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
        y[n, c, oh, ow] = total / x.dtype.type(divisor)


@kernel(registers=96)
def _backward_input(
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
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        first_oh, end_oh = windows_over(ih, pad_top, kernel_h, stride_h, dy.shape[2])
        first_ow, end_ow = windows_over(iw, pad_left, kernel_w, stride_w, dy.shape[3])
        height, width = dx.shape[2:]
        total = dx.dtype.type(0)
        for oh in range(first_oh, end_oh):
            for ow in range(first_ow, end_ow):
                divisor = window_divisor(
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
                total += dy[n, c, oh, ow] / dy.dtype.type(divisor)
        dx[n, c, ih, iw] = total
