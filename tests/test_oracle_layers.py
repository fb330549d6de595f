"""Every layer against PyTorch's on the same numbers: output, gradients, and what is refused.

Geometry comes from seeded generators that like uneven numbers; ``test_the_cases_hold_the_traps``
keeps them from becoming harmless. Bounds: checks_oracle.py.
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
    signature,
    torch,
    torch_shape,
    written,
)

import numcnn

# PyTorch tells of a copy that it makes, and of a guess that it won't make in future
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning"),
    pytest.mark.filterwarnings("ignore:dropout2d. Received a 3D input:UserWarning"),
]


# ------------------------------------------------------------------------- running and comparing


# -------------------------------------------------------------------------------------- geometry


def draw_conv(number, most=3, extra=8, pictures=3):
    """Draw a convolution with up to `most` channels and filters per group."""
    rng = np.random.default_rng([1, number])
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels = groups * int(rng.integers(1, most + 1))
    if rng.random() < 0.15:
        groups = channels  # depthwise
    filters = groups * int(rng.integers(1, most + 1))
    kernel, stride, dilation = pair(rng, 1, 5), pair(rng, 1, 4), pair(rng, 1, 3)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    kind = rng.choice(["numbers", "numbers", "numbers", "same", "valid"])
    padding = pair(rng, 0, 4)
    pads = [(p, p) for p in padding]
    if kind == "same":
        stride = 1, 1
        pads = [(r - 1, 0) for r in reach]
    elif kind == "valid":
        pads = [(0, 0)] * 2
    arguments = {
        "in_channels": channels,
        "out_channels": filters,
        "kernel_size": written(rng, kernel),
        "stride": written(rng, stride),
        "padding": written(rng, padding) if kind == "numbers" else str(kind),
        "dilation": written(rng, dilation),
        "groups": groups,
        "bias": bool(rng.random() < 0.7),
    }
    sides = picture(rng, reach, pads, extra=extra)
    shape = (int(rng.integers(1, pictures + 1)), channels, *sides)
    return Case(number, shape, arguments)


def sees(size, kernel, stride, padding, dilation, outputs):
    """Return whether every window along one axis has a pixel of the picture."""
    return all(
        any(0 <= o * stride - padding + tap * dilation < size for tap in range(kernel))
        for o in range(outputs)
    )


def draw_pool(tag, number, dilated):
    rng = np.random.default_rng([tag, number])
    kernel, stride = pair(rng, 1, 5), pair(rng, 1, 4)
    dilation = pair(rng, 1, 3) if dilated else (1, 1)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    arguments = {
        "kernel_size": written(rng, kernel),
        "stride": None if rng.random() < 0.15 else written(rng, stride),
        "padding": written(rng, padding),
        "ceil_mode": bool(rng.random() < 0.5),
    }
    if arguments["stride"] is None:
        stride = kernel
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if dilated:
        arguments["dilation"] = written(rng, dilation)
    else:
        arguments["count_include_pad"] = bool(rng.random() < 0.5)
        arguments["divisor_override"] = int(rng.integers(1, 8)) if rng.random() < 0.25 else None
    slack = min(stride) - 1 if arguments["ceil_mode"] else 0
    sides = picture(rng, reach, [(p, p) for p in padding], slack)
    return Case(number, (int(rng.integers(1, 4)), int(rng.integers(1, 4)), *sides), arguments)


def every_window_sees(case):
    """Return whether no window of a max-pool case lies beside the picture altogether."""
    layer = numcnn.MaxPool2d(**case.arguments)
    out = layer.output_shape(case.shape)[2:]
    axes = zip(
        case.shape[2:],
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        out,
        strict=True,
    )
    return all(sees(*axis) for axis in axes)


CONVS = [
    *(draw_conv(number) for number in range(130)),
    # wide enough for whole blocks of channels and pixels, and for slices of the batch
    *(draw_conv(number, most=26, extra=30, pictures=19) for number in range(200, 220)),
    Case(300, (5, 128, 5, 6), {"in_channels": 128, "out_channels": 130, "kernel_size": 3}),
    Case(301, (2, 400, 3, 4), {"in_channels": 400, "out_channels": 330, "kernel_size": (3, 3)}),
]
# a dilated window beside the picture: PyTorch's backward then writes outside its array, so these
# have a test of their own
MAX_POOLS = [c for c in (draw_pool(2, i, True) for i in range(120)) if every_window_sees(c)]
AVG_POOLS = [draw_pool(3, number, False) for number in range(100)]


def test_the_cases_hold_the_traps():
    """Each known trap of the field is in the drawn cases several times."""
    convs = {
        trap: 0
        for trap in (
            "remainder",
            "same and even",
            "same and dilated",
            "depthwise",
            "groups",
            "dilated and strided",
            "N=1",
            "unseen",
            "no bias",
            "window over padding alone",
        )
    }
    for case in CONVS:
        layer = numcnn.Conv2d(**case.arguments)
        kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
        room = [
            size + sum(pads) - d * (k - 1) - 1
            for size, pads, k, d in zip(case.shape[2:], layer.pads, kernel, dilation, strict=True)
        ]
        same = layer.padding == "same"
        convs["remainder"] += any(r % s for r, s in zip(room, stride, strict=True))
        convs["same and even"] += same and any(k % 2 == 0 for k in kernel)
        convs["same and dilated"] += same and max(dilation) > 1
        convs["depthwise"] += layer.groups == layer.in_channels > 1
        convs["groups"] += 1 < layer.groups < layer.in_channels
        convs["dilated and strided"] += max(dilation) > 1 and max(stride) > 1
        convs["N=1"] += case.shape[0] == 1
        convs["unseen"] += any(layer.unused(case.shape))
        convs["no bias"] += layer.bias is None
        convs["window over padding alone"] += any(
            pads[0] >= d * (k - 1) + 1
            for pads, d, k in zip(layer.pads, dilation, kernel, strict=True)
        )
    assert all(count >= 5 for count in convs.values()), convs
    for cases, kind in ((MAX_POOLS, numcnn.MaxPool2d), (AVG_POOLS, numcnn.AvgPool2d)):
        assert len(cases) >= 90
        hanging = overlapping = 0
        for case in cases:
            layer = kind(**case.arguments)
            floor = kind(**case.arguments | {"ceil_mode": False})
            try:
                hanging += layer.output_shape(case.shape) != floor.output_shape(case.shape)
            except numcnn.ShapeError:
                hanging += 1  # only the hanging window fits
            overlapping += any(
                k > s for k, s in zip(layer.kernel_size, layer.stride, strict=True)
            ) and any(layer.padding)
        assert hanging >= 10
        assert overlapping >= 10


# ------------------------------------------------------------------- convolution, pooling, linear


def twins(name, arguments, dtype, number=0):
    """Return numcnn's and PyTorch's layer, with the same weights if they have any."""
    torch.manual_seed(number)
    own = {"dtype": dtype} if name in ("Conv2d", "Linear") else {}
    layer = getattr(numcnn, name)(**arguments, **own)
    module = getattr(torch.nn, name)(**arguments).to(getattr(torch, dtype))
    if own:
        share_weights(layer, module, number)
    return layer, module


@each(CONVS)
@in_both_dtypes
def test_conv2d(case, dtype):
    rng = np.random.default_rng([10, case.number])
    layer, module = twins("Conv2d", case.arguments, dtype, case.number)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    taps = int(np.prod(layer.weight.shape[1:]))
    pixels = dy.size // dy.shape[1]
    terms = {
        "y": taps + 1,
        "dx": taps // layer.weight.shape[1] * layer.out_channels // layer.groups,
        "dweight": pixels,
        "dbias": pixels,
    }
    assert layer.output_shape(case.shape) == dy.shape
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, magnitudes(module, x, dy))


@each(MAX_POOLS)
@in_both_dtypes
def test_max_pool2d(case, dtype):
    rng = np.random.default_rng([11, case.number])
    layer, module = twins("MaxPool2d", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 3 > 0)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    want = run_torch(module, x, dy)
    # the same winners, but |dy|: what reaches each pixel at most
    sizes = {"y": 0, "dx": run_torch(module, x, np.abs(dy))["dx"]}
    near(run_numcnn(layer, x, dy), want, {"y": 0, "dx": np.prod(layer.kernel_size)}, sizes)


@each(AVG_POOLS)
@in_both_dtypes
def test_avg_pool2d(case, dtype):
    rng = np.random.default_rng([12, case.number])
    layer, module = twins("AvgPool2d", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 4 == 0)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    window = int(np.prod(layer.kernel_size))
    near(
        run_numcnn(layer, x, dy),
        run_torch(module, x, dy),
        {"y": window, "dx": window},
        magnitudes(module, x, dy),
    )


def draw_linear(number):
    rng = np.random.default_rng([4, number])
    wide = rng.random() < 0.2
    features = [int(rng.integers(1, 700 if wide else 9)) for _ in "io"]
    rows = [int(rng.integers(1, 6)) for _ in range(int(rng.choice([0, 1, 1, 1, 2, 3])))]
    arguments = {
        "in_features": features[0],
        "out_features": features[1],
        "bias": bool(rng.random() < 0.7),
    }
    return Case(number, (*rows, features[0]), arguments)


@each([draw_linear(number) for number in range(50)])
@in_both_dtypes
def test_linear(case, dtype):
    rng = np.random.default_rng([13, case.number])
    layer, module = twins("Linear", case.arguments, dtype, case.number)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    rows = int(np.prod(case.shape[:-1]))
    terms = {
        "y": layer.in_features + 1,
        "dx": layer.out_features,
        "dweight": rows,
        "dbias": rows,
    }
    assert layer.output_shape(case.shape) == dy.shape
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), terms, magnitudes(module, x, dy))


@both_dtypes
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("Conv2d", {"in_channels": 2, "out_channels": 3, "kernel_size": (2, 3)}, (0, 2, 5, 6)),
        ("MaxPool2d", {"kernel_size": (2, 3), "stride": 1}, (0, 2, 5, 6)),
        ("AvgPool2d", {"kernel_size": (2, 3), "stride": 1}, (0, 2, 5, 6)),
        ("Linear", {"in_features": 3, "out_features": 2}, (0, 3)),
        ("Flatten", {}, (0, 2, 3)),
        ("Tanh", {}, (0, 2)),
    ],
)
def test_no_examples_at_all(name, arguments, shape, dtype):
    """A batch of none: empty outputs, gradients of zero."""
    layer, module = twins(name, arguments, dtype)
    x = np.empty(shape, dtype)
    dy = np.empty(output_of(module, x), dtype)
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


@both_dtypes
def test_gradients_of_two_passes_add_up(dtype):
    arguments = {"in_channels": 2, "out_channels": 4, "kernel_size": (3, 2), "stride": (1, 2)}
    layer, module = twins("Conv2d", arguments, dtype)
    rng = np.random.default_rng(14)
    sizes = dict.fromkeys(("weight", "bias"), 0)
    for _ in range(3):
        x = rng.standard_normal((2, 2, 6, 7)).astype(dtype)
        dy = rng.standard_normal(output_of(module, x)).astype(dtype)
        layer(x)
        layer.backward(dy)
        module(torch.from_numpy(x)).backward(torch.from_numpy(dy))
        positive = magnitudes(module, x, dy)
        sizes = {name: sizes[name] + positive[f"d{name}"] for name in sizes}
    got = {name: parameter.grad for name, parameter in layer.named_parameters()}
    want = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    near(got, want, dict.fromkeys(want, 3 * 2 * 4 * 3), sizes)


# ----------------------------------------------------------------- activations, shapes, dropout


def draw_numbers(number):
    rng = np.random.default_rng([5, number])
    shape = tuple(int(size) for size in rng.integers(1, 7, int(rng.integers(1, 6))))
    return Case(number, shape, {"scale": float(rng.choice([0.1, 1, 10, 100]))})


ARRAYS = [draw_numbers(number) for number in range(30)]


@each(ARRAYS)
@pytest.mark.parametrize("name", ["ReLU", "Sigmoid", "Tanh"])
@in_both_dtypes
def test_elementwise(name, case, dtype):
    rng = np.random.default_rng([15, case.number])
    layer, module = twins(name, {}, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 5 == 0) * case.arguments["scale"]
    x = x.astype(dtype)
    dy = numbers(rng, case.shape, dtype)
    want = run_torch(module, x, dy)
    tiny = np.finfo(dtype).tiny / np.finfo(dtype).eps  # PyTorch's sigmoid underflows to 0 sooner
    sizes = {
        "ReLU": {"y": 0, "dx": 0},
        "Sigmoid": {"y": want["y"] + tiny, "dx": np.abs(dy) * want["y"] + tiny},
        "Tanh": {"y": np.abs(want["y"]), "dx": np.abs(dy)},
    }
    near(run_numcnn(layer, x, dy), want, {"y": 0, "dx": 0}, sizes[name])


OF_INPUT = [
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.3}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.4}),
    ("SELU", {}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Softplus", {}),
    ("Softplus", {"beta": 3.0, "threshold": 5.0}),
    ("Softsign", {}),
]
of_input = pytest.mark.parametrize(("name", "arguments"), OF_INPUT, ids=str)


@each(ARRAYS)
@of_input
@in_both_dtypes
def test_activations_of_their_input(name, arguments, case, dtype):
    """Every value is a sum or a product of numbers no larger than |x| + 1, and slopes below 2."""
    rng = np.random.default_rng([25, case.number])
    layer, module = twins(name, arguments, dtype)
    x = numbers(rng, case.shape, dtype, few=case.number % 5 == 0) * case.arguments["scale"]
    x = x.astype(dtype)
    dy = numbers(rng, case.shape, dtype)
    want = run_torch(module, x, dy)
    sizes = {"y": np.abs(x) + 1, "dx": np.abs(dy) * (np.abs(x) + 2)}
    near(run_numcnn(layer, x, dy), want, {"y": 2, "dx": 2}, sizes)


@both_dtypes
@of_input
def test_activations_of_awkward_numbers(name, arguments, dtype):
    """Where the true value is 0 times infinity, either says NaN or the limit: not compared."""
    layer, module = twins(name, arguments, dtype)
    x = np.array([np.nan, 0.0, -0.0, 1e-40, -1e-40, 88.8, -88.8, 104.0, -104.0, 800, -800], dtype)
    dy = np.full(x.shape, 3, dtype)
    want = run_torch(module, x, dy)
    got = run_numcnn(layer, x, dy)
    sizes = {"y": np.abs(x) + 1, "dx": 3 * (np.abs(x) + 2)}
    near(got, want, {"y": 2, "dx": 2}, sizes)


@each(ARRAYS)
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@in_both_dtypes
def test_along_an_axis(name, case, dtype):
    rng = np.random.default_rng([16, case.number])
    dim = int(rng.integers(-len(case.shape), len(case.shape)))
    layer, module = twins(name, {"dim": dim}, dtype)
    x = (numbers(rng, case.shape, dtype) * case.arguments["scale"]).astype(dtype)
    dy = numbers(rng, case.shape, dtype)
    want = run_torch(module, x, dy)
    classes = case.shape[dim]
    below = x.max(axis=dim, keepdims=True) - x  # its rounding is a relative error of exp
    if name == "Softmax":
        inner = (np.abs(dy) * want["y"]).sum(axis=dim, keepdims=True)
        terms = {"y": classes + below, "dx": 2 * classes + below + below.max()}
        sizes = {"y": want["y"], "dx": want["y"] * (np.abs(dy) + inner)}
    else:
        share = np.exp(want["y"]) * np.abs(dy).sum(axis=dim, keepdims=True)
        # PyTorch takes the logarithm of the sum off before the largest: that rounds at |x|
        terms = {"y": classes, "dx": (classes + 8) * (1 + below + np.abs(x))}
        sizes = {"y": 1 + below + np.abs(x), "dx": np.abs(dy) + share}
    tiny = np.finfo(dtype).tiny / np.finfo(dtype).eps
    sizes = {key: value + tiny for key, value in sizes.items()}
    near(run_numcnn(layer, x, dy), want, terms, sizes)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3), (2, 4, 2, 3)], ids=str)
def test_no_axis_named(name, shape):
    """Without `dim`, numbers are PyTorch's or there is an error; never another axis in silence."""
    layer, module = twins(name, {}, "float64")
    x = np.random.default_rng(17).standard_normal(shape)
    want = module(torch.from_numpy(x)).numpy()
    try:
        got = layer(x)
    except numcnn.ShapeError:
        assert len(shape) not in (2, 4)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


