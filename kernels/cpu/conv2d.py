"""Two-dimensional convolution: chooses the file that computes it fastest.

``conv2d_loops.py``
    The loops of ``reference/conv2d.py`` on every core. Any type, any shape.
``conv2d_direct.py``
    The same sums, kept in vector registers. Float32.

Both compute every shape; ``Conv2d(..., algorithm="loops")`` asks for one of them by name.
"""

import numpy as np
from numba.core import config

from . import conv2d_direct, conv2d_loops
from ._reduce import sum_channels


def choose(dtype):
    """Return the module that serves arrays of `dtype`."""
    if dtype == np.float32 and not config.DISABLE_JIT:
        return conv2d_direct
    return conv2d_loops


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; the chosen file says how."""
    choose(x.dtype).conv2d_forward(
        x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
    )


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; the chosen file says how."""
    choose(dy.dtype).conv2d_backward_input(
        dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
    )


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; the chosen file says how."""
    choose(dy.dtype).conv2d_backward_weight(
        dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
    )


def conv2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns channels co."""
    n, co, oh, ow = dy.shape
    sum_channels(dy.reshape(n, co, oh * ow), dbias)
