"""How a convolution over pictures that lie channels last is cut into bands and phases.

Which numbers an output needs is put into tables once, in Python; the loops of ``conv2d_direct.py``
then know nothing of stride, dilation and padding.
"""

import numpy as np

from . import _simd
from ._jit import helper, kernel, prange

WIDTH = _simd.WIDTH
ROWS = 6 if WIDTH == 8 else 12
FRAME = 1 << 17  # numbers of a band's frame, at most, where a band has more than one row
TASKS = 16  # a batch of fewer pictures is cut into bands of rows
PIECE = 1 << 14  # numbers that a thread sets to 0 at a time
LEAST_PIXELS = 4 * ROWS  # of a band, so that its last tile, seldom full, is one of several


class Bands:
    """How pictures are cut into bands of output rows, and where each output finds its numbers.

    A band is some rows of a picture, or several whole pictures where those are small: then the
    last tile of pixels, which is seldom full, is one of many.

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
    tasks : int
        How many bands there should be, if the batch has them.
    pixels : int
        Whole pictures are put together up to so many outputs.
    room : int
        Numbers of a band's frame, at most, where it has more than one row.
    """

    def __init__(
        self, pictures, source, out, step, reach, corner, tasks=TASKS, pixels=0, room=FRAME
    ):
        (height, width), channels = out, source[2]
        wide = (width - 1) * step[1] + reach[1]
        # whole rows of the source can be read where they are
        self.columns = source[1] if corner[1] == 0 and wide <= source[1] else wide
        self.line = self.columns * channels
        fits = max(1, (room // self.line - reach[0]) // step[0] + 1)
        wanted = max(-(-height * pictures // tasks), -(-LEAST_PIXELS // width))
        self.rows = max(1, min(height, fits, wanted))
        self.number = -(-height // self.rows)
        self.height = (self.rows - 1) * step[0] + reach[0]
        self.top, self.left = corner
        self.step = self.rows * step[0]
        last = (height - (self.number - 1) * self.rows) * width
        inside = self.top == 0 and (height - 1) * step[0] + reach[0] <= source[0]
        self.bare = inside and self.left == 0 and wide <= source[1] and last >= ROWS
        if self.bare and self.number == 1:
            self.height = source[0]  # from one picture to the next, framed or not
        self.together = 1
        if self.number == 1:
            most = min(pictures // tasks, pixels // (height * width))
            self.together = max(1, min(most, room // (self.height * self.line)))
        self.bands = -(-pictures // self.together) * self.number
        rows = np.arange(self.rows)[:, None] * (step[0] * self.line)
        places = rows + np.arange(width) * (step[1] * channels)
        places = (
            np.arange(self.together)[:, None] * self.height * self.line + places.ravel()
        ).ravel()
        # the last tile of a band may be short of pixels: it computes its last pixel several times
        self.starts = np.full(_simd.round_up(places.size, ROWS), places[-1])
        self.starts[: places.size] = places

    def numbers(self):
        """Return what the kernels need beside `starts`."""
        place = self.number, self.rows, self.height, self.columns, self.top, self.left, self.step
        return *place, self.together


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


def phases(kernel, geometry, size):
    """Yield the phases of rows and columns of pictures of this size that windows look at."""
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, _ = geometry
    for phase in range(stride_h * stride_w):
        down = Phase(phase // stride_w, size[0], kernel[0], stride_h, pad_top, dilation_h)
        right = Phase(phase % stride_w, size[1], kernel[1], stride_w, pad_left, dilation_w)
        if down.taps.size * right.taps.size and down.count * right.count:
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


@kernel
def clear_all(target):
    """target[k] = 0; a thread owns pieces."""
    for piece in prange((target.size + PIECE - 1) // PIECE):
        whole = _simd.pointer(target, 0)
        clear(whole, piece * PIECE, min(target.size, (piece + 1) * PIECE))


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
def band_of(source, on, masked, sizes, n, several, band, bands, bare, room):
    """Return where the numbers of a band of pictures n, n + 1, ... begin.

    That is where they lie, if it is `bare`; if not, they are framed in `room`.
    """
    _, _, height, columns, top, left, step, _ = bands
    numbers, mask = _simd.pointer(source, 0), _simd.pointer(on, 0)
    if bare:
        return _simd.pointer(source, (n * sizes[0] + band * step) * sizes[1] * sizes[2])
    for each in range(several):
        place = n + each, top + band * step, left, height, columns
        target = _simd.pointer(room, each * height * columns * sizes[2])
        frame(numbers, mask, masked, sizes, *place, target)
    return room


@helper
def put_rows(sums, wide, places, count, whole, begin, y):
    """y[places[i] + begin + j] = sums[i, j]: a tile that isn't whole, or whose pixels lie apart."""
    for i in range(count):
        for j in range(0, whole, WIDTH):
            vector = _simd.load(sums, i * wide + j)
            _simd.store_some(vector, y, places[i] + begin + j, whole - j)