def flatten_cases():
    for number, case in enumerate(ARRAYS):
        rng = np.random.default_rng([6, number])
        start, end = sorted(int(axis) for axis in rng.integers(0, len(case.shape), 2))
        if rng.random() < 0.5:
            end -= len(case.shape)
        if rng.random() < 0.3:
            start -= len(case.shape)
        yield Case(number, case.shape, {"start_dim": start, "end_dim": end})
    yield Case(900, (2, 3, 4, 5), {})
    yield Case(901, (2, 3), {})


@each(list(flatten_cases()))
@in_both_dtypes
def test_flatten(case, dtype):
    rng = np.random.default_rng([18, case.number])
    layer, module = twins("Flatten", case.arguments, dtype)
    x = numbers(rng, case.shape, dtype)
    dy = numbers(rng, output_of(module, x), dtype)
    assert layer.output_shape(case.shape) == dy.shape
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


@both_dtypes
@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
@pytest.mark.parametrize(
    ("p", "training"), [(0.0, False), (0.3, False), (1.0, False), (0.0, True), (1.0, True)]
)
def test_dropout_where_nothing_is_left_to_chance(name, p, training, dtype):
    layer, module = twins(name, {"p": p}, dtype)
    assert layer.training
    assert module.training
    layer.train(training)
    module.train(training)
    rng = np.random.default_rng(19)
    x, dy = (rng.standard_normal((3, 4, 2, 5)).astype(dtype) for _ in "xy")
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
def test_dropout_in_training_keeps_as_much_as_pytorch_and_scales_it_alike(name):
    """What is kept is divided by 1 - p; the share kept is p within six standard deviations."""
    p, n = 0.3, 4000
    layer, module = twins(name, {"p": p}, "float64")
    layer.reseed(20)
    x, dy = (np.random.default_rng(i).standard_normal((n, 2, 1, 1)) for i in (20, 21))
    got, want = run_numcnn(layer, x, dy), run_torch(module, x, dy)
    for result in (got, want):
        kept = result["y"] != 0
        np.testing.assert_allclose(result["y"][kept], x[kept] / (1 - p), rtol=1e-15)
        np.testing.assert_allclose(result["dx"], np.where(kept, dy / (1 - p), 0), rtol=1e-15)
        assert abs(kept.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / kept.size)


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 88.8, -88.8, 104.0, -104.0, 800, -800]


