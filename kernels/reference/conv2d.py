"""Two-dimensional convolution: seven loops, and the same seven loops for each gradient.

Shapes (C order)::

    x       (N, Cin, H, W)                    input
    weight  (Cout, Cin / groups, KH, KW)      one small picture per output and input channel
    bias    (Cout,)
    y       (N, Cout, OH, OW)                 OH, OW say how far the window slides

Letters: ``n`` picture, ``co`` output channel, ``ci`` input channel *within its group*,
``oh, ow`` output pixel, ``kh, kw`` filter tap, ``ih, iw`` input pixel. The one equation that
ties them together, used by all three nests below::

    ih = oh * stride_h - pad_top  + kh * dilation_h
    iw = ow * stride_w - pad_left + kw * dilation_w

Forward (a cross-correlation, as in every deep-learning library: the filter is not flipped)::

    y[n, co, oh, ow] = bias[co] + sum over ci, kh, kw of  x[n, ci, ih, iw] * weight[co, ci, kh, kw]

Each product ``x * weight`` is added to one ``y``. By the chain rule it sends back ``dy * weight``
to that ``x`` and ``dy * x`` to that ``weight``; the backward nests are the forward nest with
the roles exchanged (LeCun et al., "Gradient-based learning applied to document recognition",
1998). A pixel outside the picture is zero and receives nothing. Bottom and right padding are
whatever the shape of ``y`` needs.

Every output array is overwritten.
"""


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; every (n, co) plane is independent of the others."""
    channels_per_group = weight.shape[1]
    filters_per_group = weight.shape[0] // groups
    for n in range(y.shape[0]):
        for co in range(y.shape[1]):
            first = co // filters_per_group * channels_per_group
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    total = bias[co]
                    for ci in range(channels_per_group):
                        for kh in range(weight.shape[2]):
                            for kw in range(weight.shape[3]):
                                ih = oh * stride_h - pad_top + kh * dilation_h
                                iw = ow * stride_w - pad_left + kw * dilation_w
                                if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                    total += x[n, first + ci, ih, iw] * weight[co, ci, kh, kw]
                    y[n, co, oh, ow] = total


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx: what y received from x through a weight, x receives back through that weight."""
    channels_per_group = weight.shape[1]
    filters_per_group = weight.shape[0] // groups
    dx[...] = 0
    for n in range(dy.shape[0]):
        for co in range(dy.shape[1]):
            first = co // filters_per_group * channels_per_group
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    for ci in range(channels_per_group):
                        for kh in range(weight.shape[2]):
                            for kw in range(weight.shape[3]):
                                ih = oh * stride_h - pad_top + kh * dilation_h
                                iw = ow * stride_w - pad_left + kw * dilation_w
                                if 0 <= ih < dx.shape[2] and 0 <= iw < dx.shape[3]:
                                    dx[n, first + ci, ih, iw] += (
                                        dy[n, co, oh, ow] * weight[co, ci, kh, kw]
                                    )


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight: a tap was used once per picture and output pixel; add up all its uses."""
    channels_per_group = dweight.shape[1]
    filters_per_group = dweight.shape[0] // groups
    dweight[...] = 0
    for n in range(dy.shape[0]):
        for co in range(dy.shape[1]):
            first = co // filters_per_group * channels_per_group
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    for ci in range(channels_per_group):
                        for kh in range(dweight.shape[2]):
                            for kw in range(dweight.shape[3]):
                                ih = oh * stride_h - pad_top + kh * dilation_h
                                iw = ow * stride_w - pad_left + kw * dilation_w
                                if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                    dweight[co, ci, kh, kw] += (
                                        dy[n, co, oh, ow] * x[n, first + ci, ih, iw]
                                    )


def conv2d_backward_bias(dy, dbias):
    """Write dbias: bias[co] is added to every pixel of plane co, so it collects all of dy there."""
    for co in range(dy.shape[1]):
        total = dy.dtype.type(0)
        for n in range(dy.shape[0]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    total += dy[n, co, oh, ow]
        dbias[co] = total
