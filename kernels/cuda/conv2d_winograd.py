"""Convolution with 3×3 filters by Winograd's algorithm F(4×4, 3×3). Float32.

What it does to the loops: a tile of 4×4 outputs takes 4·4·9 = 144 products for each pair (ci, co)
in the loops of ``reference/conv2d.py``. They use no more than 6×6 inputs d and 3×3 weights g. Along
one axis, these are coefficients of polynomials, and convolving them is multiplying the polynomials.
A product of polynomials is known from its values at as many points as it has coefficients, 6 here;
and a value takes a single multiplication. So tiles and weights are first turned into values at 6
points along both axes, which are multiplied one by one, and the result is turned back::

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

36 products replace 144 (Winograd, "Arithmetic complexity of computations", 1980). Turning is
additions and products with a few constants, but a turned tile serves every co and a turned weight
every tile. So the sum over ci can be taken before turning back, and what remains is a product of
matrices for each of the 36 positions (Lavin and Gray, "Fast algorithms for convolutional neural
networks", 2016)::

    products[position, co, t] = sum over ci of weights[position, ci, co] * inputs[position, ci, t]

- forward: four launches. They turn the weights, the tiles of the input (``_winograd_turns.py``: a
  thread owns a tile of one channel), multiply all 36 positions at once (``_product.py``: a block
  owns a tile of one product), and turn the products back, adding the bias.
- backward_input: the same, with dy as input, the weights turned by 180°, and ci, co exchanged.
- backward_weight: each step transposed, dg = Gᵀ [ Σ (Bᵀ d B) ⊙ (A dy Aᵀ) ] G. The sums of the 36
  products run over the tiles. They are cut into slices, which a further launch adds up in their
  order (``_slices.py``): the same bits every time.
- backward_bias: a block owns one channel co, as in ``conv2d_implicit_gemm.py``.

What it costs is memory traffic: 36 turned numbers stand for 16 of the picture, so 2.25 times x is
written and read again before the products, and 2.25 times y behind them; the turned weights are 4
times as large as the weights. ``conv2d_implicit_gemm.py`` writes nothing but y. A number of x that
is turned serves K products, one of y is the sum of C: with few channels moving it takes longer than
the products that are saved.

Neighbouring threads own neighbouring tiles, and tiles run fastest in memory, so all that is turned
is written and read in whole lines; the first lines of ``_winograd_turns.py`` tell more. Turned
tiles take ``ROOM`` bytes at most: where they would be more, a part of the tiles is worked on after
the other. So memory is bounded, whatever the batch; it is kept for the next call.

What else it costs: rounding errors about twice those of the loops, since the matrices hold numbers
up to 3.4; ``numcnn/error_bounds.py`` has the bound. Tensor cores are not used even where they are
allowed: rounding to 10 binary digits would have its errors enlarged in the same way. A NaN or an
infinity makes NaN of its whole tile, and one in a weight of the whole channel.

Other filters, strides, dilations, groups and types are refused. No GPU has run this yet.
"""

import numpy as np

from . import _tiles
from ._cuda import scratch
from ._product import Sizes, multiply
from ._slices import add_slices, slices_for
from ._winograd_turns import (
    POSITIONS,
    Tiles,
    turn_gradients,
    turn_inputs,
    turn_products,
    turn_sums,
    turn_weights,
)
from .conv2d_implicit_gemm import conv2d_backward_bias

__all__ = [
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "conv_relu2d_forward",
]

ROOM = 1 << 28  # bytes of turned tiles, those of inputs and outputs together
TOGETHER = 128  # tiles are worked on in multiples of it: the columns of a block in a product


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a block of a product owns filters at tiles, of one position."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    _forward(x, weight, bias, geometry, False, y)


def conv_relu2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write max(y, 0): what turns the products back adds the bias and cuts off."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    _forward(x, weight, bias, geometry, True, y)


