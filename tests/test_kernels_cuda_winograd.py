"""Winograd's convolution on the GPU against the reference in float64, within its derived bound.

The bound is that of `error_bounds`. In the simulator NumPy multiplies, from the same places in
memory and to the same, but for the cases named "by tiles". On a GPU all of them multiply by tiles.
"""

import math

import numpy as np
import pytest
from checks_cuda import Out, random, run_cuda, run_reference
from checks_cuda_products import by_numpy

from numcnn import Conv2d
from numcnn.error_bounds import INPUT, OPERATIONS, POINTS, conv2d_bound
from numcnn.kernels import cuda as kernels
from numcnn.kernels.cpu._winograd import outputs_matrix, weights_matrix
from numcnn.kernels.cuda import (
    _cuda,
    _precision,
    _slices,
    _tiles,
    _winograd,
    conv2d_implicit_gemm,
    conv2d_loops,
)
from numcnn.kernels.cuda import conv2d_winograd as winograd

TINY = _tiles.Tile(16, 16, 4, 4, 4)
F32 = np.float32
EPS = float(np.finfo(F32).eps)

# name: N, Cin, Cout, (H, W), (top, left, bottom, right)
CASES = {
    "one tile": (1, 1, 1, (6, 6), (0, 0, 0, 0)),
    "one number": (1, 1, 1, (3, 3), (0, 0, 0, 0)),
    "nothing but padding at the corners": (1, 1, 2, (1, 1), (2, 2, 1, 1)),
    "padding 1": (2, 3, 2, (9, 10), (1, 1, 1, 1)),
    "padding 2 and none": (1, 2, 3, (7, 10), (2, 0, 2, 0)),
    "four-sided padding": (2, 5, 3, (5, 8), (0, 1, 2, 0)),
    "tiles in the padding": (1, 2, 3, (3, 5), (7, 6, 1, 6)),
    "no pictures": (0, 2, 3, (6, 6), (1, 1, 1, 1)),
}
BY_TILES = {
    "several blocks of tiles": ("forward", (1, 2, 3, (13, 17), (1, 1, 1, 1))),
    "several blocks of rows": ("backward_input", (1, 17, 5, (5, 8), (0, 1, 2, 0))),
}
SLICED = (1, 2, 3, (13, 17), (1, 1, 1, 1))


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
    """Make tiles and slices small, and memory that nobody has written to NaN."""
    monkeypatch.setattr(_tiles, "choose", lambda rows, tensor_cores: TINY)
    monkeypatch.setattr(_slices, "LEAST_PIECES", 2)
    monkeypatch.setattr(winograd, "TOGETHER", 16)
    monkeypatch.setattr(_cuda, "_scratch", {})
    monkeypatch.setattr(
        _cuda, "empty", lambda size, dtype: _cuda.to_device(np.full(size, np.nan, dtype))
    )
    if _cuda.SIMULATED:
        monkeypatch.setattr(_cuda, "THREADS_PER_BLOCK", 16)
        if "by_tiles" not in request.node.name:
            monkeypatch.setattr(winograd, "multiply", by_numpy)


def call(operation, case):
    """Return the arguments of a pass, the output among them, and what its bound asks for."""
    n, c, k, (h, w), pads = case
    x, weight = random(F32, n, c, h, w), random(F32, k, c, 3, 3, seed=1)
    bias = random(F32, k, seed=2)
    dy = random(F32, n, k, h + pads[0] + pads[2] - 2, w + pads[1] + pads[3] - 2, seed=3)
    arrays = {
        "forward": (x, weight, bias, dy),
        "backward_input": (dy, weight, x),
        "backward_weight": (dy, x, weight),
    }[operation]
    geometry, shape = (1, 1, *pads[:2], 1, 1, 1), arrays[-1].shape
    return (*arrays[:-1], *geometry, Out(shape, F32)), (arrays[:-1], geometry, shape)


def compute(operation, case):
    arguments, _ = call(operation, case)
    (got,) = run_cuda(f"conv2d_{operation}", arguments, winograd).values()
    return got


def compare(operation, case):
    arguments, given = call(operation, case)
    (got,) = run_cuda(f"conv2d_{operation}", arguments, winograd).values()
    name = f"conv2d_{operation}"
    (want,) = run_reference(name, arguments, lambda a: a.astype(np.float64)).values()
    off = np.abs(got.astype(np.float64) - want)
    assert (off <= conv2d_bound("winograd", operation, *given)).all(), off.max()
    return got


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_convolution_of_the_reference(case, operation):
    compare(operation, case)


