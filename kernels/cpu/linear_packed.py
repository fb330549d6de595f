"""Fully connected layer as three products of matrices, each at the machine's peak (``_gemm.py``).

What it does to the loops of ``linear_loops.py``: there, every product loads one or two numbers
anew. Here a block of sums stays in registers while its products are added, and what they need is
copied to where they find it in order. Each product reads ``weight``, the large array, once:

- forward          yᵀ  = weight · xᵀ + bias
- backward_input   dx  = dy · weight
- backward_weight  dweight = dyᵀ · x

Why forward computes the transpose: the right factor is turned when it is packed, and the left one
only copied. So the smaller x is turned, and y afterwards, which is smaller still.

Float32 only. A thread owns a rectangle of the result; every sum runs in a fixed order.
"""

from ._gemm import NOTHING, multiply


def linear_forward(x, weight, bias, y):
    """Write y; a thread owns some of the output features co, or of the rows n."""
    multiply(weight, x.T, bias, y.T)


def linear_backward_input(dy, weight, dx):
    """Write dx; a thread owns some of the input features ci, or of the rows n."""
    multiply(dy, weight, NOTHING, dx)


def linear_backward_weight(dy, x, dweight):
    """Write dweight; a thread owns some of the features co and ci."""
    multiply(dy.T, x, NOTHING, dweight)
