"""Resizing by bilinear interpolation: every output is a weighted mean of up to four pixels.

Shapes: x (N, C, H, W), y (N, C, OH, OW). A scale is the step in the input from one output to the
next. Output oh looks at the position s between two rows of the input::

    align_corners = 1    s = oh * scale_h                          the corners' centres coincide
    align_corners = 0    s = max((oh + 0.5) * scale_h - 0.5, 0)    the pictures' edges coincide

With ``ih = floor(s)`` (at most H - 1) and the weight ``v = s - ih`` of row ih + 1 (0 where there
is no such row), and likewise iw and u for the columns::

    y[n, c, oh, ow] = (1 - v) * ((1 - u) * x[n, c, ih, iw]     + u * x[n, c, ih, iw + 1])
                         + v  * ((1 - u) * x[n, c, ih + 1, iw] + u * x[n, c, ih + 1, iw + 1])

Each pixel receives dy times its weight in this mean. A pixel of weight 0 takes no part: a NaN in
it isn't seen. Positions and weights are numbers of x's type. Every output array is overwritten.
"""


def source(o, align_corners, scale, size, number):
    """Return the pixel before output o's position, and the weight of the pixel after that."""
    position = number(o) * number(scale)
    if not align_corners:
        position = (number(o) + number(0.5)) * number(scale) - number(0.5)
    position = max(position, number(0))
    before = min(int(position), size - 1)
    return before, position - before if before + 1 < size else number(0)


def mean_of_two(a, b, weight):
    """Return a where b has no weight, else their weighted mean."""
    return a if weight == 0 else (1 - weight) * a + weight * b


def upsample_bilinear2d_forward(x, align_corners, scale_h, scale_w, y):
    """Write y; every (n, c) plane is independent of the others."""
    number = x.dtype.type
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for oh in range(y.shape[2]):
                ih, v = source(oh, align_corners, scale_h, x.shape[2], number)
                below = ih + 1 if v > 0 else ih
                for ow in range(y.shape[3]):
                    iw, u = source(ow, align_corners, scale_w, x.shape[3], number)
                    right = iw + 1 if u > 0 else iw
                    upper = mean_of_two(x[n, c, ih, iw], x[n, c, ih, right], u)
                    lower = mean_of_two(x[n, c, below, iw], x[n, c, below, right], u)
                    y[n, c, oh, ow] = mean_of_two(upper, lower, v)


def upsample_bilinear2d_backward_input(dy, align_corners, scale_h, scale_w, dx):
    """Write dx: each output hands its gradient to the pixels of its mean, by their weights."""
    number = dx.dtype.type
    dx[...] = 0
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                ih, v = source(oh, align_corners, scale_h, dx.shape[2], number)
                for ow in range(dy.shape[3]):
                    iw, u = source(ow, align_corners, scale_w, dx.shape[3], number)
                    upper = (1 - v) * dy[n, c, oh, ow]
                    dx[n, c, ih, iw] += (1 - u) * upper
                    if u > 0:
                        dx[n, c, ih, iw + 1] += u * upper
                    if v > 0:
                        lower = v * dy[n, c, oh, ow]
                        dx[n, c, ih + 1, iw] += (1 - u) * lower
                        if u > 0:
                            dx[n, c, ih + 1, iw + 1] += u * lower
