"""Fully connected layer: chooses the file that computes it.

``linear_loops.py``
    The loops of ``reference/linear.py``, a thread for each number. Any type; read this one first.
``linear_tiled.py``
    The same sums by tiles in shared memory and registers. Float32.
"""

from . import _tiles, linear_loops, linear_tiled

__all__ = [
    "choose",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
]


def choose(dtype):
    """Return the module for numbers of a type."""
    return linear_tiled if _tiles.serve(dtype) else linear_loops


def linear_forward(x, weight, bias, y):
    """Write y = x wᵀ + b."""
    choose(x.dtype).linear_forward(x, weight, bias, y)


def linear_backward_input(dy, weight, dx):
    """Write dx, the gradient of x."""
    choose(dy.dtype).linear_backward_input(dy, weight, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dweight, the gradient of the weights."""
    choose(dy.dtype).linear_backward_weight(dy, x, dweight)


def linear_backward_bias(dy, dbias):
    """Write dbias, the gradient of the bias."""
    linear_loops.linear_backward_bias(dy, dbias)
