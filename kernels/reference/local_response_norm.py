"""Local response normalisation: a number is damped by its neighbours in the channels beside it.

Shapes: x, y, base (N, C, S) with S the pixels of a picture. Letters: ``n`` example, ``c`` channel,
``s`` pixel. The window of channel c holds ``size`` channels, from c - size // 2 to
c + (size - 1) // 2: an even one reaches one channel further down than up. Channels that aren't
there count as 0, and the divisor is always ``size``, as in PyTorch.

    base[n, c, s] = k + alpha / size * sum over the window's channels j of x[n, j, s]²
    y = x * base ** -beta

Channel j's y depends on x[c] where c lies in j's window: directly where j is c, and by base[j],
which x[c] raises by 2 * alpha / size * x[c] and which changes y[j] by -beta * y[j] / base[j]:

    dx[c] = dy[c] * base[c] ** -beta
            - 2 * alpha * beta / size * x[c] * sum over those j of dy[j] * y[j] / base[j]

Every output array is overwritten. Krizhevsky, Sutskever and Hinton, "ImageNet classification with
deep convolutional neural networks", 2012.
"""


def local_response_norm_forward(x, size, alpha, beta, k, base, y):
    """Write base and y; every number is independent of the others."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for s in range(x.shape[2]):
                total = x.dtype.type(0)
                for j in range(c - size // 2, c + (size - 1) // 2 + 1):
                    if 0 <= j < x.shape[1]:
                        total += x[n, j, s] * x[n, j, s]
                base[n, c, s] = k + alpha / size * total
                y[n, c, s] = x[n, c, s] * base[n, c, s] ** -beta


def local_response_norm_backward_input(dy, x, y, base, size, alpha, beta, dx):
    """Write dx; each x gathers from the channels in whose windows it lies."""
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for s in range(x.shape[2]):
                total = x.dtype.type(0)
                for j in range(c - (size - 1) // 2, c + size // 2 + 1):
                    if 0 <= j < x.shape[1]:
                        total += dy[n, j, s] * y[n, j, s] / base[n, j, s]
                direct = dy[n, c, s] * base[n, c, s] ** -beta
                dx[n, c, s] = direct - 2 * alpha * beta / size * x[n, c, s] * total
