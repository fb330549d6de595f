"""Locally connected layer: a convolution whose every output pixel has a filter of its own.

Shapes (C order)::

    x       (N, Cin, H, W)
    weight  (Cout, Cin, KH, KW, OH, OW)   conv2d's weight, and one of it for each output pixel
    bias    (Cout, OH, OW)
    y       (N, Cout, OH, OW)

Letters and geometry as in ``conv2d.py``, without dilation and groups::

    ih = oh * stride_h - pad_top + kh,   iw = ow * stride_w - pad_left + kw

    y[n, co, oh, ow] = bias[co, oh, ow]
                       + sum over ci, kh, kw of  x[n, ci, ih, iw] * weight[co, ci, kh, kw, oh, ow]

The gradients are conv2d's, with one difference: a weight serves one output pixel only, so its
gradient is a sum over pictures and no longer over pixels as well. Add that up over oh and ow, and
it is conv2d's again. (LeCun, "Generalization and network design strategies", 1989, compares both;
for faces, where an eye is always at its place: Taigman et al., "DeepFace", 2014.)

A pixel outside the picture is zero and receives nothing. Every output array is overwritten.
"""


def locally_connected2d_forward(x, weight, bias, stride_h, stride_w, pad_top, pad_left, y):
    """Write y; every number of it has filters and a bias of its own."""
    for n in range(y.shape[0]):
        for co in range(y.shape[1]):
            for oh in range(y.shape[2]):
                for ow in range(y.shape[3]):
                    total = bias[co, oh, ow]
                    for ci in range(weight.shape[1]):
                        for kh in range(weight.shape[2]):
                            for kw in range(weight.shape[3]):
                                ih = oh * stride_h - pad_top + kh
                                iw = ow * stride_w - pad_left + kw
                                if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                    total += x[n, ci, ih, iw] * weight[co, ci, kh, kw, oh, ow]
                    y[n, co, oh, ow] = total


def locally_connected2d_backward_input(dy, weight, stride_h, stride_w, pad_top, pad_left, dx):
    """Write dx: what y received from x through a weight, x receives back through that weight."""
    dx[...] = 0
    for n in range(dy.shape[0]):
        for co in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    for ci in range(weight.shape[1]):
                        for kh in range(weight.shape[2]):
                            for kw in range(weight.shape[3]):
                                ih = oh * stride_h - pad_top + kh
                                iw = ow * stride_w - pad_left + kw
                                if 0 <= ih < dx.shape[2] and 0 <= iw < dx.shape[3]:
                                    dx[n, ci, ih, iw] += (
                                        dy[n, co, oh, ow] * weight[co, ci, kh, kw, oh, ow]
                                    )


def locally_connected2d_backward_weight(dy, x, stride_h, stride_w, pad_top, pad_left, dweight):
    """Write dweight: a weight was used once per picture; add up all its uses."""
    dweight[...] = 0
    for n in range(dy.shape[0]):
        for co in range(dy.shape[1]):
            for oh in range(dy.shape[2]):
                for ow in range(dy.shape[3]):
                    for ci in range(dweight.shape[1]):
                        for kh in range(dweight.shape[2]):
                            for kw in range(dweight.shape[3]):
                                ih = oh * stride_h - pad_top + kh
                                iw = ow * stride_w - pad_left + kw
                                if 0 <= ih < x.shape[2] and 0 <= iw < x.shape[3]:
                                    dweight[co, ci, kh, kw, oh, ow] += (
                                        dy[n, co, oh, ow] * x[n, ci, ih, iw]
                                    )


def locally_connected2d_backward_bias(dy, dbias):
    """Write dbias: a bias was added to one output pixel of every picture."""
    for co in range(dy.shape[1]):
        for oh in range(dy.shape[2]):
            for ow in range(dy.shape[3]):
                total = dy.dtype.type(0)
                for n in range(dy.shape[0]):
                    total += dy[n, co, oh, ow]
                dbias[co, oh, ow] = total
