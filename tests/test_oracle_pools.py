"""Adaptive pooling, unpooling, resizing and shuffling against PyTorch on the same numbers.

Geometry comes from seeded generators that like uneven numbers. Bounds: checks_oracle.py.
"""

import numpy as np
import pytest
from checks_oracle import (
    Case,
    both_dtypes,
    disagreements,
    each,
    exact,
    in_both_dtypes,
    near,
    numbers,
    numcnn_shape,
    output_of,
    pair,
    run_numcnn,
    run_torch,
    torch,
    torch_shape,
    written,
)

import numcnn


def twins(name, arguments, dtype):
    """Return numcnn's and PyTorch's layer."""
    module = getattr(torch.nn, name)(**arguments).to(getattr(torch, dtype))
    return getattr(numcnn, name)(**arguments), module


def sides(rng, least=1, most=11):
    """Draw a height and a width that differ."""
    height, width = (int(value) for value in rng.integers(least, most + 1, 2))
    return (height, width) if height != width else (height, width + 1)


def few_pictures(rng):
    return int(rng.integers(1, 4)), int(rng.integers(1, 4))


# ---- adaptive pooling and indices -------------------------------------------------------------


def draw_adaptive(number):
    rng = np.random.default_rng([1, number])
    out = pair(rng, 1, 7)
    kind = rng.choice(["number", "pair", "pair", "pair", "none"])
    if kind == "number":
        out = out[0]
    elif kind == "none":
        out = (None, out[1]) if rng.random() < 0.5 else (out[0], None)
    return Case(number, (*few_pictures(rng), *sides(rng)), {"output_size": out})


ADAPTIVE = [draw_adaptive(number) for number in range(80)]


def test_the_adaptive_cases_hold_the_traps():
    dividing = larger = global_ = kept = 0
    for case in ADAPTIVE:
        out = numcnn.AdaptiveAvgPool2d(**case.arguments).output_shape(case.shape)[2:]
        dividing += any(size % count for size, count in zip(case.shape[2:], out, strict=True))
        larger += any(count > size for size, count in zip(case.shape[2:], out, strict=True))
        global_ += 1 in out
        kept += None in np.atleast_1d(np.array(case.arguments["output_size"], object))
    assert min(dividing, larger, global_, kept) >= 5


def averages(module, x, dy):
    """Return M: PyTorch's layer of absolute values in float64."""
    return run_torch(module.double(), np.abs(x).astype(np.float64), np.abs(dy).astype(np.float64))


@each(ADAPTIVE)
@in_both_dtypes
def test_adaptive_avg_pool2d(case, dtype):
    rng = np.random.default_rng([2, case.number])
    layer, module = twins("AdaptiveAvgPool2d", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 4 == 0)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    terms = {"y": x[0, 0].size, "dx": dy[0, 0].size}  # at most
    want = run_torch(module, x, dy)
    near(run_numcnn(layer, x, dy), want, terms, averages(module, x, dy))


@each(ADAPTIVE)
@in_both_dtypes
def test_adaptive_max_pool2d(case, dtype):
    rng = np.random.default_rng([3, case.number])
    layer, module = twins("AdaptiveMaxPool2d", case.arguments | {"return_indices": True}, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 3 > 0)
    y, indices = layer(x)
    leaf = torch.from_numpy(x).requires_grad_()
    their_y, their_indices = module(leaf)
    np.testing.assert_array_equal(y, their_y.detach().numpy())
    assert indices.dtype == their_indices.numpy().dtype
    np.testing.assert_array_equal(indices, their_indices.numpy())
    dy = numbers(rng, y.shape, dtype)
    their_y.backward(torch.from_numpy(dy))
    want = leaf.grad.numpy().copy()
    leaf.grad = None
    module(leaf)[0].backward(torch.from_numpy(np.abs(dy)))
    near({"dx": layer.backward(dy)}, {"dx": want}, {"dx": dy[0, 0].size}, {"dx": leaf.grad.numpy()})


def draw_max_pool(number, overlapping=True):
    rng = np.random.default_rng([4, number])
    kernel = pair(rng, 1, 4)
    stride = pair(rng, 1, 4)
    if not overlapping:  # windows that share no pixel name no place twice
        stride = tuple(max(s, k) for s, k in zip(stride, kernel, strict=True))
    arguments = {
        "kernel_size": written(rng, kernel),
        "stride": written(rng, stride),
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
    }
    return Case(number, (*few_pictures(rng), *sides(rng, 4, 12)), arguments)


