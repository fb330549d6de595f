"""The table that tells implicit GEMM where each tap of a filter lies.

A line for each tap k = (channel, kh, kw): what to add to the offset in memory of the pixel under
the filter's corner, how many rows and columns to go, and what to add to the offset of the filter's
first weight. Lines at the end fill up the last piece of the walk along k; they lie outside of
every picture, so they count as 0.
"""

import numpy as np

OUTSIDE = -(2**30)  # rows above any picture


def fill_up(lines, depth):
    """Return lines as a table whose length is a multiple of depth, of one piece at least."""
    table = np.array(lines, np.int64).reshape(-1, 4)
    missing = -len(table) % depth if len(table) else depth
    table = np.vstack([table, np.tile([0, OUTSIDE, 0, 0], (missing, 1))])
    if np.abs(table).max() >= 2**31:
        raise ValueError(
            "a picture of more than 2**31 numbers is too large for the GPU's implicit GEMM: "
            'use Conv2d(..., algorithm="loops")'
        )
    return table.astype(np.int32)


def forward_taps(channels, kernel_h, kernel_w, dilation_h, dilation_w, height, width, depth):
    """Return the table of y = x * w; channels are those of a group."""
    return fill_up(
        [
            (
                (c * height + kh * dilation_h) * width + kw * dilation_w,
                kh * dilation_h,
                kw * dilation_w,
                (c * kernel_h + kh) * kernel_w + kw,
            )
            for c in range(channels)
            for kh in range(kernel_h)
            for kw in range(kernel_w)
        ],
        depth,
    )


def reaching(offset, kernel, stride, dilation):
    """Return (tap, steps) for the taps through which a pixel was used, along one axis.

    ``offset`` is position plus padding of the pixel, less any multiple of the stride. Output o used
    the pixel through tap k if ``o * stride = pixel + pad - k * dilation``; then o is ``steps``
    outputs from the pixel's own number of strides.
    """
    rests = [(k, offset - k * dilation) for k in range(kernel)]
    return [(k, rest // stride) for k, rest in rests if rest % stride == 0]


def backward_taps(*sizes):
    """Return the table of the gradient of those pixels that lie at one phase of the stride.

    sizes is filters and channels of a group, kernel_h, kernel_w, stride_h, stride_w, dilation_h,
    dilation_w, offset_h, offset_w, out_h, out_w, depth.
    """
    filters, channels, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w = sizes[:8]
    offset_h, offset_w, out_h, out_w, depth = sizes[8:]
    taps = kernel_h * kernel_w
    return fill_up(
        [
            (
                (co * out_h + down) * out_w + along,
                down,
                along,
                co * channels * taps + kh * kernel_w + kw,
            )
            for co in range(filters)
            for kh, down in reaching(offset_h, kernel_h, stride_h, dilation_h)
            for kw, along in reaching(offset_w, kernel_w, stride_w, dilation_w)
        ],
        depth,
    )