@both_dtypes
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["ReLU", "Sigmoid", "Tanh"])
def test_nan_infinity_and_extremes(name, dtype):
    layer, module = twins(name, {}, dtype)
    x = np.array(SPECIAL, dtype)
    dy = np.full(x.shape, 3, dtype)
    size = np.finfo(dtype).tiny / np.finfo(dtype).eps + 1
    near(
        run_numcnn(layer, x, dy),
        run_torch(module, x, dy),
        {"y": 0, "dx": 0},
        {"y": size * (name != "ReLU"), "dx": size * (name != "ReLU")},
    )


@both_dtypes
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    "row",
    [
        [1, -np.inf, 2],  # a masked class
        [-np.inf, -np.inf, -np.inf],
        [1, np.inf, 2],
        [np.nan, 1, 2],
        [1, 2, np.nan],
        [1e4, -1e4, 0],
        [-3e38, 3e38, 0],
    ],
    ids=str,
)
def test_softmax_of_nan_and_infinity(name, row, dtype):
    layer, module = twins(name, {"dim": 1}, dtype)
    x = np.array([row, [1, 2, 3]], dtype)
    dy = np.array([[1, 2, 3], [-1, 4, 2]], dtype)
    want = run_torch(module, x, dy)
    sizes = {key: 8 * np.maximum(1, np.abs(value)) for key, value in want.items()}
    near(run_numcnn(layer, x, dy), want, {"y": 0, "dx": 0}, sizes)


