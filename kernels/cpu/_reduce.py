"""Sums over everything but the channels: what every bias gradient is."""

import numpy as np

from ._jit import helper, kernel, prange

PIXELS = 256  # summed up before sums of sums are taken, which rounds less
LINE = 128  # numbers of a row, at least, for whose loop it is worth to start


@helper
def _sum(row):
    total = row.dtype.type(0)
    for p in range(row.size):
        total += row[p]
    return total


@kernel
def sum_channels(dy, total):
    """Write total[c] = sum over n and p of dy[n, c, p]; a thread owns channels c."""
    for c in prange(dy.shape[1]):
        total[c] = 0
        for n in range(dy.shape[0]):
            total[c] += _sum(dy[n, c])


@kernel
def sum_rows(dy, on, masked, parts):
    """Write parts[i, c] = sum over the i-th share of the rows of dy; a thread owns shares.

    Where a mask is given, numbers count as 0 wherever `on` isn't positive.
    """
    rows, channels = dy.shape
    shares = parts.shape[0]
    zero = dy.dtype.type(0)
    for share in prange(shares):
        total = parts[share]
        for c in range(channels):
            total[c] = 0
        for r in range(share * rows // shares, (share + 1) * rows // shares):
            row = dy[r]
            shown = on[r]
            if masked:
                for c in range(channels):
                    total[c] += zero if shown[c] <= zero else row[c]
            else:
                for c in range(channels):
                    total[c] += row[c]


def fold(matrix):
    """Return a matrix (rows, columns) as one with longer rows, several of the old side by side."""
    rows, columns = matrix.shape
    several = 1
    while several * columns < LINE and rows % (2 * several) == 0 and rows:
        several *= 2
    return matrix.reshape(rows // several, several * columns)


def sum_pixels(dy, on, masked, total):
    """Write total[c] = sum over the rows of dy (rows, channels); a thread owns rows.

    Where a mask is given, numbers count as 0 wherever `on` isn't positive.
    """
    rows = fold(dy)
    parts = np.empty((max(1, rows.shape[0] // PIXELS), rows.shape[1]), dy.dtype)
    sum_rows(rows, fold(on), masked, parts)
    total[...] = parts.reshape(-1, total.size).sum(axis=0)
