"""Fully connected layer: chooses the file that computes it fastest.

``linear_loops.py``
    The loops of ``reference/linear.py`` on every core. Any type, any shape.
``linear_direct.py``
    The same sums, kept in vector registers. Float32, and wide enough to fill vectors.
"""

import numpy as np
from numba.core import config

from . import _simd, linear_direct, linear_loops
from ._reduce import sum_channels


def choose(dtype, rows, features_in, features_out):
    """Return the module that serves a layer of this type and size."""
    fits = rows > 0 and features_in >= _simd.SPAN and features_out >= _simd.ROWS
    if dtype == np.float32 and fits and not config.DISABLE_JIT:
        return linear_direct
    return linear_loops


def linear_forward(x, weight, bias, y):
    """Write y; the chosen file says how."""
    choose(x.dtype, x.shape[0], weight.shape[1], weight.shape[0]).linear_forward(x, weight, bias, y)


def linear_backward_input(dy, weight, dx):
    """Write dx; the chosen file says how."""
    choose(dy.dtype, dy.shape[0], weight.shape[1], weight.shape[0]).linear_backward_input(
        dy, weight, dx
    )


def linear_backward_weight(dy, x, dweight):
    """Write dweight; the chosen file says how."""
    choose(dy.dtype, dy.shape[0], x.shape[1], dy.shape[1]).linear_backward_weight(dy, x, dweight)


def linear_backward_bias(dy, dbias):
    """Write dbias; a thread owns output features co."""
    sum_channels(dy.reshape(*dy.shape, 1), dbias)
