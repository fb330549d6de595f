"""Passes over the columns of a matrix (rows, columns): normalisation of channels that lie last.

Vectors run over columns. Sums go over slices of rows, whose number doesn't depend on that of the
threads, and are added up in order; they are float64, over float32 numbers too, as in
``_moments.py``, where also stands why the mean is cut in two.

Every difference is as written (`exact_kernel`): ``(x - near) * scale`` is not
``x * scale - near * scale`` where near is large.
"""

import numpy as np

from ._jit import exact_kernel, kernel, prange
from ._lanes import WIDTH, beats, choose, every, load, minus, over, plus, plus_product, store, wide
from ._reduce import fold, sum_rows

SLICES = 32
LEAST_ROWS = 64  # of a slice
SAMPLE = 16  # rows whose mean is the shift
BLOCK = 64  # rows of a task
NEAR = 16  # rows that are in the fastest cache at once, in three arrays


def as_columns(*arrays):
    """Return arrays (N, C, S) as matrices, if in all of them the channels lie last; else None."""
    channels = arrays[0].shape[1]
    if channels == 1 or not all(a.transpose(0, 2, 1).flags.c_contiguous for a in arrays):
        return None
    return [fold(a.transpose(0, 2, 1).reshape(-1, channels)) for a in arrays]


