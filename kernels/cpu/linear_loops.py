"""Fully connected layer, the loops of ``reference/linear.py`` on every core.

The arithmetic is the reference's; what changes is the order in which memory is walked.
``weight`` is the large array (LeNet: 1.2 million numbers), so each nest reads it in an order
that lets a piece of it stay in cache while the whole batch uses it:

- forward: a thread owns output features co; one row of weight meets every row of x;
- backward_input: a thread owns pieces of 256 input features ci, adding up scaled rows of weight
  (or taking inner products with its columns, where rows are very short);
- backward_weight: a thread owns output features co, adding up scaled rows of x.

Within what a thread owns, the order of every sum is fixed, so results don't depend on the
number of threads. Shapes and letters as in ``reference/linear.py``; every output array is
overwritten.
"""

from ._jit import helper, kernel, prange

PIECE = 256
NARROW = 8  # rows this short are over before vectors have begun: inner products, down the columns


@helper
def _dot(a, b):
    """Return the sum of a[i] * b[i]."""
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@helper
def _add_scaled(target, source, factor):
    """target[i] += factor * source[i]."""
    for i in range(target.size):
        target[i] += factor * source[i]


@kernel
def linear_forward(x, weight, bias, y):
    """Write y; a thread owns output features co."""
    for co in prange(y.shape[1]):
        for n in range(y.shape[0]):
            y[n, co] = bias[co] + _dot(x[n], weight[co])


@kernel
def linear_backward_input(dy, weight, dx):
    """Write dx; a thread owns pieces of the input features ci."""
    for piece in prange((dx.shape[1] + PIECE - 1) // PIECE):
        begin = piece * PIECE
        end = min(begin + PIECE, dx.shape[1])
        for n in range(dx.shape[0]):
            if end - begin < NARROW:
                for ci in range(begin, end):
                    total = dx.dtype.type(0)
                    for co in range(dy.shape[1]):
                        total += dy[n, co] * weight[co, ci]
                    dx[n, ci] = total
            else:
                for ci in range(begin, end):
                    dx[n, ci] = 0
                for co in range(dy.shape[1]):
                    _add_scaled(dx[n, begin:end], weight[co, begin:end], dy[n, co])


@kernel
def linear_backward_weight(dy, x, dweight):
    """Write dweight; a thread owns output features co."""
    for co in prange(dweight.shape[0]):
        for ci in range(dweight.shape[1]):
            dweight[co, ci] = 0
        for n in range(dy.shape[0]):
            factor = dy[n, co]
            for ci in range(dweight.shape[1]):
                dweight[co, ci] += factor * x[n, ci]
