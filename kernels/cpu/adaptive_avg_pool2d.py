"""Adaptive average pooling: the windows of ``_windows.py``, the loops of ``_mean_windows.py``.

A thread owns rows of outputs, or rows of dx, where each pixel gathers what windows send to it.

Shapes and letters as in ``reference/adaptive_avg_pool2d.py``; every output array is overwritten.
"""

from ._mean_windows import mean_backward_input, mean_forward
from ._windows import adaptive


def adaptive_avg_pool2d_forward(x, y):
    """Write y; a thread owns rows of outputs."""
    mean_forward(x, adaptive(x.shape[2], y.shape[2]), adaptive(x.shape[3], y.shape[3]), y)


def adaptive_avg_pool2d_backward_input(dy, dx):
    """Write dx; a thread owns rows of it."""
    rows, columns = adaptive(dx.shape[2], dy.shape[2]), adaptive(dx.shape[3], dy.shape[3])
    mean_backward_input(dy, rows, columns, dx)
