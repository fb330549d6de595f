"""One number for each channel, added to every pixel of it: what a bias is.

Shapes: x and y (N, C, H, W), bias (C,); y may be x itself. For layers whose sums come from a
kernel that adds none, such as a transposed convolution.

    y[n, c, h, w] = x[n, c, h, w] + bias[c]

x receives dy as it is, and bias what ``conv2d_backward_bias`` adds up. The output array is
overwritten.
"""


def bias2d_forward(x, bias, y):
    """Write y[n, c, h, w] = x[n, c, h, w] + bias[c]."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for h in range(y.shape[2]):
                for w in range(y.shape[3]):
                    y[n, c, h, w] = x[n, c, h, w] + bias[c]
