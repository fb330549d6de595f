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
from ._jit import kernel, prange


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


@kernel
def conv2d_backward_bias(dy, dbias):
    """Write dbias; a thread owns channels co."""
    for co in prange(dy.shape[1]):
        total = dbias.dtype.type(0)
        for n in range(dy.shape[0]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    total += dy[n, co, oh, ow]
        dbias[co] = total
