"""Padding, bias and locally connected CUDA kernels against the reference; see checks_cuda.py."""

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, integers, random

from numcnn import ConstantPad2d, Conv2d, ConvTranspose2d, LocallyConnected2d, ReflectionPad2d

# name: (N, C, H, W), (top, left, bottom, right), the modes that can fill so much
PADDINGS = {
    "all different": ((2, 2, 4, 5), (1, 2, 3, 4), (0, 1, 2, 3)),
    "one side each": ((1, 2, 4, 3), (3, 0, 0, 2), (0, 1, 2, 3)),
    "as large as a mirror allows": ((1, 1, 3, 4), (2, 3, 2, 3), (0, 1, 2, 3)),
    "as large as the picture": ((1, 1, 3, 2), (3, 2, 3, 2), (0, 2, 3)),
    "larger than the picture": ((1, 1, 2, 1), (5, 3, 4, 2), (0, 2)),
    "no pictures": ((0, 2, 3, 4), (1, 2, 0, 1), (0, 1, 2, 3)),
}


@both_dtypes
@pytest.mark.parametrize("case", PADDINGS)
def test_pad2d(case, dtype):
    shape, (top, left, bottom, right), modes = PADDINGS[case]
    out = (*shape[:2], shape[2] + top + bottom, shape[3] + left + right)
    for mode in modes:
        x, dy = random(dtype, *shape), random(dtype, *out, seed=1)
        check("pad2d_forward", x, top, left, mode, -1.5, Out(out, dtype), exact=True)
        check("pad2d_backward_input", dy, top, left, mode, Out(shape, dtype), exact=True)


@both_dtypes
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 4)], ids=str)
def test_bias2d(shape, dtype):
    bias = random(dtype, shape[1], seed=1)
    check("bias2d_forward", random(dtype, *shape), bias, Out(shape, dtype), exact=True)


LOCALS = {
    # name: (N, Cin, H, W), (Cout, KH, KW), stride, (top, left, bottom, right)
    "plain": ((2, 3, 4, 5), (2, 3, 2), (1, 1), (0, 0, 0, 0)),
    "all different": ((2, 2, 6, 5), (3, 3, 2), (2, 1), (1, 0, 2, 3)),
    "stride over the filter": ((1, 2, 7, 8), (3, 1, 2), (3, 4), (0, 1, 0, 1)),
    "filter larger than picture": ((1, 2, 2, 3), (2, 5, 4), (1, 1), (2, 1, 2, 2)),
    "padding over the filter": ((1, 1, 2, 3), (2, 2, 1), (2, 3), (3, 2, 1, 4)),
    "no pictures": ((0, 2, 5, 4), (3, 3, 2), (1, 1), (1, 0, 1, 0)),
}


@both_dtypes
@pytest.mark.parametrize("case", LOCALS)
def test_locally_connected2d(case, dtype):
    (n, c, h, w), (co, kh, kw), stride, (top, left, bottom, right) = LOCALS[case]
    oh = (h + top + bottom - kh) // stride[0] + 1
    ow = (w + left + right - kw) // stride[1] + 1
    x = random(dtype, n, c, h, w)
    weight = random(dtype, co, c, kh, kw, oh, ow, seed=1)
    bias = random(dtype, co, oh, ow, seed=2)
    dy = random(dtype, n, co, oh, ow, seed=3)
    geometry = (*stride, top, left)
    op = "locally_connected2d"

    def out(like):
        return Out(like.shape, dtype)

    taps = c * kh * kw + 1
    check(f"{op}_forward", x, weight, bias, *geometry, out(dy), terms=taps, linear=True)
    taps = co * kh * kw
    check(f"{op}_backward_input", dy, weight, *geometry, out(x), terms=taps, linear=True)
    check(f"{op}_backward_weight", dy, x, *geometry, out(weight), terms=n, linear=True)
    check(f"{op}_backward_bias", dy, out(bias), terms=n, linear=True)


@both_dtypes
def test_locally_connected2d_of_whole_numbers_is_exact(dtype):
    """Without rounding, no order of summing can hide a term that is missing or counted twice."""
    x, dy = integers(dtype, 2, 2, 5, 4), integers(dtype, 2, 3, 3, 3, seed=1)
    weight, bias = integers(dtype, 3, 2, 3, 2, 3, 3, seed=2), integers(dtype, 3, 3, 3, seed=3)
    op, geometry = "locally_connected2d", (2, 1, 1, 0)
    check(f"{op}_forward", x, weight, bias, *geometry, Out(dy.shape, dtype), exact=True)
    check(f"{op}_backward_input", dy, weight, *geometry, Out(x.shape, dtype), exact=True)
    check(f"{op}_backward_weight", dy, x, *geometry, Out(weight.shape, dtype), exact=True)


@both_dtypes
@pytest.mark.parametrize("mode", range(4))
def test_pad2d_hands_on_nan(mode, dtype):
    x = random(dtype, 1, 2, 3, 4)
    dy = random(dtype, 1, 2, 6, 7, seed=1)
    x[0, 1, 1, 2] = dy[0, 1, 2, 3] = np.nan
    check("pad2d_forward", x, 1, 2, mode, 0.0, Out(dy.shape, dtype), exact=True)
    check("pad2d_backward_input", dy, 1, 2, mode, Out(x.shape, dtype), exact=True)


# ------------------------------------------------------------------------------ layers on the GPU

LAYERS = {
    "reflected": (lambda: Conv2d(2, 3, (3, 2), 1, (2, 1), padding_mode="reflect"), (2, 2, 3, 4)),
    "same, circular": (
        lambda: Conv2d(2, 2, (2, 4), 1, "same", groups=2, padding_mode="circular"),
        (1, 2, 3, 4),
    ),
    "transposed": (
        lambda: ConvTranspose2d(4, 2, (3, 2), (2, 1), 1, (1, 0), groups=2),
        (1, 4, 2, 3),
    ),
    "transposed, no bias": (lambda: ConvTranspose2d(2, 1, 2, bias=False), (1, 2, 2, 3)),
    "locally connected": (lambda: LocallyConnected2d(2, 2, (3, 4), (3, 2), 1, 1), (2, 2, 3, 4)),
    "no bias": (lambda: LocallyConnected2d(1, 2, (3, 4), 2, 2, bias=False), (2, 1, 3, 4)),
    "mirror": (lambda: ReflectionPad2d((1, 3, 2, 0)), (2, 1, 3, 4)),
    "constant": (lambda: ConstantPad2d((1, 0, 2, 0), 0.5), (2, 1, 3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_the_gpu(name):
    """Sums of at most 30 products of size 10, in float64."""
    make, shape = LAYERS[name]
    layer, truth = make().to("cuda", "float64"), make().to("reference", "float64")
    layer.reseed(1)
    truth.reseed(1)
    x = random(np.float64, *shape)
    expected = truth(x)
    dy = random(np.float64, *expected.shape, seed=1)
    y = layer(layer.device.to_device(x))
    dx = layer.backward(layer.device.to_device(dy))
    found = {"y": y, "dx": dx} | {key: p.grad for key, p in layer.named_parameters()}
    wanted = {"y": expected, "dx": truth.backward(dy)}
    wanted |= {key: p.grad for key, p in truth.named_parameters()}
    assert found.keys() == wanted.keys()
    for key, want in wanted.items():
        got = layer.device.to_host(found[key])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12, err_msg=key)
