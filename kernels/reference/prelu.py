"""Leaky ReLU whose slope on the left is learned: y = x where x > 0, else weight * x.

Shapes: x, y, dy, dx (N, C, P), weight, dweight (C,). Letters: ``n`` example, ``c`` channel, ``p``
what else there is, such as the pixels. One slope for everything is the case C = 1.

    y[n, c, p] = x[n, c, p] where it is positive, else weight[c] * x[n, c, p]

The derivative by x is that of `leaky_relu`, 1 or the slope. A slope meets every x of its channel
that isn't positive as a factor, so each of them sends ``dy * x`` back to it; positive ones send
nothing. At 0 the left side counts. Every output array is overwritten. He, Zhang, Ren and Sun,
"Delving deep into rectifiers", 2015.
"""


def prelu_forward(x, weight, y):
    """Write y[n, c, p] = x[n, c, p] where it is positive, else weight[c] * x[n, c, p]."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(x.shape[2]):
                value = x[n, c, p]
                y[n, c, p] = value if value > 0 else weight[c] * value


def prelu_backward_input(dy, x, weight, dx):
    """Write dx[n, c, p] = dy[n, c, p] where x is positive, else weight[c] * dy[n, c, p]."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(x.shape[2]):
                upstream = dy[n, c, p]
                dx[n, c, p] = upstream if x[n, c, p] > 0 else weight[c] * upstream


def prelu_backward_weight(dy, x, dweight):
    """Write dweight[c] = sum of dy[n, c, p] * x[n, c, p] over the n, p where x isn't positive."""
    for c in range(x.shape[1]):
        total = x.dtype.type(0)
        for n in range(x.shape[0]):
            for p in range(x.shape[2]):
                if not x[n, c, p] > 0:  # so that a NaN is added, and not left out
                    total += dy[n, c, p] * x[n, c, p]
        dweight[c] = total