@both_dtypes
def test_max_pool2d_of_nan_and_infinity(dtype):
    """A NaN wins its window, and a window of -inf gives its gradient to the first of them."""
    layer, module = twins("MaxPool2d", {"kernel_size": (2, 3), "stride": 1, "padding": 1}, dtype)
    x = np.random.default_rng(22).standard_normal((1, 2, 7, 9)).astype(dtype)
    x[0, 0, 1, 2] = x[0, 0, 5, 6] = np.nan
    x[0, 0, 3, 3] = np.inf
    x[0, 1, 2:5, 2:7] = -np.inf
    dy = np.random.default_rng(23).standard_normal(output_of(module, x)).astype(dtype)
    sizes = {"y": 0, "dx": run_torch(module, x, np.abs(dy))["dx"]}
    near(run_numcnn(layer, x, dy), run_torch(module, x, dy), {"y": 0, "dx": 6}, sizes)


@both_dtypes
@pytest.mark.parametrize(
    ("arguments", "side"),
    [
        ({"kernel_size": 2, "dilation": 5, "padding": 1}, (4, 4)),
        ({"kernel_size": (2, 1), "dilation": (5, 1), "padding": (1, 0), "stride": 1}, (4, 3)),
        ({"kernel_size": (1, 2), "dilation": (1, 4), "padding": (0, 1), "stride": 1}, (2, 3)),
    ],
)
def test_dilated_max_pool_window_beside_the_picture(arguments, side, dtype):
    """Taps left and right of the picture and none on it: -inf, as PyTorch has it; no gradient.

    (PyTorch's own backward pass writes outside its array here, so it isn't run.)
    """
    layer, module = twins("MaxPool2d", arguments, dtype)
    x = np.random.default_rng(24).standard_normal((2, 3, *side)).astype(dtype)
    with torch.no_grad():
        want = module(torch.from_numpy(x)).numpy()
    assert np.isneginf(want).any()
    got = layer(x)
    np.testing.assert_array_equal(got, want)
    seen = layer.backward(np.isneginf(want).astype(dtype))
    assert not seen.any(), "a pixel that the window doesn't see got its gradient"