@each([draw_max_pool(number) for number in range(60)])
@in_both_dtypes
def test_max_pool2d_returns_pytorchs_indices(case, dtype):
    rng = np.random.default_rng([5, case.number])
    more = {"return_indices": True, "ceil_mode": bool(case.number % 2)}
    layer, module = twins("MaxPool2d", case.arguments | more, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 3 > 0)
    y, indices = layer(x)
    want = module(torch.from_numpy(x))
    np.testing.assert_array_equal(y, want[0].numpy())
    assert indices.dtype == want[1].numpy().dtype
    np.testing.assert_array_equal(indices, want[1].numpy())


@each([draw_max_pool(number, overlapping=False) for number in range(80)])
@in_both_dtypes
def test_max_unpool2d(case, dtype):
    """Indices of a pooling, other numbers than it pooled; the output as large as the input was.

    PyTorch takes an output_size only where it is near its formula's; else both use the formula.
    """
    rng = np.random.default_rng([6, case.number])
    pool = numcnn.MaxPool2d(**case.arguments, return_indices=True)
    _, indices = pool(numbers(rng, case.shape, dtype))
    layer, module = twins("MaxUnpool2d", case.arguments, dtype)
    x = numbers(rng, indices.shape, dtype, few=case.number % 4 == 0)
    leaf = torch.from_numpy(x).requires_grad_()
    size = case.shape[2:] if case.number % 3 else case.shape
    theirs = module(leaf, torch.from_numpy(indices), output_size=size)
    y = layer(x, indices, output_size=size)
    dy = numbers(rng, y.shape, dtype)
    theirs.backward(torch.from_numpy(dy))
    want = {"y": theirs.detach().numpy(), "dx": leaf.grad.numpy()}
    exact({"y": y, "dx": layer.backward(dy)}, want)
    # the same through the layer that pooled: it knows the size by itself
    linked = numcnn.MaxUnpool2d(**case.arguments, pool=pool)
    exact({"y": linked(x), "dx": linked.backward(dy)}, want)


@both_dtypes
def test_an_autoencoder_with_unpooling(dtype):
    """The same network, by hand in PyTorch: gradients of all its weights."""
    torch.manual_seed(1)
    first, last = (torch.nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 3), (3, 1)))
    for module in (first, last):
        module.to(getattr(torch, dtype))
    pool = numcnn.MaxPool2d(2)
    model = numcnn.Sequential(
        numcnn.Conv2d(1, 3, 3, padding=1),
        pool,
        numcnn.Tanh(),
        numcnn.MaxUnpool2d(2, pool=pool),
        numcnn.Conv2d(3, 1, 3, padding=1),
        dtype=dtype,
    )
    state = {f"0.{name}": value.detach() for name, value in first.named_parameters()}
    state |= {f"4.{name}": value.detach() for name, value in last.named_parameters()}
    model.load_state_dict(state)
    rng = np.random.default_rng(7)
    x, dy = (rng.standard_normal((2, 1, 6, 9)).astype(dtype) for _ in "xy")
    leaf = torch.from_numpy(x).requires_grad_()
    pooled, indices = torch.nn.MaxPool2d(2, return_indices=True)(first(leaf))
    y = last(torch.nn.MaxUnpool2d(2)(torch.tanh(pooled), indices, output_size=(6, 9)))
    y.backward(torch.from_numpy(dy))
    want = {"y": y.detach().numpy(), "dx": leaf.grad.numpy()}
    want |= {f"d0.{name}": p.grad.numpy() for name, p in first.named_parameters()}
    want |= {f"d4.{name}": p.grad.numpy() for name, p in last.named_parameters()}
    sizes = {key: np.abs(value).max() + 1 for key, value in want.items()}
    near(run_numcnn(model, x, dy), want, dict.fromkeys(want, 200), sizes)


# ---- resizing ---------------------------------------------------------------------------------


def draw_upsample(number, mode):
    rng = np.random.default_rng([8, number])
    arguments = {"mode": mode}
    if rng.random() < 0.4:
        arguments["size"] = written(rng, pair(rng, 1, 15))
    else:
        digits = int(rng.integers(0, 4))  # now and then whole factors
        factors = tuple(float(np.round(f, digits)) for f in rng.uniform(0.5, 3.4, 2))
        factors = tuple(max(f, 0.5) for f in factors)
        arguments["scale_factor"] = factors if rng.random() < 0.7 else factors[0]
        if rng.random() < 0.3:
            arguments["recompute_scale_factor"] = bool(rng.random() < 0.7)
    if mode == "bilinear":
        arguments["align_corners"] = [None, False, True][number % 3]
    return Case(number, (*few_pictures(rng), *sides(rng, 2)), arguments)


