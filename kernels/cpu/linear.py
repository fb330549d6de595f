"""Fully connected layer: chooses the file that computes it fastest.

``linear_loops.py``
    The loops of ``reference/linear.py`` on every core. Any type, any shape.
``linear_packed.py``
    Matrix products that copy their factors to where they are needed. Float32, and enough to do.
"""

import numpy as np
from numba.core import config

from . import linear_loops, linear_packed
from ._reduce import sum_channels

# What is copied must be paid back: measured beside the loops from 1 to 128 rows.
LEAST_WORK = 1 << 18  # products: rows * input features * output features
LEAST_ROWS = 4
LEAST_ROWS_FORWARD = 24  # its sums run along memory already, where the loops need no copies


def choose(dtype, rows, features_in, features_out, least_rows):
    """Return the module that serves a layer of this type and size."""
    pays = rows >= least_rows and rows * features_in * features_out >= LEAST_WORK
    return (
        linear_packed if dtype == np.float32 and pays and not config.DISABLE_JIT else linear_loops
    )


def linear_forward(x, weight, bias, y):
    """Write y; the chosen file says how."""
    chosen = choose(x.dtype, *x.shape, weight.shape[0], LEAST_ROWS_FORWARD)
    chosen.linear_forward(x, weight, bias, y)


def linear_backward_input(dy, weight, dx):
    """Write dx; the chosen file says how."""
    choose(dy.dtype, *dx.shape, dy.shape[1], LEAST_ROWS).linear_backward_input(dy, weight, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dweight; the chosen file says how."""
    choose(dy.dtype, *x.shape, dy.shape[1], LEAST_ROWS).linear_backward_weight(dy, x, dweight)


def linear_backward_bias(dy, dbias):
    """Write dbias; a thread owns output features co."""
    sum_channels(dy.reshape(*dy.shape, 1), dbias)
