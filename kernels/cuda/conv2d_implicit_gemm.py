"""Convolution as a product of matrices that are never written down. Float32.

The loops of ``reference/conv2d.py`` are a product of matrices once positions are numbered through,
p = (n, oh, ow), and taps, k = (ci, kh, kw):

- forward: ``y[co, p] = sum over k of weight[co, k] * seen[k, p]``, seen being the pixel under tap
  k at position p. A block of threads owns up to 128 filters at 128 positions, a thread 8 of each:
  64 numbers of y. Each copies its share of the block's weights and pixels to shared memory.
- backward_input: the same kernel. Solved for the output, the equation of the reference,
  ``oh = (ih + pad - kh * dilation) / stride``, has a solution for those taps alone that leave no
  rest. Which these are depends on the phase of ih + pad within the stride. So there is a launch
  for each phase; in it every pixel has the same taps, no product is in vain, and as pixels of one
  phase go on by one, so do the outputs that used them: dx is a convolution of dy with stride 1.
  A thread owns 64 numbers of dx and gathers.
- backward_weight: ``dweight[co, k] = sum over p of dy[co, p] * seen[k, p]``, the sum being the
  long side. So it is cut into slices of equally many positions: blocks of a first launch each
  own a slice of a tile of dweight, and a thread of a second one adds up the slices of one number,
  always in the same order. (Adding with atomics would save the second launch, and give other bits
  every time.)

- backward_bias: a block owns one channel co, and its threads walk through it together.

How a block multiplies: ``_tiles.py``; how it finds pixels: ``_correlation.py``. With
``tensor_cores``, which ``allow_tf32`` of ``_precision.py`` switches, products are made by tensor
cores from numbers rounded to 10 binary digits.

Padding counts as 0 here, while the reference leaves it out: a weight that is infinite or NaN makes
NaN at the border. Shapes and letters as in the reference; every output array is overwritten.
"""

from . import _precision, _tiles
from ._channels import channel_sums
from ._correlation import Places, correlation
from ._cuda import constant, launch_blocks, scratch
from ._slices import add_slices, slices_for
from ._taps import backward_taps, forward_taps, reaching
from ._weight_gradient import Sizes, weight_gradient

__all__ = [
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "conv_relu2d_forward",
]


def conv2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write y; a block owns filters of a group at positions of all pictures."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    _forward(x, weight, bias, geometry, False, y)


def conv_relu2d_forward(
    x, weight, bias, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, y
):
    """Write max(y, 0), as `conv2d_forward` owns it: no pass of its own."""
    geometry = (stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups)
    _forward(x, weight, bias, geometry, True, y)