def _slices_of(matrix):
    """Return where slices of the rows begin, and the end."""
    rows = matrix.shape[0]
    number = min(SLICES, max(1, rows // LEAST_ROWS))
    return np.arange(number + 1) * rows // number


@kernel
def _deviations(x, columns, bounds, shift, total, square):
    """Write a shift near the mean, and the sums of d and d², d = x - shift; for each slice."""
    for part in prange(bounds.size - 1):
        begin, end = bounds[part], bounds[part + 1]
        sample = min(SAMPLE, end - begin)
        for first in range(begin, end, NEAR):
            for c in range(0, columns, WIDTH):
                lanes = min(WIDTH, columns - c)
                at = part * columns + c
                if first == begin:
                    near = every(shift, 0, lanes)
                    for r in range(begin, begin + sample):
                        near = plus(near, wide(load(x, r * columns + c, lanes)))
                    store(over(near, sample), shift, at, lanes)
                    store(every(total, 0, lanes), total, at, lanes)
                    store(every(square, 0, lanes), square, at, lanes)
                near = load(shift, at, lanes)
                sums, squares = load(total, at, lanes), load(square, at, lanes)
                for r in range(first, min(end, first + NEAR)):
                    away = minus(wide(load(x, r * columns + c, lanes)), near)
                    sums = plus(sums, away)
                    squares = plus_product(squares, away, away)
                store(sums, total, at, lanes)
                store(squares, square, at, lanes)


@np.errstate(all="ignore")
def moments(x, channels):
    """Return mean and variance of each channel of a matrix, folded or not.

    Each slice has its own shift, the mean of some of its rows; so its sums lose nothing to a mean
    far from 0. Slices are put together as in Chan, Golub and LeVeque, "Algorithms for computing
    the sample variance", 1983.
    """
    bounds = _slices_of(x)
    parts = np.empty((3, (bounds.size - 1) * x.shape[1]))
    _deviations(x.reshape(-1), x.shape[1], bounds, *parts)
    counts = np.repeat(np.diff(bounds), x.shape[1] // channels)[:, None]
    shift, total, square = parts.reshape(3, -1, channels)
    off = total / counts
    means = (shift - shift[0]) + off  # as seen from the first shift, also small
    number = counts.sum()
    mean = (means * counts).sum(axis=0) / number
    square += counts * ((means - mean) ** 2 - off * off)
    return shift[0] + mean, np.maximum(square.sum(axis=0), 0) / number


@kernel
def _products(dy, on, masked, x, columns, bounds, centre, total, product):
    """Write the sums of dy and of dy * (x - centre), for each slice.

    Where a mask is given, dy counts as 0 wherever `on` isn't positive.
    """
    for part in prange(bounds.size - 1):
        begin, end = bounds[part], bounds[part + 1]
        for at in range(part * columns, (part + 1) * columns):
            total[at] = product[at] = 0
        for first in range(begin, end, NEAR):
            for c in range(0, columns, WIDTH):
                lanes = min(WIDTH, columns - c)
                at = part * columns + c
                near = load(centre, c, lanes)
                sums, both = load(total, at, lanes), load(product, at, lanes)
                for r in range(first, min(end, first + NEAR)):
                    given = load(dy, r * columns + c, lanes)
                    if masked:
                        shown = beats(load(on, r * columns + c, lanes), every(on, 0, lanes))
                        given = choose(shown, given, every(dy, 0, lanes))
                    grad = wide(given)
                    away = minus(wide(load(x, r * columns + c, lanes)), near)
                    sums = plus(sums, grad)
                    both = plus_product(both, grad, away)
                store(sums, total, at, lanes)
                store(both, product, at, lanes)


def products(dy, x, centre, on=None):
    """Return the sums of dy and of dy * (x - centre) of each channel.

    Where `on` is given, here and below, dy counts as 0 wherever that isn't positive.
    """
    bounds = _slices_of(x)
    parts = np.empty((2, (bounds.size - 1) * x.shape[1]))
    masked = on is not None
    given = dy.reshape(-1), (on if masked else dy).reshape(-1), masked
    _products(*given, x.reshape(-1), x.shape[1], bounds, repeated(centre, x), *parts)
    return parts.reshape(2, -1, centre.size).sum(axis=1)


def totals(dy, channels):
    """Return the sum of dy of each channel."""
    parts = np.empty((_slices_of(dy).size - 1, dy.shape[1]))
    sum_rows(dy, dy, False, parts)
    return parts.reshape(-1, channels).sum(axis=0)


def repeated(values, matrix, dtype=np.float64):
    """Return one number per channel as one per column of a folded matrix."""
    return np.tile(values.astype(dtype), matrix.shape[1] // values.size)


@exact_kernel
def _lines(x, near, scale, rest, relu, y):
    """Write y = (x - near) * scale + rest, if `relu` 0 where negative; a thread owns BLOCK rows."""
    zero = x.dtype.type(0)
    rows, columns = x.shape
    for block in prange((rows + BLOCK - 1) // BLOCK):
        for r in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            source, target = x[r], y[r]
            if relu:
                for c in range(columns):
                    value = (source[c] - near[c]) * scale[c] + rest[c]
                    target[c] = zero if value <= zero else value
            else:
                for c in range(columns):
                    target[c] = (source[c] - near[c]) * scale[c] + rest[c]


@np.errstate(all="ignore")
def lines(x, weight, bias, mean, var, eps, y, relu=False):
    """Write y = weight * (x - mean) / sqrt(var + eps) + bias, of each channel; or its ReLU."""
    centre = mean.astype(np.float64)
    scale = weight / np.sqrt(var.astype(np.float64) + eps)
    near = centre.astype(x.dtype)
    rest = bias - (centre - near) * scale
    _lines(x, *(repeated(a, x, x.dtype) for a in (near, scale, rest)), relu, y)


@exact_kernel
def _gradients(dy, on, masked, x, gain, near, slope, rest, scale, dx):
    """Write dx = (dy * gain - (x - near) * slope - rest) * scale; a thread owns BLOCK rows."""
    zero = x.dtype.type(0)
    rows, columns = x.shape
    for block in prange((rows + BLOCK - 1) // BLOCK):
        for r in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            source, given, shown, target = x[r], dy[r], on[r], dx[r]
            if masked:
                for c in range(columns):
                    dz = zero if shown[c] <= zero else given[c]
                    inner = dz * gain[c] - (source[c] - near[c]) * slope[c] - rest[c]
                    target[c] = inner * scale[c]
            else:
                for c in range(columns):
                    inner = given[c] * gain[c] - (source[c] - near[c]) * slope[c] - rest[c]
                    target[c] = inner * scale[c]


@np.errstate(all="ignore")
def gradients(dy, x, weight, mean, var, eps, dx, on=None):
    """Write dx, and return the gradients of weight and bias, of each channel."""
    centre = mean.astype(np.float64)
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    total, product = products(dy, x, centre, on)
    product *= inverse
    count = x.size // centre.size
    slope = weight * inverse * product / count
    near = centre.astype(x.dtype)
    rest = weight * total / count - (centre - near) * slope
    numbers = (weight, near, slope, rest, inverse)
    mask = dy if on is None else on
    _gradients(dy, mask, on is not None, x, *(repeated(a, x, x.dtype) for a in numbers), dx)
    return product, total


@exact_kernel
def _scaled(dy, scale, dx):
    """Write dx = dy * scale; a thread owns BLOCK rows."""
    rows, columns = dy.shape
    for block in prange((rows + BLOCK - 1) // BLOCK):
        for r in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            given, target = dy[r], dx[r]
            for c in range(columns):
                target[c] = given[c] * scale[c]


@np.errstate(all="ignore")
def scaled(dy, weight, var, eps, dx):
    """Write dx = weight * dy / sqrt(var + eps), of each channel."""
    scale = weight / np.sqrt(var.astype(np.float64) + eps)
    _scaled(dy, repeated(scale, dy, dy.dtype), dx)
