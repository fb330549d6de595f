"""Padding, padded and transposed convolution, and local connections against PyTorch's.

Geometry comes from seeded generators that like uneven numbers; ``test_the_cases_hold_the_traps``
keeps them from becoming harmless. Bounds: checks_oracle.py.
"""

import numpy as np
import pytest
from checks_oracle import (
    Case,
    disagreements,
    each,
    exact,
    in_both_dtypes,
    magnitudes,
    near,
    numbers,
    numcnn_shape,
    output_of,
    pair,
    picture,
    run_numcnn,
    run_torch,
    share_weights,
    torch,
    torch_shape,
    written,
)

import numcnn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
MODES = ["zeros", "reflect", "replicate", "circular"]
PADS = ["ZeroPad2d", "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d"]


def twins(name, arguments, dtype, number):
    """Return numcnn's and PyTorch's layer with the same weights."""
    torch.manual_seed(number)
    layer = getattr(numcnn, name)(**arguments, dtype=dtype)
    module = getattr(torch.nn, name)(**arguments).to(getattr(torch, dtype))
    share_weights(layer, module, number)
    return layer, module


# ---- padding ------------------------------------------------------------------------------------


def draw_pads(number):
    rng = np.random.default_rng([1, number])
    name = PADS[number % 5]
    sides = [int(size) for size in rng.integers(1, 7, 2)]
    most = {"ReflectionPad2d": [s - 1 for s in sides], "CircularPad2d": sides}.get(name, (7, 7))
    padding = tuple(int(rng.integers(0, most[axis] + 1)) for axis in (1, 1, 0, 0))
    arguments = {"padding": padding if rng.random() < 0.9 else min(padding)}
    if name == "ConstantPad2d":
        arguments["value"] = float(rng.standard_normal())
    shape = (*(int(n) for n in rng.integers(1, 4, 2)), *sides)
    return Case(number, shape, arguments)


@each([draw_pads(number) for number in range(5 * 60)])
@in_both_dtypes
def test_padding(case, dtype):
    name = PADS[case.number % 5]
    rng = np.random.default_rng([10, case.number])
    layer = getattr(numcnn, name)(**case.arguments)
    module = getattr(torch.nn, name)(**case.arguments)
    x = numbers(rng, case.shape, dtype, few=case.number % 3 == 0)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    sizes = {"y": 0, "dx": run_torch(module, x, np.abs(dy))["dx"]}
    copies = dy.shape[2] * dy.shape[3]  # of one pixel, at most
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), {"y": 0, "dx": copies}, sizes)


# ---- convolution with other padding than zeros ------------------------------------------------


def draw_conv(number):
    rng = np.random.default_rng([2, number])
    mode = MODES[1 + number % 3]
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, filters = (groups * int(rng.integers(1, 4)) for _ in "io")
    if rng.random() < 0.2:
        groups, filters = channels, 2 * channels  # depthwise
    kernel, dilation = pair(rng, 1, 5), pair(rng, 1, 3)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    kind = rng.choice(["numbers", "numbers", "same", "valid"], p=[0.3, 0.3, 0.35, 0.05])
    stride = (1, 1) if kind == "same" else pair(rng, 1, 4)
    padding = pair(rng, 0, 4)
    if kind == "same":
        # a window as large as the picture still finds what its padding must copy
        least = [r // 2 + 1 for r in reach]
    elif kind == "valid":
        least = reach
    else:
        least = [max(p + 1, r - 2 * p) for p, r in zip(padding, reach, strict=True)]
    sides = picture(rng, least, [(0, 0)] * 2, extra=5)
    arguments = {
        "in_channels": channels,
        "out_channels": filters,
        "kernel_size": written(rng, kernel),
        "stride": written(rng, stride),
        "padding": written(rng, padding) if kind == "numbers" else str(kind),
        "dilation": written(rng, dilation),
        "groups": groups,
        "bias": bool(rng.random() < 0.7),
        "padding_mode": mode,
    }
    return Case(number, (int(rng.integers(1, 4)), channels, *sides), arguments)


CONVS = [draw_conv(number) for number in range(3 * 60)]


@each(CONVS)
@in_both_dtypes
def test_conv2d(case, dtype):
    rng = np.random.default_rng([11, case.number])
    layer, module = twins("Conv2d", case.arguments, dtype, case.number)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    taps = int(np.prod(layer.weight.shape[1:]))
    pixels = dy.size // dy.shape[1]
    padded = [size + sum(pads) for size, pads in zip(case.shape[2:], layer.pads, strict=True)]
    terms = {
        "y": taps + 1,
        # a pixel collects from its copies, each of which was seen through every tap
        "dx": taps // layer.weight.shape[1] * layer.out_channels // layer.groups + np.prod(padded),
        "dweight": pixels,
        "dbias": pixels,
    }
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, magnitudes(module, x, dy))


