"""How a convolution over pictures that lie channels last is cut into bands and phases.

Which numbers an output needs is put into tables once, in Python; the loops of ``conv2d_direct.py``
then know nothing of stride, dilation and padding.
"""

import numpy as np

from . import _simd
from ._jit import helper

WIDTH = _simd.WIDTH
ROWS = 6 if WIDTH == 8 else 12
FRAME = 1 << 17  # numbers of a band's frame, at most, where a band has more than one row
TASKS = 16  # a batch of fewer pictures is cut into bands of rows


class Bands:
    """How pictures are cut into bands of output rows, and where each output finds its numbers.

    Parameters
    ----------
    pictures : int
    source : (height, width, channels)
        What is read.
    out : (height, width)
        Outputs of a picture.
    step : (int, int)
        Rows and columns of the source from one output to the next.
    reach : (int, int)
        Rows and columns of the source that one output sees.
    corner : (int, int)
        Where the first output's window begins; negative in the padding.
    """

    def __init__(self, pictures, source, out, step, reach, corner):
        (height, width), channels = out, source[2]
        self.columns = (width - 1) * step[1] + reach[1]
        fits = max(1, (FRAME // (self.columns * channels) - reach[0]) // step[0] + 1)
        wanted = -(-height * pictures // TASKS) if pictures else height
        self.rows = max(1, min(height, fits, max(wanted, 1)))
        self.number = -(-height // self.rows)
        self.height = (self.rows - 1) * step[0] + reach[0]
        self.top, self.left = corner
        self.step = self.rows * step[0]
        self.line = self.columns * channels
        rows = np.arange(self.rows)[:, None] * (step[0] * self.line)
        places = (rows + np.arange(width) * (step[1] * channels)).ravel()
        # the last tile of a band may be short of pixels: it computes its last pixel several times
        self.starts = np.full(_simd.round_up(places.size, ROWS), places[-1])
        self.starts[: places.size] = places

    def numbers(self):
        """Return what the kernels need beside `starts`."""
        return self.number, self.rows, self.height, self.columns, self.top, self.left, self.step


def taps_of(kernel_h, kernel_w, dilation_h, dilation_w, bands, channels, groups):
    """Return where the taps begin in a window, and how many numbers lie side by side from there."""
    rows = np.arange(kernel_h) * (dilation_h * bands.line)
    if groups == 1 and dilation_w == 1:
        return rows, kernel_w * channels
    columns = np.arange(kernel_w) * (dilation_w * channels)
    return (rows[:, None] + columns).ravel(), channels // groups


class Phase:
    """The taps of one axis that reach the pixels r with (r + pad) % stride == phase.

    Such a pixel is ``first + u * stride``; tap k meets output ``u + corner - shifts[k]``.
    """

    def __init__(self, phase, size, taps, stride, pad, dilation):
        self.first = (phase - pad) % stride
        self.count = max(0, -(-(size - self.first) // stride))
        steps = np.arange(taps) * dilation
        self.taps = np.flatnonzero(steps % stride == phase)
        shifts = (steps[self.taps] - phase) // stride
        self.reach = int(shifts.max()) + 1 if shifts.size else 1
        self.shifts = self.reach - 1 - shifts
        self.corner = (self.first + pad - phase) // stride - (self.reach - 1)
        self.pixels = self.first + np.arange(self.count) * stride


def phases(kernel, geometry, dx):
    """Yield the phases of rows and columns of dx, a picture channels last, that windows look at.

    The pixels that no window looks at are set to 0.
    """
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, _ = geometry
    for phase in range(stride_h * stride_w):
        down = Phase(phase // stride_w, dx.shape[1], kernel[0], stride_h, pad_top, dilation_h)
        right = Phase(phase % stride_w, dx.shape[2], kernel[1], stride_w, pad_left, dilation_w)
        if not down.taps.size * right.taps.size:
            dx[:, down.first :: stride_h, right.first :: stride_w] = 0
        elif down.count * right.count:
            yield down, right


@helper
def copy(source, on, masked, count, target):
    """target[k] = source[k], or 0 where a mask is given and on[k] isn't positive."""
    whole = count // WIDTH * WIDTH
    for k in range(0, whole, WIDTH):
        vector = _simd.load(source, k)
        if masked:
            vector = _simd.where_positive(vector, _simd.load(on, k))
        _simd.store(vector, target, k, 0)
    for k in range(whole, count):
        shown = not masked or not on[k] <= 0
        target[k] = source[k] if shown else np.float32(0)


@helper
def clear(target, begin, end):
    """target[k] = 0 for k from begin to end."""
    none = _simd.zeros(1, 1)
    whole = begin + (end - begin) // WIDTH * WIDTH
    for k in range(begin, whole, WIDTH):
        _simd.store(none, target, k, 0)
    for k in range(whole, end):
        target[k] = np.float32(0)


@helper
def frame(source, on, masked, sizes, n, top, left, height, columns, framed):
    """framed[i, j, c] = source[n, top + i, left + j, c], zeros where there is no such pixel.

    sizes is (rows, columns, channels) of the pictures. Where a mask is given, numbers count as 0
    wherever `on` isn't positive.
    """
    rows, width, channels = sizes
    line = columns * channels
    begin = min(max(0, -left), columns)
    end = max(begin, min(columns, width - left))
    for i in range(height):
        ih = top + i
        if ih < 0 or ih >= rows:
            clear(framed, i * line, (i + 1) * line)
            continue
        first = ((n * rows + ih) * width + left + begin) * channels
        target = i * line + begin * channels
        clear(framed, i * line, target)
        inner = _simd.pointer(source, first), _simd.pointer(on, first)
        copy(*inner, masked, (end - begin) * channels, _simd.pointer(framed, target))
        clear(framed, i * line + end * channels, (i + 1) * line)


@helper
def put_rows(sums, wide, places, count, whole, begin, y):
    """y[places[i] + begin + j] = sums[i, j]: a tile that isn't whole, or whose pixels lie apart."""
    for i in range(count):
        for j in range(0, whole, WIDTH):
            vector = _simd.load(sums, i * wide + j)
            _simd.store_some(vector, y, places[i] + begin + j, whole - j)