@pytest.mark.parametrize(("operation", "case"), BY_TILES.values(), ids=BY_TILES)
def test_by_tiles(operation, case):
    compare(operation, case)


def test_the_bias_has_its_gradient():
    assert winograd.conv2d_backward_bias is conv2d_implicit_gemm.conv2d_backward_bias


def test_the_matrices_are_those_of_the_bound():
    """Turning the unit vectors gives the columns of a matrix."""

    def columns(turn, count):
        plain = getattr(turn, "fn", getattr(turn, "py_func", turn))
        units = np.eye(count, dtype=F32)
        return np.array([plain(*unit) for unit in units], np.float64).T

    apart = [np.poly([other for other in POINTS if other != point])[::-1] for point in POINTS]
    turned = np.zeros((6, 6))
    turned[:5, :5] = apart
    turned[5] = np.poly(POINTS)[::-1]
    np.testing.assert_array_equal(np.abs(turned), INPUT)
    np.testing.assert_array_equal(columns(_winograd.turn_input, 6), turned)
    np.testing.assert_array_equal(columns(_winograd.turn_output, 6), outputs_matrix(4))
    np.testing.assert_array_equal(columns(_winograd.turn_gradient, 4), outputs_matrix(4).T)
    np.testing.assert_allclose(columns(_winograd.turn_weight, 3), weights_matrix(3), EPS)
    np.testing.assert_allclose(columns(_winograd.turn_sum, 6), weights_matrix(3).T, EPS)


def test_sums_in_slices_by_tiles_give_the_same_bits_every_time(monkeypatch):
    made = []
    add = winograd.add_slices
    monkeypatch.setattr(winograd, "add_slices", lambda *a: made.append(a[1]) or add(*a))
    one, two = compare("backward_weight", SLICED), compute("backward_weight", SLICED)
    assert made == [2, 2], "the case must need slices"
    assert one.tobytes() == two.tobytes()


def test_tiles_are_worked_on_in_shares_that_fit(monkeypatch):
    """Forward and input have the same bits; sums of the weights' gradient have another order."""
    case = (3, 1, 2, (10, 13), (1, 0, 1, 2))
    whole = {operation: compute(operation, case) for operation in OPERATIONS[:2]}
    shares = []
    cut = winograd._shares
    monkeypatch.setattr(winograd, "_shares", lambda *a: shares.append(cut(*a)) or shares[-1])
    monkeypatch.setattr(winograd, "ROOM", 0)
    _cuda._scratch.clear()
    for operation, expected in whole.items():
        assert compute(operation, case).tobytes() == expected.tobytes()
    compare("backward_weight", case)
    assert [len(found) for found in shares] == [3, 3, 3]
    assert _cuda._scratch["turned tiles", np.dtype(F32)].size == 36 * 3 * winograd.TOGETHER


@pytest.mark.parametrize("together", [16, 128])
@pytest.mark.parametrize("channels", [2, 300, 5000])
def test_shares_cover_every_tile_once(channels, together, monkeypatch):
    monkeypatch.setattr(winograd, "TOGETHER", together)
    for batch, size in ((0, 5), (1, 1), (3, 7), (64, 57), (1, 2000)):
        shares = winograd._shares(np.broadcast_to(F32(0), (batch, 1, size, size + 3)), channels)
        total = batch * math.ceil(size / 4) * math.ceil((size + 3) / 4)
        ends = [first + count for first, count in shares]
        assert [first for first, _ in shares] == [0, *ends[:-1]]
        assert ends[-1] == total
        counts = [count for _, count in shares]
        assert counts[0] == max(counts)
        assert min(counts) > 0 or total == 0
        assert counts[0] * channels * 36 * 4 <= winograd.ROOM or counts[0] <= together