@pytest.mark.parametrize("number", range(0, 180, 9))
def test_the_rows_named_unused_are_those_without_a_gradient(number):
    """For every tap 1, PyTorch's gradient is 0 where no window looks, and above it elsewhere."""
    for name, case in (("Conv2d", CONVS[number]), ("ConvTranspose2d", TRANSPOSED[number])):
        layer = getattr(numcnn, name)(**case.arguments)
        module = getattr(torch.nn, name)(**case.arguments).double()
        with torch.no_grad():
            module.weight.fill_(1)
        x = np.zeros(case.shape)
        seen = run_torch(module, x, np.ones(output_of(module, x)))["dx"].sum(axis=(0, 1)) > 0
        rows, columns = layer.unused(case.shape)
        if not seen.any():  # no window meets the picture along one axis at least
            assert len(rows) == case.shape[2] or len(columns) == case.shape[3]
            continue
        assert rows == np.flatnonzero(~seen.any(axis=1)).tolist()
        assert columns == np.flatnonzero(~seen.any(axis=0)).tolist()


# ---- transposed convolution -------------------------------------------------------------------


def draw_transposed(number, most=3, extra=6):
    rng = np.random.default_rng([3, number])
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, filters = (groups * int(rng.integers(1, most + 1)) for _ in "io")
    if rng.random() < 0.15:
        groups, filters = channels, 2 * channels  # depthwise
    kernel, stride, dilation = pair(rng, 1, 5), pair(rng, 1, 4), pair(rng, 1, 3)
    padding = pair(rng, 0, 4)
    further = tuple(
        int(rng.integers(0, max(s, d))) * int(rng.random() < 0.5)
        for s, d in zip(stride, dilation, strict=True)
    )
    sides = [int(size) for size in rng.integers(1, extra + 1, 2)]
    for axis in (0, 1):
        while (sides[axis] - 1) * stride[axis] - 2 * padding[axis] + dilation[axis] * (
            kernel[axis] - 1
        ) + further[axis] < 0:
            sides[axis] += 1
    arguments = {
        "in_channels": channels,
        "out_channels": filters,
        "kernel_size": written(rng, kernel),
        "stride": written(rng, stride),
        "padding": written(rng, padding),
        "output_padding": written(rng, further),
        "groups": groups,
        "bias": bool(rng.random() < 0.7),
        "dilation": written(rng, dilation),
    }
    return Case(number, (int(rng.integers(1, 4)), channels, *sides), arguments)


TRANSPOSED = [
    *(draw_transposed(number) for number in range(180)),
    # wide enough for whole blocks of channels and pixels
    *(draw_transposed(number, most=20, extra=20) for number in range(200, 208)),
    Case(300, (2, 96, 5, 6), {"in_channels": 96, "out_channels": 130, "kernel_size": 3}),
]


@each(TRANSPOSED)
@in_both_dtypes
def test_conv_transpose2d(case, dtype):
    rng = np.random.default_rng([12, case.number])
    layer, module = twins("ConvTranspose2d", case.arguments, dtype, case.number)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    taps = int(np.prod(layer.kernel_size))
    per_group = layer.in_channels // layer.groups
    terms = {
        "y": per_group * taps + 1,
        "dx": layer.weight.shape[1] * taps,
        "dweight": x.size // x.shape[1],
        "dbias": dy.size // dy.shape[1],
    }
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, magnitudes(module, x, dy))


