"""Leaky rectified linear unit, y = x where x > 0, else slope * x.

All arrays are 1-D views of one size; ``i`` is the element. The slope on the left keeps a unit from
dying: where `relu` passes no gradient, ``slope`` of it comes through. At 0 the left side counts.
Every output array is overwritten. Maas, Hannun and Ng, "Rectifier nonlinearities improve neural
network acoustic models", 2013.
"""


def leaky_relu_forward(x, slope, y):
    """Write y[i] = x[i] where it is positive, else slope * x[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    for i in range(x.shape[0]):
        y[i] = x[i] if x[i] > zero else left * x[i]


def leaky_relu_backward_input(dy, x, slope, dx):
    """Write dx[i] = dy[i] where x[i] is positive, else slope * dy[i]."""
    number = x.dtype.type
    zero = number(0)
    left = number(slope)
    for i in range(x.shape[0]):
        dx[i] = dy[i] if x[i] > zero else left * dy[i]