@each([draw_upsample(number, "nearest") for number in range(80)])
@in_both_dtypes
def test_upsample_nearest(case, dtype):
    rng = np.random.default_rng([9, case.number])
    layer, module = twins("Upsample", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    terms = {"y": 0, "dx": dy[0, 0].size}
    sizes = {"y": 0, "dx": run_torch(module, x, np.abs(dy))["dx"]}
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, sizes)


@each([draw_upsample(number, "bilinear") for number in range(100)])
@in_both_dtypes
def test_upsample_bilinear(case, dtype):
    """A position of up to H pixels goes through three roundings on either side.

    So a weight is off by 6 eps H at most, and the mean by that times the difference of two pixels,
    at most 2 max|x|; there are two axes. What a pixel gets back is off by that times all of |dy|.
    """
    rng = np.random.default_rng([10, case.number])
    layer, module = twins("Upsample", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 4 == 0)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    rounding = 12 * sum(case.shape[2:])
    terms = {"y": rounding + 4, "dx": rounding + 4 * dy[0, 0].size}
    sizes = {"y": np.abs(x).max(), "dx": np.abs(dy).sum((2, 3), keepdims=True).max()}
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, sizes)


def positions(size, arguments, dtype):
    """Return which pixel of a row each output copies: numcnn's, and PyTorch's."""
    row = np.arange(size, dtype=dtype).reshape(1, 1, 1, size)
    with torch.no_grad():
        theirs = torch.nn.Upsample(**arguments)(torch.from_numpy(row)).numpy()
    return numcnn.Upsample(**arguments)(row).ravel(), theirs.ravel()


@both_dtypes
@pytest.mark.parametrize("size", range(1, 34, 4))
def test_nearest_copies_pytorchs_pixel_for_every_size(size, dtype):
    for outputs in range(1, 127):
        ours, theirs = positions(size, {"size": (1, outputs)}, dtype)
        np.testing.assert_array_equal(ours, theirs, f"{size} to {outputs}")


@both_dtypes
def test_nearest_copies_pytorchs_pixel_for_every_factor(dtype):
    """PyTorch has another routine for outputs of more than 128 rows and columns together.

    It computes float64's positions in float64, and has no rule of its own for an output of the
    input's size or of twice its size; its backward pass has. numcnn has one rule.
    """
    rng = np.random.default_rng(11)
    compared = 0
    while compared < 400:
        size, factor = int(rng.integers(1, 60)), float(np.round(rng.uniform(0.2, 4), 2))
        if not 1 <= int(size * factor) < 127:
            continue
        ours, theirs = positions(size, {"scale_factor": (1.0, factor)}, dtype)
        np.testing.assert_array_equal(ours, theirs, f"{size} times {factor}")
        compared += 1


@pytest.mark.parametrize("outputs", [200, 224, 301, 447])
@pytest.mark.parametrize("size", [37, 100, 224])
def test_nearest_copies_pytorchs_pixel_in_large_pictures(size, outputs):
    ours, theirs = positions(size, {"size": (1, outputs)}, "float32")
    np.testing.assert_array_equal(ours, theirs)


# ---- shuffling --------------------------------------------------------------------------------


def draw_shuffle(number, name):
    rng = np.random.default_rng([12, number])
    r = int(rng.integers(1, 5))
    n, c = few_pictures(rng)
    h, w = sides(rng, 1, 5)
    if name == "PixelShuffle":
        return Case(number, (n, c * r * r, h, w), {"upscale_factor": r})
    return Case(number, (n, c, h * r, w * r), {"downscale_factor": r})


@pytest.mark.parametrize("name", ["PixelShuffle", "PixelUnshuffle"])
@pytest.mark.parametrize("number", range(60))
@in_both_dtypes
def test_pixel_shuffle(name, number, dtype):
    case = draw_shuffle(number, name)
    rng = np.random.default_rng([13, number])
    layer, module = twins(name, case.arguments, dtype)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


# ---- at the ends ------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("AdaptiveAvgPool2d", {"output_size": (2, 3)}),
        ("AdaptiveMaxPool2d", {"output_size": (2, 3)}),
        ("Upsample", {"scale_factor": 1.5}),
        ("Upsample", {"size": (3, 7), "mode": "bilinear"}),
    ],
)
def test_no_examples_at_all(name, arguments, dtype):
    layer, module = twins(name, arguments, dtype)
    x = np.empty((0, 4, 5, 6), dtype)
    dy = np.empty(output_of(module, x), dtype)
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


