"""Adaptive max pooling: the windows of ``_windows.py``, the loops of ``_max_windows.py``.

A thread owns rows of outputs, or rows of dx, where each pixel gathers what windows send to it.

Shapes and letters as in ``reference/adaptive_max_pool2d.py``; every output array is overwritten.
"""

from ._max_windows import max_backward_input, max_forward
from ._windows import adaptive


def adaptive_max_pool2d_forward(x, y, argmax):
    """Write y and argmax; a thread owns rows of outputs."""
    rows, columns = adaptive(x.shape[2], y.shape[2]), adaptive(x.shape[3], y.shape[3])
    max_forward(x, rows, columns, y, argmax)


def adaptive_max_pool2d_backward_input(dy, argmax, dx):
    """Write dx; a thread owns rows of it."""
    rows, columns = adaptive(dx.shape[2], dy.shape[2]), adaptive(dx.shape[3], dy.shape[3])
    max_backward_input(dy, argmax, rows, columns, dx)
