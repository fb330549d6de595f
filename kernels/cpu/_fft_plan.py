"""How a convolution by Fourier transforms is cut into pieces: tiles of outputs, slices of those.

A tile with few outputs is mostly overlap: its windows see as much as those of its neighbours. One
with many needs long transforms, and every pair of channels a spectrum of its length.
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy.fft

from . import _simd

LIMIT = 1 << 24  # bytes of a temporary array: 16 MiB, which many processors hold in cache
# How long things take beside the transform of a number, which takes log2(size). Measured.
PRODUCT = 0.2  # a product of two numbers
PASSING = 6  # cutting a number into its tile, gathering it, putting it down
WEIGHT = 0.7  # the transform of a number of the weights, most of whose rows are zeros


class Plan(NamedTuple):
    """How outputs are cut into tiles: their number, their distance, and the transform's size."""

    tiles: tuple
    step: tuple
    size: tuple

    @property
    def area(self):
        """Return how many numbers a transform takes."""
        return self.size[0] * self.size[1]

    @property
    def floats(self):
        """Return how many float32 numbers a spectrum holds."""
        return 2 * self.size[0] * (self.size[1] // 2 + 1)


def _sizes(out, span, multiple):
    """Return (tiles, step, size of the transform) for one axis: from one tile to many."""
    found = []
    for tiles in range(1, max(1, out // span) + 1):
        least = -(-out // tiles) + span - 1
        size = multiple * scipy.fft.next_fast_len(-(-least // multiple), real=True)
        step = min(out, size - span + 1)
        if not found or size < found[-1][2]:
            found.append((-(-out // step), step, size))
    return found


@functools.lru_cache(maxsize=256)
def plan(batch, channels, filters, out_h, out_w, span_h, span_w):
    """Return the quickest `Plan` for outputs (out_h, out_w) of windows (span_h, span_w).

    channels and filters are those of a group.
    """
    best, least = None, np.inf
    for down in _sizes(out_h, span_h, _simd.WIDTH // 2):  # so that spectra are whole vectors
        for across in _sizes(out_w, span_w, 1):
            own = Plan(*zip(down, across, strict=True))
            count = batch * own.tiles[0] * own.tiles[1]
            pairs = channels * filters
            steps = np.log2(own.area)
            pictures = count * (channels + filters) * (steps + PASSING)
            time = own.area * (pictures + pairs * (WEIGHT * steps + PRODUCT * count))
            if time < least:
                best, least = own, time
    return best


def slices(groups, rows, channels, own):
    """Return (first group, end, first filter, end) of slices whose spectra keep to LIMIT."""
    plane = 4 * own.floats * channels
    filters = min(rows, max(1, LIMIT // plane))
    together = max(1, LIMIT // (plane * filters))  # groups; 1 where filters is less than rows
    found = []
    for group in range(0, groups, together):
        end = min(groups, group + together)
        for row in range(0, rows, filters):
            stop = end * rows if filters == rows else group * rows + min(rows, row + filters)
            found.append((group, end, group * rows + row, stop))
    return found


def tile_slices(batch, planes, own):
    """Return (first tile, count) of slices whose spectra, of `planes` each, keep to LIMIT."""
    total = batch * own.tiles[0] * own.tiles[1]
    count = max(1, LIMIT // (4 * own.floats * planes))
    return [(first, min(count, total - first)) for first in range(0, total, count)]