@both_dtypes
def test_adaptive_max_pool2d_of_nan_and_infinity(dtype):
    layer, module = twins("AdaptiveMaxPool2d", {"output_size": (3, 4)}, dtype)
    x = np.random.default_rng(14).standard_normal((1, 2, 5, 9)).astype(dtype)
    x[0, 0, 2, 4] = np.nan
    x[0, 1] = -np.inf
    dy = np.random.default_rng(15).standard_normal((1, 2, 3, 4)).astype(dtype)
    sizes = {"y": 0, "dx": run_torch(module, x, np.abs(dy))["dx"]}
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), {"y": 0, "dx": 4}, sizes)


def test_upsampled_sizes_are_pytorchs():
    """The size is the product rounded down, also where the product isn't what one would think."""
    rng = np.random.default_rng(16)
    cases = []
    for _ in range(300):
        factors = tuple(
            float(np.round(f, int(rng.integers(1, 4)))) for f in rng.uniform(0.05, 5, 2)
        )
        if min(factors) > 0:
            shape = (1, 1, *(int(s) for s in rng.integers(1, 30, 2)))
            cases.append(({"scale_factor": factors}, shape))
    assert sum(torch_shape("Upsample", *case) is None for case in cases) > 5
    found = disagreements("Upsample", cases)
    assert not found, "\n".join(found[:10])


PICTURES = (1, 4, 5, 6)
BAD = [
    ("AdaptiveAvgPool2d", {"output_size": -1}, PICTURES),
    ("AdaptiveAvgPool2d", {"output_size": (2, 3, 4)}, PICTURES),
    ("AdaptiveAvgPool2d", {"output_size": 2.5}, PICTURES),
    ("AdaptiveAvgPool2d", {"output_size": 2}, (5, 6)),
    ("AdaptiveAvgPool2d", {"output_size": 2}, (1, 1, 0, 6)),
    ("AdaptiveMaxPool2d", {"output_size": (2, -1)}, PICTURES),
    ("AdaptiveMaxPool2d", {"output_size": 2}, (1, 0, 5, 6)),
    ("Upsample", {}, PICTURES),
    ("Upsample", {"size": 3, "scale_factor": 2}, PICTURES),
    ("Upsample", {"size": 0}, PICTURES),
    ("Upsample", {"size": 2.5}, PICTURES),
    ("Upsample", {"size": (2, 3, 4)}, PICTURES),
    ("Upsample", {"scale_factor": -2}, PICTURES),
    ("Upsample", {"scale_factor": float("nan")}, PICTURES),
    ("Upsample", {"scale_factor": (2,)}, PICTURES),
    ("Upsample", {"scale_factor": 0.1}, PICTURES),
    ("Upsample", {"scale_factor": 2, "align_corners": True}, PICTURES),
    ("Upsample", {"scale_factor": 2, "mode": "cubic"}, PICTURES),
    ("Upsample", {"size": 2, "recompute_scale_factor": True}, PICTURES),
    ("Upsample", {"scale_factor": 2, "mode": "bilinear"}, (1, 1, 0, 6)),
    ("PixelShuffle", {"upscale_factor": 0}, PICTURES),
    ("PixelShuffle", {"upscale_factor": 3}, PICTURES),
    ("PixelUnshuffle", {"downscale_factor": -1}, PICTURES),
    ("PixelUnshuffle", {"downscale_factor": 2}, PICTURES),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shape"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, arguments, shape):
    assert torch_shape(name, arguments, shape) is None, "PyTorch takes this"
    assert numcnn_shape(name, arguments, shape) is None, "PyTorch refuses this, numcnn takes it"


@pytest.mark.parametrize("output_size", [(3, 6), (6, 6), (4, 9), (4, 6, 6), (1, 2, 3, 4, 5)])
def test_both_refuse_an_output_size_that_is_too_far_away(output_size):
    layer, module = numcnn.MaxUnpool2d(2, stride=2), torch.nn.MaxUnpool2d(2, stride=2)
    x, indices = np.ones((1, 1, 2, 3)), np.arange(6).reshape(1, 1, 2, 3)
    if output_size == (3, 6):  # the nearest that both take
        assert layer(x, indices, output_size).shape == (1, 1, 3, 6)
        assert module(torch.from_numpy(x), torch.from_numpy(indices), output_size).shape[2:] == (
            3,
            6,
        )
        return
    with pytest.raises((RuntimeError, ValueError)):
        module(torch.from_numpy(x), torch.from_numpy(indices), output_size)
    with pytest.raises(numcnn.ShapeError):
        layer(x, indices, output_size)
