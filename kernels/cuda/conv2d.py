"""Two-dimensional convolution: chooses the file that computes it.

``conv2d_loops.py``
    The loops of ``reference/conv2d.py`` turned inside out, a thread for each number. Any type, any
    shape; read this one first.
``conv2d_implicit_gemm.py``
    The same sums as products of matrices, by tiles in shared memory and registers. Float32.

Both compute every shape; ``Conv2d(..., algorithm="loops")`` asks for one of them by name. So does
``algorithm="winograd"`` for ``conv2d_winograd.py``: 3×3 filters with a quarter of the products and
more traffic in memory. Here it isn't chosen until a GPU has shown from how many channels on it
pays; ``numcnn bench gpu`` times them side by side.
"""

from . import _tiles, conv2d_implicit_gemm, conv2d_loops

# A tile holds at least 32 filters of one group; with fewer than a quarter of them, most of its
# products are thrown away, and the loops' fewer operations win.
LEAST_ROWS = 8

__all__ = [
    "choose",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
]


def choose(dtype, rows):
    """Return the module for numbers of a type and for so many filters (or channels) of a group."""
    tiles = _tiles.serve(dtype) and rows >= LEAST_ROWS
    return conv2d_implicit_gemm if tiles else conv2d_loops


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y = x * w + b."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen = choose(x.dtype, weight.shape[0] // groups)
    chosen.conv2d_forward(x, weight, bias, *geometry, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx, the gradient of x."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen = choose(dy.dtype, weight.shape[1])
    chosen.conv2d_backward_input(dy, weight, *geometry, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight, the gradient of the weights."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    chosen = choose(dy.dtype, dweight.shape[0] // groups)
    chosen.conv2d_backward_weight(dy, x, *geometry, dweight)


def conv2d_backward_bias(dy, dbias):
    """Write dbias, the gradient of the bias."""
    choose(dy.dtype, LEAST_ROWS).conv2d_backward_bias(dy, dbias)