def _forward(x, weight, bias, geometry, relu, y):
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups = geometry
    pictures, _, height, width = x.shape
    filters, channels, kernel_h, kernel_w = weight.shape
    out_h, out_w = y.shape[2:]
    depth = channels * kernel_h * kernel_w
    tile = _tiles.choose(filters // groups, _precision.tensor_cores())
    table = (channels, kernel_h, kernel_w, dilation_h, dilation_w, height, width, tile.depth)
    places = Places(
        rows=filters // groups,
        depth=depth,
        positions=pictures * out_h * out_w,
        across=out_w,
        inside=out_h * out_w,
        step_h=stride_h,
        step_w=stride_w,
        start_h=-pad_top,
        start_w=-pad_left,
        height=height,
        width=width,
        picture=x.shape[1] * height * width,
        group=channels * height * width,
        weight_row=depth,
        weight_group=filters // groups * depth,
        out_picture=filters * out_h * out_w,
        out_channel=out_h * out_w,
        out_width=out_w,
        out_step_h=1,
        out_step_w=1,
        out_start_h=0,
        out_start_w=0,
    )
    _correlate(tile, x, weight, bias, relu, constant(forward_taps, *table), places, groups, y)


def conv2d_backward_input(
    dy, weight, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dx
):
    """Write dx; a launch for each phase of the stride, in which a block owns channels at pixels."""
    pictures, filters, out_h, out_w = dy.shape
    channels, kernel_h, kernel_w = weight.shape[1:]
    height, width = dx.shape[2:]
    taps = kernel_h * kernel_w
    tile = _tiles.choose(channels, _precision.tensor_cores())
    nothing = weight.reshape(-1)[:0]
    for phase_h in range(min(stride_h, height)):
        used_h = len(reaching(phase_h + pad_top, kernel_h, stride_h, dilation_h))
        for phase_w in range(min(stride_w, width)):
            used_w = len(reaching(phase_w + pad_left, kernel_w, stride_w, dilation_w))
            table = constant(
                backward_taps,
                *(filters // groups, channels, kernel_h, kernel_w, stride_h, stride_w),
                *(dilation_h, dilation_w, phase_h + pad_top, phase_w + pad_left),
                *(out_h, out_w, tile.depth),
            )
            down = -(-(height - phase_h) // stride_h)
            across = -(-(width - phase_w) // stride_w)
            places = Places(
                rows=channels,
                depth=filters // groups * used_h * used_w,
                positions=pictures * down * across,
                across=across,
                inside=down * across,
                step_h=1,
                step_w=1,
                start_h=0,
                start_w=0,
                height=out_h,
                width=out_w,
                picture=filters * out_h * out_w,
                group=filters // groups * out_h * out_w,
                weight_row=taps,
                weight_group=filters // groups * channels * taps,
                out_picture=dx.shape[1] * height * width,
                out_channel=height * width,
                out_width=width,
                out_step_h=stride_h,
                out_step_w=stride_w,
                out_start_h=phase_h,
                out_start_w=phase_w,
            )
            _correlate(tile, dy, weight, nothing, False, table, places, groups, dx)


def conv2d_backward_weight(
    dy, x, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups, dweight
):
    """Write dweight; a block owns filters at taps for a slice of the positions."""
    _tiles.need("implicit GEMM")
    pictures, filters, out_h, out_w = dy.shape
    height, width = x.shape[2:]
    channels, kernel_h, kernel_w = dweight.shape[1:]
    tensor_cores = _precision.tensor_cores()
    tile = _tiles.choose(filters // groups, tensor_cores)
    columns, positions = channels * kernel_h * kernel_w, pictures * out_h * out_w
    down, across = -(-filters // groups // tile.rows), -(-columns // tile.columns)
    slices, length = slices_for(groups * down * across, positions, tile.depth)
    sizes = Sizes(
        rows=filters // groups,
        columns=columns,
        positions=positions,
        slice=length,
        groups=groups,
        across=out_w,
        inside=out_h * out_w,
        channels=filters,
        stride_h=stride_h,
        stride_w=stride_w,
        pad_top=pad_top,
        pad_left=pad_left,
        height=height,
        width=width,
        picture=x.shape[1] * height * width,
        group=channels * height * width,
    )
    table = (channels, kernel_h, kernel_w, dilation_h, dilation_w, height, width, tile.depth)
    total = dweight.reshape(-1)
    parts = total
    if slices > 1:
        parts = scratch("slices of a sum", slices * dweight.size, dweight.dtype)
    launch_blocks(
        weight_gradient(tile, tensor_cores, _precision.copies_run_ahead()),
        (across, down, groups * slices),
        tile.threads,
        dy.reshape(-1),
        x.reshape(-1),
        constant(forward_taps, *table),
        sizes,
        parts,
    )
    if slices > 1:
        add_slices(parts, slices, total[:0], total)


def conv2d_backward_bias(dy, dbias):
    """Write dbias; a block owns one channel co."""
    pictures, filters, out_h, out_w = dy.shape
    channel_sums(dy.reshape(pictures, filters, out_h * out_w), dbias)


def _correlate(tile, x, weight, bias, relu, taps, places, groups, y):
    """Launch a block for each tile of y."""
    _tiles.need("implicit GEMM")
    launch_blocks(
        correlation(tile, _precision.tensor_cores(), _precision.copies_run_ahead()),
        (-(-places.positions // tile.columns), -(-places.rows // tile.rows), groups),
        tile.threads,
        x.reshape(-1),
        weight.reshape(-1),
        bias,
        relu,
        taps,
        places,
        y.reshape(-1),
    )
