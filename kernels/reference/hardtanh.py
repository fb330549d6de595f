"""Keep numbers between two limits: y = low where x < low, high where x > high, else x.

All arrays are 1-D views of one size; ``i`` is the element. Between the limits the derivative is 1,
beyond them 0; exactly at a limit it is taken as 0, as PyTorch does. A NaN stays NaN. Every output
array is overwritten. Collobert, "Large scale machine learning", 2004; with limits 0 and 6 this is
ReLU6: Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.
"""


def hardtanh_forward(x, low, high, y):
    """Write y[i] = x[i], moved to the nearer limit where it is outside."""
    number = x.dtype.type
    least = number(low)
    most = number(high)
    for i in range(x.shape[0]):
        below = least if x[i] < least else x[i]
        y[i] = most if x[i] > most else below


def hardtanh_backward_input(dy, x, low, high, dx):
    """Write dx[i] = dy[i] where x[i] lies between the limits, else 0."""
    number = x.dtype.type
    least = number(low)
    most = number(high)
    for i in range(x.shape[0]):
        outside = x[i] <= least or x[i] >= most
        dx[i] = 0 if outside else dy[i]
