"""Sums over everything but the channels: what every bias gradient is."""

from ._jit import helper, kernel, prange


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