@pytest.mark.parametrize(
    ("taps", "geometry", "dtype", "found"),
    [
        ((5, 5), (1, 1, 0, 0, 1, 1, 1), F32, "got filters of 5×5:"),
        ((3, 2), (1, 1, 0, 0, 1, 1, 1), F32, "got filters of 3×2:"),
        ((3, 3), (1, 2, 0, 0, 1, 1, 1), F32, r"got stride \(1, 2\):"),
        ((3, 3), (1, 1, 0, 0, 2, 1, 1), F32, r"got dilation \(2, 1\):"),
        ((3, 3), (2, 2, 0, 0, 1, 1, 2), F32, r"got stride \(2, 2\), groups 2:"),
        ((3, 3), (1, 1, 0, 0, 1, 1, 1), np.float64, "got numbers of float64:"),
    ],
)
def test_other_convolutions_are_refused_before_anything_runs(taps, geometry, dtype, found):
    groups = geometry[-1]
    x, weight = np.ones((1, 4, 9, 9), dtype), np.ones((6, 4 // groups, *taps), dtype)
    bias, y = np.ones(6, dtype), np.ones((1, 6, 4, 4), dtype)
    calls = {
        "conv2d_forward": (x, weight, bias, *geometry, y),
        "conv2d_backward_input": (y, weight, *geometry, x),
        "conv2d_backward_weight": (y, x, *geometry, weight),
    }
    for name, arguments in calls.items():
        given = [_cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in arguments]
        with pytest.raises(ValueError, match=found) as caught:
            getattr(winograd, name)(*given)
        assert 'algorithm="auto"' in str(caught.value)
        assert (_cuda.to_host(given[-1]) == 1).all()


@pytest.mark.parametrize("module", [winograd, conv2d_implicit_gemm])
def test_another_package_for_cuda_is_refused(module, monkeypatch):
    monkeypatch.setattr(_tiles, "IS_NVIDIAS", False)
    arguments, _ = call("backward_weight", CASES["one tile"])
    with pytest.raises(ValueError, match="needs NVIDIA's numba-cuda: pip install 'numcnn"):
        run_cuda("conv2d_backward_weight", arguments, module)
    arguments, _ = call("forward", CASES["one tile"])
    with pytest.raises(ValueError, match='take algorithm="auto"'):
        run_cuda("conv2d_forward", arguments, module)


# ---- layers ------------------------------------------------------------------------------------


def test_a_layer_takes_it_by_name():
    # "auto" goes on with implicit GEMM, or with the loops in the simulator
    layer = Conv2d(3, 5, 3, padding=1, algorithm="winograd", device="cuda")
    slow = Conv2d(3, 5, 3, padding=1, device="reference", dtype="float64")
    slow.load_state_dict(layer.state_dict())
    assert layer._algorithm() is winograd
    x, dy = random(F32, 2, 3, 6, 7), random(F32, 2, 5, 6, 7, seed=1)
    weight, bias = (np.array(layer.state_dict()[name]) for name in ("weight", "bias"))
    on_gpu = layer.device.to_device
    found = layer(on_gpu(x)), layer.backward(on_gpu(dy)), layer.weight.grad
    exact = slow(x.astype(np.float64)), slow.backward(dy.astype(np.float64)), slow.weight.grad
    arrays = (x, weight, bias), (dy, weight), (dy, x)
    for operation, got, want, given in zip(OPERATIONS, found, exact, arrays, strict=True):
        got, want = (np.asarray(_cuda.to_host(a) if a is got else a) for a in (got, want))
        bound = conv2d_bound("winograd", operation, given, (1, 1, 1, 1, 1, 1, 1), want.shape)
        assert (np.abs(got - want) <= bound).all(), operation


def test_every_algorithm_of_the_gpu_has_a_name():
    named = {"loops": conv2d_loops, "implicit_gemm": conv2d_implicit_gemm, "winograd": winograd}
    for name, module in named.items():
        assert Conv2d(1, 1, 3, algorithm=name, device="cuda")._algorithm() is module
    assert Conv2d(1, 1, 3, device="cuda")._algorithm() is kernels
    with pytest.raises(ValueError, match=r"'cuda' computes conv2d by auto, .*not by 'direct'"):
        Conv2d(1, 1, 3, algorithm="direct", device="cuda")


def test_a_layer_that_was_moved_has_the_algorithms_of_the_gpu():
    assert Conv2d(1, 1, 3, algorithm="winograd").to("cuda")._algorithm() is winograd
    assert Conv2d(1, 1, 3, algorithm="direct").to("cuda")._algorithm() is kernels
    double = Conv2d(1, 1, 3, algorithm="winograd", device="cuda", dtype="float64")
    assert double._algorithm() is kernels


def test_tensor_cores_are_never_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(winograd, "multiply", lambda *a: asked.append(a[1]) or by_numpy(*a))
    _precision.allow_tf32(True)
    try:
        for operation in OPERATIONS:
            compare(operation, CASES["four-sided padding"])
    finally:
        _precision.allow_tf32(False)
    assert asked == [False] * 3