# ---------------------------------------------------------------------------------- whole networks


@both_dtypes
@pytest.mark.parametrize("direction", [0, 1], ids=["to torch", "from torch"])
def test_network_weights_move_by_name_both_ways(direction, dtype):
    """One network of every layer: outputs, and gradients of input and each parameter."""

    def build(library):
        return library.Sequential(
            library.Conv2d(2, 6, (3, 2), padding=1, bias=False),
            library.ReLU(),
            library.MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True),
            library.Conv2d(6, 4, (2, 3), groups=2, stride=(1, 2), dilation=(2, 1), padding=(2, 1)),
            library.Tanh(),
            library.AvgPool2d(2, stride=1, count_include_pad=False, padding=1),
            library.Dropout2d(0.5),
            library.Flatten(),
            library.Linear(4 * 7 * 8, 5),
            library.Sigmoid(),
            library.Dropout(0.5),
            library.Linear(5, 3),
            library.LogSoftmax(dim=1),
        )

    torch.manual_seed(3)
    model, module = build(numcnn).to(dtype).eval(), build(torch.nn).to(getattr(torch, dtype)).eval()
    share_weights(model, module, direction)
    rng = np.random.default_rng(25)
    x = rng.standard_normal((3, 2, 9, 10)).astype(dtype)
    dy = rng.standard_normal((3, 3)).astype(dtype)
    want = run_torch(module, x, dy)
    sizes = {key: np.abs(value).max() for key, value in want.items()}
    near(run_numcnn(model, x, dy), want, dict.fromkeys(want, 200), sizes)


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("name", ["Conv2d", "MaxPool2d", "AvgPool2d"])
def test_output_shapes_and_refusals_at_the_limit(name):
    """Pictures about as large as the window, one pixel more or less: the same shapes and errors."""
    cases = []
    rng = np.random.default_rng([7, len(name)])
    for _ in range(400):
        kernel, stride, padding = pair(rng, 1, 4), pair(rng, 1, 4), pair(rng, 0, 2)
        dilation = (1, 1) if name == "AvgPool2d" else pair(rng, 1, 3)
        arguments = {"kernel_size": kernel, "stride": stride, "padding": padding}
        if name != "AvgPool2d":
            arguments["dilation"] = dilation
        if name == "Conv2d":
            arguments |= {"in_channels": 1, "out_channels": 2}
            if rng.random() < 0.2:
                arguments |= {"padding": "same"}  # with a stride now and then: refused
        else:
            arguments["ceil_mode"] = bool(rng.random() < 0.6)
        sides = [
            max(1, d * (k - 1) + 1 - 2 * p + int(rng.integers(-4, 5)))
            for k, d, p in zip(kernel, dilation, padding, strict=True)
        ]
        cases.append((arguments, (1, 1, *sides)))
    refused = sum(torch_shape(name, *case) is None for case in cases)
    assert 50 < refused < 350
    found = disagreements(name, cases)
    assert not found, "\n".join([f"{len(found)} of {len(cases)} cases differ:", *found[:10]])