def test_the_cases_hold_the_traps():
    """Each known trap of the field is in the drawn cases several times."""
    names = ["same and even", "same and dilated", "strided", "depthwise", "groups", "N=1"]
    names += ["at its largest", "unseen", "one row or column"]
    convs = dict.fromkeys(names, 0)
    for case in CONVS:
        layer = numcnn.Conv2d(**case.arguments)
        same = layer.padding == "same"
        convs["same and even"] += same and any(k % 2 == 0 for k in layer.kernel_size)
        convs["same and dilated"] += same and max(layer.dilation) > 1
        convs["strided"] += max(layer.stride) > 1
        convs["depthwise"] += layer.groups == layer.in_channels > 1
        convs["groups"] += 1 < layer.groups < layer.in_channels
        convs["N=1"] += case.shape[0] == 1
        convs["at its largest"] += any(
            max(pads) > 0 and max(pads) == size - (layer.padding_mode == "reflect")
            for size, pads in zip(case.shape[2:], layer.pads, strict=True)
        )
        convs["unseen"] += any(layer.unused(case.shape))
        convs["one row or column"] += min(case.shape[2:]) == 1
    assert all(count >= 5 for count in convs.values()), convs
    names = ["stride above kernel", "further rows above stride", "further rows", "depthwise"]
    names += ["groups", "cut to the inside", "unseen", "dilated and strided", "N=1", "one pixel"]
    transposed = dict.fromkeys(names, 0)
    for case in TRANSPOSED:
        layer = numcnn.ConvTranspose2d(**case.arguments)
        kernel, stride, further = layer.kernel_size, layer.stride, layer.output_padding
        axes = range(2)
        transposed["stride above kernel"] += any(stride[a] > kernel[a] for a in axes)
        transposed["further rows above stride"] += any(further[a] >= stride[a] for a in axes)
        transposed["further rows"] += any(further)
        transposed["depthwise"] += layer.groups == layer.in_channels > 1
        transposed["groups"] += 1 < layer.groups < layer.in_channels
        transposed["cut to the inside"] += any(layer.padding[a] >= kernel[a] for a in axes)
        transposed["unseen"] += any(layer.unused(case.shape))
        transposed["dilated and strided"] += max(layer.dilation) > 1 and max(stride) > 1
        transposed["N=1"] += case.shape[0] == 1
        transposed["one pixel"] += 1 in layer.output_shape(case.shape)[2:]
    assert all(count >= 5 for count in transposed.values()), transposed


# ---- local connections: PyTorch has the windows, not the layer ----------------------------------


class Local(torch.nn.Module):
    """Every window as a column, each with a filter of its own."""

    def __init__(self, layer):
        super().__init__()
        self.geometry = layer.kernel_size, (1, 1), layer.padding, layer.stride
        for name, parameter in layer.named_parameters():
            value = torch.from_numpy(parameter.data.copy())
            self.register_parameter(name, torch.nn.Parameter(value))

    def forward(self, x):
        filters, channels, kh, kw, oh, ow = self.weight.shape
        columns = torch.nn.functional.unfold(x, *self.geometry)
        windows = columns.reshape(x.shape[0], channels * kh * kw, oh, ow)
        own = self.weight.reshape(filters, channels * kh * kw, oh, ow)
        y = torch.einsum("nkhw,ckhw->nchw", windows, own)
        return y + self.bias if hasattr(self, "bias") else y


def draw_local(number):
    rng = np.random.default_rng([4, number])
    kernel, stride, padding = pair(rng, 1, 4), pair(rng, 1, 4), pair(rng, 0, 4)
    sides = picture(rng, kernel, [(p, p) for p in padding], extra=6)
    channels = int(rng.integers(1, 4))
    arguments = {
        "in_channels": channels,
        "out_channels": int(rng.integers(1, 5)),
        "input_size": tuple(sides),
        "kernel_size": written(rng, kernel),
        "stride": written(rng, stride),
        "padding": written(rng, padding),
        "bias": bool(rng.random() < 0.7),
    }
    return Case(number, (int(rng.integers(1, 4)), channels, *sides), arguments)


@each([draw_local(number) for number in range(100)])
@in_both_dtypes
def test_locally_connected2d(case, dtype):
    rng = np.random.default_rng([13, case.number])
    layer = numcnn.LocallyConnected2d(**case.arguments, dtype=dtype)
    layer.reseed(case.number)
    module = Local(layer)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    taps = int(np.prod(layer.kernel_size))
    terms = {
        "y": layer.in_channels * taps + 1,
        "dx": layer.out_channels * taps,
        "dweight": case.shape[0],
        "dbias": case.shape[0],
    }
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, magnitudes(module, x, dy))


