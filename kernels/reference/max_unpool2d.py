"""Max unpooling: put each number back where max pooling found it; everything else is 0.

Shapes (C order)::

    x        (N, C, H, W)      y       (N, C, OH, OW)
    indices  (N, C, H, W)      winner  (N, C, OH, OW)

``indices`` is the argmax of ``max_pool2d``: whole numbers, ``oh * OW + ow`` inside the plane of
y; -1 stands for a window without a pixel, whose number goes nowhere. ``winner`` looks back: it
holds ``ih * W + iw`` of the number that stands at (oh, ow), and -1 where none does::

    y[n, c, oh, ow] = x[n, c, winner // W, winner % W], or 0 where winner is -1

Windows that overlap may name one place twice. Then the last in row-major order wins, and the
others are lost; so the gradient of a place goes to its winner, and what was lost receives 0.

Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (the indices are
their "switches"). Every output array is overwritten.
"""


def max_unpool2d_forward(x, indices, y, winner):
    """Write y and winner; every (n, c) plane is independent of the others."""
    y[...] = 0
    winner[...] = -1
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for ih in range(x.shape[2]):
                for iw in range(x.shape[3]):
                    place = indices[n, c, ih, iw]
                    if place >= 0:
                        oh = place // y.shape[3]
                        ow = place % y.shape[3]
                        y[n, c, oh, ow] = x[n, c, ih, iw]
                        winner[n, c, oh, ow] = ih * x.shape[3] + iw


def max_unpool2d_backward_input(dy, indices, winner, dx):
    """Write dx: each number fetches the gradient of its place, if it is the one that stands there.

    dx[n, c, ih, iw] = dy at place ``indices[n, c, ih, iw]`` if that place's winner is (ih, iw)
    """
    for n in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            for ih in range(dx.shape[2]):
                for iw in range(dx.shape[3]):
                    dx[n, c, ih, iw] = 0
                    place = indices[n, c, ih, iw]
                    if place >= 0:
                        oh = place // dy.shape[3]
                        ow = place % dy.shape[3]
                        if winner[n, c, oh, ow] == ih * dx.shape[3] + iw:
                            dx[n, c, ih, iw] = dy[n, c, oh, ow]
