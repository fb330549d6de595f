"""Pictures laid out so that every filter tap reads one unbroken run of memory.

``split`` copies each picture into a frame of zeros (the padding) and, where the stride is not
1, deals its pixels out to ``stride_h * stride_w`` smaller planes: pixel (i, j) of the framed
picture goes to plane (i % stride_h, j % stride_w). A convolution with a stride is then several
convolutions without one. One row with stride 2 and padding 1::

    picture            1 2 3 4 5
    framed           0 1 2 3 4 5 0
    planes           0 2 4 0   and   1 3 5 .

Each small plane is ``width`` wide. The output at (oh, ow) stands at ``p = oh * width + ow`` and
the tap (kh, kw) reads ``planes[offset[kh, kw] + p]``: the same distance ahead for every output.
So the loops over oh and ow become one loop over p. Where ow runs past the end of a row of
outputs, the loop computes numbers that nobody uses; that is the price.
"""

import numpy as np

from ._jit import kernel, prange


class Layout:
    """Sizes and tap offsets of the planes for one convolution.

    Parameters
    ----------
    kernel, stride, dilation : pair of int
        Height and width of the filter, its step, and the distance between its taps.
    out : pair of int
        Height and width of the output.
    slack : int
        Numbers after the last plane that may be read, for loops that work in whole vectors.
    """

    def __init__(self, kernel, stride, dilation, out, slack=0):
        self.stride = stride
        self.height = out[0] + (kernel[0] - 1) * dilation[0] // stride[0]
        self.width = out[1] + (kernel[1] - 1) * dilation[1] // stride[1]
        self.row_size = out[0] * self.width
        # the last output of the last tap reads up to width - 1 numbers beyond the last plane
        self.size = stride[0] * stride[1] * self.height * self.width + self.width + slack
        self.offsets = np.empty(kernel, np.int64)
        for kh in range(kernel[0]):
            for kw in range(kernel[1]):
                down = kh * dilation[0]
                right = kw * dilation[1]
                plane = down % stride[0] * stride[1] + right % stride[1]
                row = plane * self.height + down // stride[0]
                self.offsets[kh, kw] = row * self.width + right // stride[1]

    def split(self, x, pad_top, pad_left):
        """Return the pictures x (N, C, H, W) as planes (N, C, size)."""
        planes = np.empty((*x.shape[:2], self.size), x.dtype)
        split(x, *self.stride, pad_top, pad_left, 0, self.height, self.width, planes)
        return planes

    def stretch(self, dy, before=0, size=None, spare=0):
        """Return outputs (N, C, OH, OW) as rows as wide as the planes, zero where nobody looks.

        A row has `size` numbers (by default as many as it needs), the first `before` of them 0;
        `spare` rows of zeros follow the channels of each picture.
        """
        rows = np.empty((dy.shape[0], dy.shape[1] + spare, size or self.row_size), dy.dtype)
        split(dy, 1, 1, 0, 0, before, dy.shape[2], self.width, rows)
        return rows


@kernel
def split(x, stride_h, stride_w, pad_top, pad_left, before, height, width, planes):
    """Write planes from the pictures x, from the position `before` on, and zeros elsewhere.

    A thread owns one channel of one picture at a time; planes may have more channels than x.
    """
    for nc in prange(planes.shape[0] * planes.shape[1]):
        n = nc // planes.shape[1]
        c = nc % planes.shape[1]
        for p in range(planes.shape[2]):
            planes[n, c, p] = 0
        if c >= x.shape[1]:
            continue
        for i in range(pad_top, min(x.shape[2] + pad_top, height * stride_h)):
            row = x[n, c, i - pad_top]
            for b in range(stride_w):
                plane = i % stride_h * stride_w + b
                at = before + (plane * height + i // stride_h) * width
                first = max(0, (pad_left - b + stride_w - 1) // stride_w)
                end = min(width, (row.size + pad_left - b + stride_w - 1) // stride_w)
                target = planes[n, c, at + first : at + end]
                source = row[first * stride_w + b - pad_left :]
                for j in range(target.size):
                    target[j] = source[j * stride_w]


@kernel
def join(planes, stride_h, stride_w, pad_top, pad_left, height, width, x):
    """Write the pictures x from planes, the inverse of ``split``; what no window saw is 0."""
    for nc in prange(x.shape[0] * x.shape[1]):
        n = nc // x.shape[1]
        c = nc % x.shape[1]
        for ih in range(x.shape[2]):
            i = ih + pad_top
            row = x[n, c, ih]
            for iw in range(row.size):
                row[iw] = 0
            if i < height * stride_h:
                for b in range(stride_w):
                    at = ((i % stride_h * stride_w + b) * height + i // stride_h) * width
                    first = max(0, (pad_left - b + stride_w - 1) // stride_w)
                    end = min(width, (row.size + pad_left - b + stride_w - 1) // stride_w)
                    source = planes[n, c, at + first : at + end]
                    target = row[first * stride_w + b - pad_left :]
                    for j in range(source.size):
                        target[j * stride_w] = source[j]