CONV = {"in_channels": 2, "out_channels": 4, "kernel_size": 2}
POOL = {"kernel_size": 2}
PICTURES = (1, 2, 5, 6)
BAD = [
    ("Conv2d", CONV | {"stride": 0}, PICTURES),
    ("Conv2d", CONV | {"stride": (1, -1)}, PICTURES),
    ("Conv2d", CONV | {"padding": -1}, PICTURES),
    ("Conv2d", CONV | {"padding": "full"}, PICTURES),
    ("Conv2d", CONV | {"padding": "same", "stride": 2}, PICTURES),
    ("Conv2d", CONV | {"dilation": 0}, PICTURES),
    ("Conv2d", CONV | {"kernel_size": (2, 2, 2)}, PICTURES),
    ("Conv2d", CONV | {"kernel_size": 1.5}, PICTURES),
    ("Conv2d", CONV | {"groups": 0}, PICTURES),
    ("Conv2d", CONV | {"groups": 4}, PICTURES),
    ("Conv2d", CONV | {"out_channels": 3, "groups": 2}, PICTURES),
    ("Conv2d", CONV | {"padding_mode": "mirror"}, PICTURES),
    ("Conv2d", CONV, (1, 3, 5, 6)),
    ("Conv2d", CONV, (1, 1, 5, 6)),
    ("Conv2d", CONV, (5, 6)),
    ("Conv2d", CONV, (1, 1, 2, 5, 6)),
    ("MaxPool2d", POOL | {"stride": 0}, PICTURES),
    ("MaxPool2d", POOL | {"padding": 2}, PICTURES),
    ("MaxPool2d", POOL | {"padding": -1}, PICTURES),
    ("MaxPool2d", POOL | {"padding": 2, "dilation": 3}, PICTURES),
    ("MaxPool2d", POOL | {"dilation": 0}, PICTURES),
    ("MaxPool2d", POOL | {"kernel_size": 0}, PICTURES),
    ("MaxPool2d", POOL, (5, 6)),
    ("AvgPool2d", POOL | {"stride": 0}, PICTURES),
    ("AvgPool2d", POOL | {"padding": 2}, PICTURES),
    ("AvgPool2d", POOL | {"padding": (0, -1)}, PICTURES),
    ("AvgPool2d", POOL | {"divisor_override": 0}, PICTURES),
    ("AvgPool2d", POOL, (1, 1, 2, 5, 6)),
    ("Linear", {"in_features": 3, "out_features": 2}, (4, 2)),
    ("Linear", {"in_features": 3, "out_features": 2}, (3, 4)),
    ("Linear", {"in_features": 3, "out_features": 2}, ()),
    ("Linear", {"in_features": 3, "out_features": -1}, (4, 3)),
    ("Softmax", {"dim": 2}, (3, 4)),
    ("Softmax", {"dim": -3}, (3, 4)),
    ("LogSoftmax", {"dim": 2}, (3, 4)),
    ("Flatten", {}, (3,)),
    ("Flatten", {"start_dim": 2, "end_dim": 1}, (3, 4, 5)),
    ("Flatten", {"start_dim": 3}, (3, 4, 5)),
    ("Flatten", {"start_dim": -4}, (3, 4, 5)),
    ("Dropout", {"p": 1.5}, (3, 4)),
    ("Dropout", {"p": -0.1}, (3, 4)),
    ("Dropout2d", {"p": 2}, PICTURES),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shape"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, arguments, shape):
    assert torch_shape(name, arguments, shape) is None, "PyTorch takes this"
    assert numcnn_shape(name, arguments, shape) is None, "PyTorch refuses this, numcnn takes it"


EMPTY = [
    ("Conv2d", CONV | {"padding": 1}, (1, 2, 0, 5)),
    ("Conv2d", CONV | {"padding": 1}, (1, 2, 5, 0)),
    ("MaxPool2d", POOL | {"padding": 1, "stride": 1}, (1, 2, 0, 5)),
    ("MaxPool2d", POOL | {"padding": 1, "stride": 1}, (1, 2, 5, 0)),
    ("MaxPool2d", POOL, (1, 0, 5, 6)),
    ("AvgPool2d", POOL | {"padding": 1, "stride": 1}, (1, 2, 0, 5)),
    ("AvgPool2d", POOL | {"padding": 1, "stride": 1}, (1, 2, 5, 0)),
    ("AvgPool2d", POOL, (1, 0, 5, 6)),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shape"), EMPTY, ids=[f"{e[0]}-{e[2]}" for e in EMPTY]
)
def test_both_refuse_pictures_without_pixels(name, arguments, shape):
    """Padding alone makes no picture: max-pooling would read outside its array."""
    assert torch_shape(name, arguments, shape) is None, "PyTorch takes this"
    assert numcnn_shape(name, arguments, shape) is None, "PyTorch refuses this, numcnn takes it"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Conv2d", CONV), ("MaxPool2d", POOL), ("AvgPool2d", POOL), ("Dropout2d", {})],
)
def test_a_picture_without_batch_axis_is_the_one_deliberate_difference(name, arguments):
    """PyTorch guesses that three axes are one picture; numcnn says what to write."""
    layer = getattr(numcnn, name)(**arguments)
    assert torch_shape(name, arguments, (2, 5, 6)) is not None
    with pytest.raises(numcnn.ShapeError, match=r"x\[None\]"):
        layer(np.zeros((2, 5, 6), np.float32))


