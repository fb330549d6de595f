"""Fully connected layer: y = x Wᵀ + b, written as the loops it is.

Shapes: x (N, Cin), weight (Cout, Cin), bias (Cout,), y (N, Cout).
Letters: ``n`` row of the batch, ``co`` output feature, ``ci`` input feature.

    y[n, co] = bias[co] + sum over ci of x[n, ci] * weight[co, ci]

Each product sends ``dy * weight`` back to its x and ``dy * x`` back to its weight (Rumelhart,
Hinton and Williams, "Learning representations by back-propagating errors", 1986).
Every output array is overwritten.
"""


def linear_forward(x, weight, bias, y):
    """Write y; every y[n, co] is independent."""
    for n in range(y.shape[0]):
        for co in range(y.shape[1]):
            total = bias[co]
            for ci in range(x.shape[1]):
                total += x[n, ci] * weight[co, ci]
            y[n, co] = total


def linear_backward_input(dy, weight, dx):
    """Write dx[n, ci] = sum over co of dy[n, co] * weight[co, ci]."""
    for n in range(dx.shape[0]):
        for ci in range(dx.shape[1]):
            total = dy.dtype.type(0)
            for co in range(dy.shape[1]):
                total += dy[n, co] * weight[co, ci]
            dx[n, ci] = total


def linear_backward_weight(dy, x, dweight):
    """Write dweight[co, ci] = sum over n of dy[n, co] * x[n, ci]."""
    for co in range(dweight.shape[0]):
        for ci in range(dweight.shape[1]):
            total = dy.dtype.type(0)
            for n in range(dy.shape[0]):
                total += dy[n, co] * x[n, ci]
            dweight[co, ci] = total


def linear_backward_bias(dy, dbias):
    """Write dbias[co] = sum over n of dy[n, co]."""
    for co in range(dbias.shape[0]):
        total = dy.dtype.type(0)
        for n in range(dy.shape[0]):
            total += dy[n, co]
        dbias[co] = total