def _forward(x, weight, bias, geometry, relu, y):
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    _need(weight, stride_h, stride_w, dilation_h, dilation_w, groups)
    _correlate(x, weight, False, bias, relu, (-pad_top, -pad_left), y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a block of a product owns channels at tiles of dx, of one position."""
    _need(weight, stride_h, stride_w, dilation_h, dilation_w, groups)
    nothing = weight.reshape(-1)[:0]
    _correlate(dy, weight, True, nothing, False, (pad_top - 2, pad_left - 2), dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a block of a product owns filters at channels, of one slice and position."""
    _need(dweight, stride_h, stride_w, dilation_h, dilation_w, groups)
    filters, channels = dweight.shape[:2]
    tile = _tiles.choose(filters, False)
    blocks = POSITIONS * -(-filters // tile.rows) * -(-channels // tile.columns)
    size = POSITIONS * filters * channels
    shares = _shares(dy, channels + filters)
    slices, length = slices_for(blocks, shares[0][1], tile.depth)
    parts = scratch("slices of a sum", (slices + (len(shares) > 1)) * size, np.float32)
    known = 0  # 1 once parts begins with the sum over the tiles of the shares before
    for first, count in shares:
        inputs, outputs = _rooms(channels, filters, count)
        turn_inputs(x, _tiles_of(x, dy, first, count, (-pad_top, -pad_left)), inputs)
        turn_gradients(dy, _tiles_of(dy, dy, first, count, (0, 0)), outputs)
        sizes = Sizes(
            rows=filters,
            columns=channels,
            depth=count,
            slice=length,
            a_row=count,
            a_depth=1,
            b_depth=1,
            b_column=count,
            matrices=POSITIONS,
            a_matrix=filters * count,
            b_matrix=channels * count,
        )
        multiply(tile, False, (outputs, inputs, parts[:0]), sizes, slices, parts[known * size :])
        if known + slices > 1:
            add_slices(parts, known + slices, parts[:0], parts[:size])
        known = 1
    turn_sums(parts, dweight)


def _need(weight, stride_h, stride_w, dilation_h, dilation_w, groups):
    """Raise a ValueError unless this algorithm computes such a convolution."""
    _tiles.need("Winograd's algorithm")
    found = [
        f"{name} {got}"
        for name, got, served in (
            ("filters of", "{}×{}".format(*weight.shape[2:]), "3×3"),
            ("stride", (stride_h, stride_w), (1, 1)),
            ("dilation", (dilation_h, dilation_w), (1, 1)),
            ("groups", groups, 1),
            ("numbers of", str(weight.dtype), "float32"),
        )
        if got != served
    ]
    if found:
        raise ValueError(
            "Winograd's algorithm on the GPU computes filters of 3×3 in float32, with stride 1, "
            f"dilation 1 and one group; got {', '.join(found)}: "
            'use Conv2d(..., algorithm="auto")'
        )


def _correlate(x, weight, around, bias, relu, corner, y):
    """Write y = bias + x * weight, or x with the weights turned `around`; max(y, 0) with `relu`.

    The first tile of a picture begins at the pixel `corner` of x.
    """
    if y.size == 0:
        return
    channels, filters = x.shape[1], y.shape[1]
    turned = scratch("turned weights", POSITIONS * channels * filters, np.float32)
    turn_weights(weight, around, turned)
    tile = _tiles.choose(filters, False)
    for first, count in _shares(y, channels + filters):
        inputs, products = _rooms(channels, filters, count)
        turn_inputs(x, _tiles_of(x, y, first, count, corner), inputs)
        sizes = Sizes(
            rows=filters,
            columns=count,
            depth=channels,
            slice=channels,
            a_row=1,
            a_depth=filters,
            b_depth=count,
            b_column=1,
            matrices=POSITIONS,
            a_matrix=channels * filters,
            b_matrix=channels * count,
        )
        multiply(tile, False, (turned, inputs, turned[:0]), sizes, 1, products)
        turn_products(products, bias, relu, _tiles_of(y, y, first, count, (0, 0)), y)


def _rooms(channels, filters, count):
    """Return memory for so many turned tiles of inputs, and of outputs.

    They are pieces of one array, so that layers with many channels of one kind or the other don't
    have twice the memory kept.
    """
    end = POSITIONS * channels * count
    whole = scratch("turned tiles", end + POSITIONS * filters * count, np.float32)
    return whole[:end], whole[end:]


def _grid(y):
    """Return how many tiles there are down and across a picture of outputs y."""
    return -(-y.shape[2] // 4), -(-y.shape[3] // 4)


def _shares(y, channels):
    """Return (first, count) of the tiles of y that are worked on at a time.

    There is one share at least, empty if there are no outputs; the first is the largest.
    """
    down, across = _grid(y)
    total = y.shape[0] * down * across
    fitting = max(TOGETHER, ROOM // (4 * POSITIONS * channels) // TOGETHER * TOGETHER)
    shares = max(1, -(-total // fitting))
    length = -(-total // shares // TOGETHER) * TOGETHER
    firsts = [share * length for share in range(shares)]
    return [(first, min(length, total - first)) for first in firsts]


def _tiles_of(pictures, y, first, count, corner):
    """Return where tiles of outputs y lie in `pictures`, the first of each at `corner`."""
    down, across = _grid(y)
    _, channels, height, width = pictures.shape
    return Tiles(first, count, across, down * across, channels, height, width, *corner)