# ------------------------------------------------------------------------------------- arguments

LAYERS = [
    "CircularPad2d",
    "ConstantPad2d",
    "ConvTranspose2d",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ZeroPad2d",
    "ELU",
    "GELU",
    "LeakyReLU",
    "SELU",
    "SiLU",
    "Softplus",
    "Softsign",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Identity",
    "GroupNorm",
    "LayerNorm",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "MaxUnpool2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "AlphaDropout",
    "Dropout1d",
    "Dropout3d",
    "Hardtanh",
    "LogSigmoid",
    "PReLU",
    "ReLU6",
    "Upsample",
]
# what PyTorch doesn't have
OWN = {
    "Concat",
    "LocallyConnected2d",
    "Residual",
    "GaussianDropout",
    "GaussianNoise",
    "Maxout",
    "Step",
}


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_have_pytorchs_names_places_and_defaults(name):
    """An argument by position or by name means what it means in PyTorch.

    numcnn may lack some that come by name, and may have its own behind PyTorch's last.
    ``dtype`` and ``device`` are strings here and None there.
    """
    ours, theirs = signature(getattr(numcnn, name)), signature(getattr(torch.nn, name))
    places = list(theirs)
    for place, (argument, parameter) in enumerate(ours.items()):
        if parameter.kind != parameter.KEYWORD_ONLY and place < len(places):
            assert places[place] == argument, f"place {place} is {places[place]} in PyTorch"
        if argument in theirs and argument not in ("dtype", "device"):
            assert parameter.default == theirs[argument].default, argument


def test_every_layer_is_compared():
    """A new layer must come here too."""
    exported = {
        name
        for name in numcnn.layers.__all__
        if isinstance(getattr(numcnn.layers, name), type)
        and issubclass(getattr(numcnn.layers, name), numcnn.Layer)
    }
    assert exported - {"Layer", "Chain"} - OWN == set(LAYERS)
