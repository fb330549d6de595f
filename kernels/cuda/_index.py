"""From the number of a thread to the indices of what it owns, and back to who needs it.

A launch numbers its threads 0, 1, 2 … and the elements of an array in C order have numbers
too; thread ``i`` owns element ``i``. So neighbouring threads own neighbouring elements of a
row, which is what lets the GPU serve 32 of them with one wide read.

``windows_over`` turns the equation of pooling, ``ih = oh * stride - pad + k``, inside out: not
"which pixels does window oh see" but "which windows see pixel ih". A kernel that asks this
question can add up everything for one pixel in one thread (gather), where the reference adds
from each window to many pixels (scatter) and threads would collide.
"""

from ._cuda import device


# Numba 0.68's own CUDA can't compile the built-in min and max (numba-cuda can).
@device
def smaller(a, b):
    """Return the smaller of two integers."""
    return a if a < b else b


@device
def larger(a, b):
    """Return the larger of two integers."""
    return a if a > b else b


@device
def unravel2(i, columns):
    """Return row and column of element i of an array with this many columns."""
    return i // columns, i % columns


@device
def unravel3(i, shape):
    """Return the three indices of element i of an array of this shape, in C order."""
    row = i // shape[2]
    return row // shape[1], row % shape[1], i % shape[2]


@device
def unravel4(i, shape):
    """Return the four indices of element i of an array of this shape, in C order."""
    row = i // shape[3]
    plane = row // shape[2]
    return plane // shape[1], plane % shape[1], row % shape[2], i % shape[3]


@device
def windows_over(position, pad, reach, stride, count):
    """Return the first of the windows that see a position, and the one after the last.

    Window ``o`` (of ``count``) sees from ``o * stride - pad`` on, ``reach`` positions in all.
    Without windows the two are equal, or the second is smaller. Positions are signed and ``//``
    rounds down, below zero too.
    """
    first = (position + pad - reach) // stride + 1
    end = (position + pad) // stride + 1
    return larger(first, 0), smaller(end, count)


@device
def window_of(o, outputs, size):
    """Return the first pixel that window o of `outputs` sees along an axis, and the end.

    For adaptive pooling. With the sizes exchanged it returns the windows that see pixel o.
    """
    return o * size // outputs, -(-(o + 1) * size // outputs)
