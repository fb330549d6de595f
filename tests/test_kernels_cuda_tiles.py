"""Products by tiles against the reference: convolution, linear layers, and tensor cores.

Tiles are so small that tiny shapes have several, whole ones and ones that hang over. Bounds are
those of checks_cuda.py. Tensor cores multiply factors rounded to 11 significant binary digits,
which moves each product by at most 2**-10 of its size (1 + u)² - 1 with u = 2**-11, and add in
float32.
"""

import itertools

import numpy as np
import pytest
from checks_cuda import Out, check, integers, random, run_cuda, run_reference
from test_kernels_cuda import CONVOLUTIONS, out_size

from numcnn.device import get_device
from numcnn.kernels.cuda import (
    _cuda,
    _memory,
    _precision,
    _recording,
    _slices,
    _tape,
    _tiles,
    linear_tiled,
)
from numcnn.kernels.cuda import conv2d_implicit_gemm as gemm

TINY = _tiles.Tile(16, 16, 4, 4, 4)
TENSOR = _tiles.Tile(16, 16, 8, 2, 4)  # a warp; tests with two and more below
F32 = np.float32

# name: (N, Cin, H, W), (Cout, KH, KW), stride, (top, left, bottom, right), dilation, groups
LARGER = {
    "several tiles each way": ((2, 5, 6, 5), (18, 3, 2), (1, 1), (1, 0, 1, 1), (1, 1), 1),
    "whole tiles": ((1, 4, 4, 4), (16, 2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    "one number": ((1, 1, 1, 1), (1, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "groups and phases": ((2, 6, 9, 7), (10, 3, 3), (3, 2), (2, 1, 0, 1), (2, 1), 2),
}
CASES = CONVOLUTIONS | LARGER


@pytest.fixture(autouse=True)
def tiny_tiles(monkeypatch):
    monkeypatch.setattr(
        _tiles, "choose", lambda rows, tensor_cores: TENSOR if tensor_cores else TINY
    )
    monkeypatch.setattr(_slices, "LEAST_PIECES", 2)


@pytest.fixture
def tf32():
    _precision.allow_tf32(True)
    yield
    _precision.allow_tf32(False)


def convolution(case, values=random):
    """Return {operation: (arguments, terms of a sum)}."""
    (n, c, h, w), (co, kh, kw), stride, pads, dilation, groups = CASES[case]
    oh = out_size(h, kh, stride[0], pads[0::2], dilation[0])
    ow = out_size(w, kw, stride[1], pads[1::2], dilation[1])
    x, weight = values(F32, n, c, h, w), values(F32, co, c // groups, kh, kw, seed=1)
    bias, dy = values(F32, co, seed=2), values(F32, n, co, oh, ow, seed=3)
    geometry = (*stride, *pads[:2], *dilation, groups)
    return {
        "conv2d_forward": ((x, weight, bias, *geometry, Out(dy.shape, F32)), weight[0].size + 1),
        "conv2d_backward_input": (
            (dy, weight, *geometry, Out(x.shape, F32)),
            co // groups * kh * kw,
        ),
        "conv2d_backward_weight": ((dy, x, *geometry, Out(weight.shape, F32)), n * oh * ow),
        "conv2d_backward_bias": ((dy, Out(bias.shape, F32)), n * oh * ow),
    }


def linear(n, ci, co, values=random):
    x, weight = values(F32, n, ci), values(F32, co, ci, seed=1)
    bias, dy = values(F32, co, seed=2), values(F32, n, co, seed=3)
    return {
        "linear_forward": ((x, weight, bias, Out(dy.shape, F32)), ci + 1),
        "linear_backward_input": ((dy, weight, Out(x.shape, F32)), co),
        "linear_backward_weight": ((dy, x, Out(weight.shape, F32)), n),
        "linear_backward_bias": ((dy, Out(bias.shape, F32)), n),
    }


@pytest.mark.parametrize("case", CASES)
def test_convolution(case):
    for name, (arguments, terms) in convolution(case).items():
        check(name, *arguments, terms=terms, linear=True, module=gemm)


def test_a_tap_reaches_the_pixels_of_its_phase_alone():
    """With stride 2, tap (0, 0) of 3 by 3 is the gradient's business at even rows and columns."""
    weight, dy = random(F32, 2, 3, 3, 3), random(F32, 1, 2, 3, 4, seed=1)
    weight[:, :, 0, 0] = np.nan
    arguments = (dy, weight, 2, 2, 0, 0, 1, 1, 1, Out((1, 3, 7, 9), F32))
    (dx,) = run_cuda("conv2d_backward_input", arguments, gemm).values()
    lost = np.zeros((7, 9), bool)
    lost[::2, ::2] = True
    np.testing.assert_array_equal(np.isnan(dx), np.broadcast_to(lost, dx.shape))


@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 1), (17, 33, 18), (32, 16, 16), (0, 4, 3)])
def test_linear(sizes):
    for name, (arguments, terms) in linear(*sizes).items():
        check(name, *arguments, terms=terms, linear=True, module=linear_tiled)


@pytest.mark.parametrize("case", ["everything", "several tiles each way", "groups and phases"])
def test_whole_numbers_are_exact_in_every_arithmetic(case, tf32):
    """Small whole numbers need no rounding, neither to TF32 nor in sums of any order."""
    for name, (arguments, _) in convolution(case, integers).items():
        check(name, *arguments, exact=True, module=gemm)
    for name, (arguments, _) in linear(17, 33, 18, integers).items():
        check(name, *arguments, exact=True, module=linear_tiled)


@pytest.mark.parametrize(
    ("tile", "sizes"),
    [
        (_tiles.Tile(32, 32, 8, 4, 4), (33, 9, 18)),  # two warps side by side, two pieces down
        (_tiles.Tile(128, 16, 8, 8, 2), (70, 8, 9)),  # two by two warps
    ],
    ids=str,
)
def test_several_warps(tile, sizes, tf32, monkeypatch):
    monkeypatch.setattr(_tiles, "choose", lambda rows, tensor_cores: tile)
    arguments, _ = linear(*sizes, integers)["linear_forward"]
    check("linear_forward", *arguments, exact=True, module=linear_tiled)


def test_tensor_cores_round_as_far_as_they_may(tf32):
    for module, calls in ((gemm, convolution("padded")), (linear_tiled, linear(17, 33, 18))):
        for name, (arguments, terms) in calls.items():
            if "bias" in name:
                continue
            (want,) = run_reference(name, arguments).values()
            (got,) = run_cuda(name, arguments, module).values()
            sizes = run_reference(name, arguments, lambda a: np.abs(a) if a.dtype == F32 else a)
            (size,) = sizes.values()
            bound = (2.0**-10 + (terms + 8) * np.finfo(F32).eps) * size
            assert (np.abs(got.astype(np.float64) - want) <= bound).all()
            assert np.abs(got - want).max() > 2.0**-15 * size.max()  # they did round


def test_tensor_cores_are_off_unless_allowed():
    device = get_device("cuda")
    assert not device.allow_tf32
    assert not _precision.tensor_cores()
    device.allow_tf32 = True
    try:
        assert _precision.tensor_cores()
    finally:
        device.allow_tf32 = False
    assert not _precision.tensor_cores()


def test_sums_in_slices_give_the_same_bits_every_time(monkeypatch):
    made = []
    monkeypatch.setattr(gemm, "scratch", lambda *a: made.append(a) or _cuda.scratch(*a))
    arguments, _ = convolution("several tiles each way")["conv2d_backward_weight"]
    found = [run_cuda("conv2d_backward_weight", arguments, gemm) for _ in range(2)]
    assert made, "the case must need slices"
    for one, two in zip(*(f.values() for f in found), strict=True):
        assert one.tobytes() == two.tobytes()


def test_a_step_that_is_repeated_finds_slices_as_it_left_them(monkeypatch):
    """A later layer asks for more memory; the next step's launches must look the same still."""
    monkeypatch.setattr(_cuda, "_scratch", {})

    def step():
        for size in (2, 8, 3):
            parts = _cuda.scratch("slices of a sum", 2 * size, F32)
            _slices.add_slices(parts, 2, parts[:0], _memory.empty(size, F32))

    with _recording.listening() as launched:
        step()
    tape = _tape.Tape()
    with _recording.writing(tape):
        step()
    tape.check(launched)
    assert len(_cuda._scratch) == 1


def test_slices_cover_every_term_once():
    for tiles, depth, piece in itertools.product((1, 7, 600), (0, 1, 8, 500, 12345), (4, 8)):
        slices, length = _slices.slices_for(tiles, depth, piece)
        assert slices * length >= depth
        assert depth == 0 or (slices - 1) * length < depth
        assert length % piece == 0


@pytest.mark.parametrize("rows", [1, 32, 33, 64, 65, 500])
@pytest.mark.parametrize("tensor_cores", [False, True])
def test_threads_own_every_number_of_a_tile_once(rows, tensor_cores, monkeypatch):
    monkeypatch.undo()
    tile = _tiles.choose(rows, tensor_cores)
    arithmetic = (_tiles.tensor if tensor_cores else _tiles.plain)(tile)
    row_of, column_of = (getattr(f, "fn", f) for f in (arithmetic.row_of, arithmetic.column_of))
    seen = np.zeros((tile.rows, tile.columns), int)
    for thread in range(tile.threads):
        for i, j in itertools.product(range(arithmetic.own_rows), range(arithmetic.own_columns)):
            seen[row_of(thread, i), column_of(thread, j)] += 1
    assert (seen == 1).all()
    line = max(tile.rows, tile.columns) + arithmetic.padding
    assert 2 * tile.depth * 2 * line * 4 <= 48 * 1024, "what a block gets without asking"
