"""Max unpooling, the loops of ``reference/max_unpool2d.py`` in three launches.

Forward: nobody but the list of indices knows which number comes to a place, so a thread that owns
one y would have to search the list, and a thread that owns one x might write where another one
writes. The indices stay within their plane, though. So:

1. a thread owns one place and writes that nobody stands there;
2. a thread owns one plane (n, c) and goes through its indices in row-major order, writing who
   stands where: the last one to name a place stays, as in the reference;
3. a thread owns one y[n, c, oh, ow] and fetches its number from the winner (gather).

Step 2 is the slow one, with as many threads as there are planes; the price of one result
whatever the order in which threads run.

Backward: a thread owns one dx[n, c, ih, iw] and fetches the gradient of its place.

Shapes and letters as in ``reference/max_unpool2d.py``; every output array is overwritten.
"""

from ._cuda import cuda, kernel, launch
from ._index import unravel4


def max_unpool2d_forward(x, indices, y, winner):
    """Write y and winner; a thread owns a place, then a plane, then a place."""
    launch(_nobody, winner.size, winner)
    launch(_winners, x.shape[0] * x.shape[1], indices, winner)
    launch(_forward, y.size, x, winner, y)


def max_unpool2d_backward_input(dy, indices, winner, dx):
    """Write dx; a thread owns one dx[n, c, ih, iw]."""
    launch(_backward_input, dx.size, dy, indices, winner, dx)


@kernel
def _nobody(winner):
    i = cuda.grid(1)
    if i < winner.size:
        n, c, oh, ow = unravel4(i, winner.shape)
        winner[n, c, oh, ow] = -1


@kernel
def _winners(indices, winner):
    nc = cuda.grid(1)
    if nc < indices.shape[0] * indices.shape[1]:
        n = nc // indices.shape[1]
        c = nc % indices.shape[1]
        height, width = indices.shape[2:]
        columns = winner.shape[3]
        for ih in range(height):
            for iw in range(width):
                place = indices[n, c, ih, iw]
                if place >= 0:  # -1: a window without a pixel
                    winner[n, c, place // columns, place % columns] = ih * width + iw


@kernel
def _forward(x, winner, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, oh, ow = unravel4(i, y.shape)
        source = winner[n, c, oh, ow]
        value = x.dtype.type(0)
        if source >= 0:
            value = x[n, c, source // x.shape[3], source % x.shape[3]]
        y[n, c, oh, ow] = value


@kernel
def _backward_input(dy, indices, winner, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, ih, iw = unravel4(i, dx.shape)
        columns = dy.shape[3]
        grad = dy.dtype.type(0)
        place = indices[n, c, ih, iw]
        if place >= 0:
            oh = place // columns
            ow = place % columns
            if winner[n, c, oh, ow] == ih * dx.shape[3] + iw:
                grad = dy[n, c, oh, ow]
        dx[n, c, ih, iw] = grad
