"""Two-dimensional convolution: chooses the file that computes it fastest.

``conv2d_loops.py``
    The loops of ``reference/conv2d.py`` on every core. Any type, any shape.
``conv2d_direct.py``
    The same sums, kept in vector registers. Float32.
``conv2d_grouped.py``
    The same for groups of few channels, of which a vector holds many. Float32.
``conv2d_winograd.py``
    Fewer multiplications for 3×3 to 5×5 taps. Float32, where there is enough to win; what is
    rounded is about twice as far from the exact sum.
``conv2d_fft.py``
    Fourier transforms, for kernels from about 9×9 on. Float32. By name only.

All compute every shape; ``Conv2d(..., algorithm="loops")`` asks for one of them by name.
"""

import numpy as np
from numba.core import config

from ..order import is_last
from . import conv2d_direct, conv2d_grouped, conv2d_loops, conv2d_winograd
from ._reduce import sum_channels, sum_pixels

# Turning tiles and weights must be paid back: measured beside direct for 16 to 512 channels, all
# three passes.
LEAST_CHANNELS = 16
LEAST_PAIRS = 800  # of channels in and out
LEAST_TILES = 48  # tiles of outputs in the whole batch


def choose(weight, y_shape, *geometry):
    """Return the module that serves these weights and an output of this shape, in all passes.

    geometry is (stride_h, stride_w, dilation_h, dilation_w, groups).
    """
    if weight.dtype != np.float32 or config.DISABLE_JIT:
        return conv2d_loops
    if conv2d_grouped.serves(weight, *geometry):
        return conv2d_grouped
    if not conv2d_winograd.serves(weight, *geometry):
        return conv2d_direct
    pays = all(number >= least for _, number, least in _sizes(weight, y_shape))
    return conv2d_winograd if pays else conv2d_direct


def _sizes(weight, y_shape):
    """Return (name, number, least number) of all that decides whether Winograd pays."""
    filters, channels, taps, _ = weight.shape
    outputs = 7 - taps
    tiles = -(-y_shape[2] // outputs) * -(-y_shape[3] // outputs)
    used = y_shape[2] * y_shape[3] / (tiles * outputs * outputs)
    pairs = int(filters * channels * used)
    return (
        ("channels on the narrower side", min(filters, channels), LEAST_CHANNELS),
        (f"channels in × out × {used:.2f} of the tiles", pairs, LEAST_PAIRS),
        (f"tiles of {outputs}×{outputs} outputs", y_shape[0] * tiles, LEAST_TILES),
    )


def explain(weight, y_shape, *geometry):
    """Return what `choose` takes and why, as lines of text; the first names the file."""
    chosen = choose(weight, y_shape, *geometry)
    lines = [f"{chosen.__name__.rpartition('.')[2]}.py"]
    if chosen is conv2d_loops:
        return [*lines, "the tuned files serve compiled float32 alone"]
    if chosen is conv2d_grouped:
        return [*lines, f"groups of fewer than {conv2d_grouped.MOST} channels share vectors"]
    if not conv2d_winograd.serves(weight, *geometry):
        taps = "3×3, 4×4 and 5×5 taps"
        return [
            *lines,
            f"Winograd's algorithm serves {taps}, stride 1, dilation 1, one group alone",
        ]
    for name, number, least in _sizes(weight, y_shape):
        verdict = "enough" if number >= least else "too few"
        lines.append(f"{name}: {number:,}, {verdict} for Winograd, which pays from {least:,}")
    return lines


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; the chosen file says how."""
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(weight, y.shape, *steps)
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen.conv2d_forward(x, weight, bias, *geometry, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; the chosen file says how."""
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(weight, dy.shape, *steps)
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen.conv2d_backward_input(dy, weight, *geometry, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; the chosen file says how."""
    steps = stride_h, stride_w, dilation_h, dilation_w, groups
    chosen = choose(dweight, dy.shape, *steps)
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen.conv2d_backward_weight(dy, x, *geometry, dweight)


def conv2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns channels co, or pixels where those lie channels last."""
    n, co, oh, ow = dy.shape
    if not is_last(dy):
        return sum_channels(dy.reshape(n, co, oh * ow), dbias)
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, co)
    sum_pixels(rows, rows, False, dbias)
