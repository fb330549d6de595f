"""Average pooling: the mean of each window.

Shapes: x (N, C, H, W), y (N, C, OH, OW); ``ih = oh * stride_h - pad_top + kh``, likewise
``iw``. The divisor is torch's: the window clipped to the padded picture when
``count_include_pad`` is 1, to the picture itself when it is 0, or ``divisor_override`` when
that is not 0. The padded picture is ``pad_top`` larger on both sides.

    y[n, c, oh, ow] = (sum over kh, kw of x[n, c, ih, iw]) / divisor(oh, ow)

so each pixel of the window receives ``dy / divisor``. Every output array is overwritten.
"""


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
    """Write y; every (n, c) plane is independent of the others."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    total = x.dtype.type(0)
                    for kh in range(kernel_h):
                        for kw in range(kernel_w):
                            ih = oh * stride_h - pad_top + kh
                            iw = ow * stride_w - pad_left + kw
                            if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                total += x[n, c, ih, iw]
                    y[n, c, oh, ow] = total / window_divisor(
                        oh,
                        ow,
                        x.shape[2],
                        x.shape[3],
                        kernel_h,
                        kernel_w,
                        stride_h,
                        stride_w,
                        pad_top,
                        pad_left,
                        count_include_pad,
                        divisor_override,
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
    """Write dx: spread each dy evenly over the window it was the mean of."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    share = dy[n, c, oh, ow] / window_divisor(
                        oh,
                        ow,
                        dx.shape[2],
                        dx.shape[3],
                        kernel_h,
                        kernel_w,
                        stride_h,
                        stride_w,
                        pad_top,
                        pad_left,
                        count_include_pad,
                        divisor_override,
                    )
                    for kh in range(kernel_h):
                        for kw in range(kernel_w):
                            ih = oh * stride_h - pad_top + kh
                            iw = ow * stride_w - pad_left + kw
                            if 0 <= ih < dx.shape[2] and 0 <= iw < dx.shape[3]:
                                dx[n, c, ih, iw] += share