# ---- what is refused --------------------------------------------------------------------------


def test_both_take_and_refuse_the_same_padding():
    rng = np.random.default_rng(5)
    for name in PADS:
        cases = []
        for _ in range(150):
            padding = tuple(int(n) for n in rng.integers(0, 6, 4))
            arguments = {"padding": padding}
            if name == "ConstantPad2d":
                arguments["value"] = 1.0
            cases.append((arguments, (1, 1, *(int(n) for n in rng.integers(1, 6, 2)))))
        found = disagreements(name, cases)
        assert not found, "\n".join([f"{name}:", *found[:10]])


@pytest.mark.parametrize("mode", MODES)
def test_both_take_and_refuse_the_same_convolutions(mode):
    rng = np.random.default_rng([6, MODES.index(mode)])
    cases = []
    for _ in range(150):
        arguments = {
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": pair(rng, 1, 4),
            "padding": pair(rng, 0, 4) if rng.random() < 0.7 else "same",
            "dilation": pair(rng, 1, 2),
            "padding_mode": mode,
        }
        cases.append((arguments, (1, 1, *(int(n) for n in rng.integers(1, 6, 2)))))
    found = disagreements("Conv2d", cases)
    assert not found, "\n".join(found[:10])


def test_both_take_and_refuse_the_same_transposed_convolutions():
    rng = np.random.default_rng(7)
    cases = []
    for _ in range(300):
        arguments = {
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": pair(rng, 1, 4),
            "stride": pair(rng, 1, 3),
            "padding": pair(rng, 0, 4),
            "output_padding": pair(rng, 0, 3),
            "dilation": pair(rng, 1, 3),
        }
        cases.append((arguments, (1, 1, *(int(n) for n in rng.integers(1, 5, 2)))))
    refused = sum(torch_shape("ConvTranspose2d", *case) is None for case in cases)
    assert 50 < refused < 250
    found = disagreements("ConvTranspose2d", cases)
    assert not found, "\n".join([f"{len(found)} cases differ:", *found[:10]])


TRANSPOSE = {"in_channels": 2, "out_channels": 4, "kernel_size": 2}
PICTURES = (1, 2, 5, 6)
BAD = [
    ("ZeroPad2d", {"padding": (1, 2, 3)}, PICTURES),
    ("ZeroPad2d", {"padding": 1.5}, PICTURES),
    ("ReflectionPad2d", {"padding": 5}, PICTURES),
    ("ReflectionPad2d", {"padding": (6, 0, 0, 0)}, PICTURES),
    ("ReplicationPad2d", {"padding": 1}, (1, 2, 0, 6)),
    ("CircularPad2d", {"padding": (0, 0, 0, 6)}, PICTURES),
    ("CircularPad2d", {"padding": 1}, (5, 6)),
    ("ConvTranspose2d", TRANSPOSE | {"stride": 0}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"padding": -1}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"padding": "same"}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"output_padding": 1}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"output_padding": (0, 2), "stride": 2}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"output_padding": -1, "stride": 2}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"padding": 3, "kernel_size": 1}, (1, 2, 6, 6)),
    ("ConvTranspose2d", TRANSPOSE | {"groups": 4}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"out_channels": 3, "groups": 2}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE | {"padding_mode": "reflect"}, PICTURES),
    ("ConvTranspose2d", TRANSPOSE, (1, 3, 5, 6)),
    ("ConvTranspose2d", TRANSPOSE, (1, 2, 0, 6)),
    ("ConvTranspose2d", TRANSPOSE, (5, 6)),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shape"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, arguments, shape):
    assert torch_shape(name, arguments, shape) is None, "PyTorch takes this"
    assert numcnn_shape(name, arguments, shape) is None, "PyTorch refuses this, numcnn takes it"


@in_both_dtypes
def test_no_examples_at_all(dtype):
    """A batch of none: empty outputs, gradients of zero."""
    for name, arguments in (
        ("ConvTranspose2d", TRANSPOSE),
        ("Conv2d", TRANSPOSE | {"padding": 1, "padding_mode": "circular"}),
    ):
        layer, module = twins(name, arguments, dtype, 1)
        x = np.empty((0, 2, 5, 6), dtype)
        dy = np.empty(output_of(module, x), dtype)
        exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))
