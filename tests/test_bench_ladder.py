"""``numcnn bench conv2d`` and the bounds it prints."""

import json
import re

import numpy as np
import pytest
from numba.core import config
from scipy import fft
from typer.testing import CliRunner

from numcnn.bench import check, ladder
from numcnn.cli import app
from numcnn.error_bounds import OPERATIONS, conv2d_bound, conv2d_exact, conv2d_terms
from numcnn.kernels.cpu import conv2d_direct

compiled = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="a peak, and registers, exist in compiled code only"
)
TINY = ladder.Case(2, 3, 7, 6, 4, 3)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """Tables keep their words whole."""
    monkeypatch.setenv("COLUMNS", "160")


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_algorithms_are_those_of_the_files():
    assert {"loops", "direct", "winograd"} <= set(ladder.algorithms())


def test_the_reference_gets_a_case_that_plain_python_can_finish():
    small = ladder._small(ladder.Case(64, 32, 26, 26, 64, 3))
    assert small.products() <= ladder.REFERENCE_PRODUCTS
    assert small.kernel == 3
    assert small.products() > ladder.REFERENCE_PRODUCTS / 4
    assert ladder._small(TINY) == TINY
    grouped = ladder._small(ladder.Case(8, 6, 40, 40, 6, 3, groups=6))
    assert (grouped.channels, grouped.filters) == (6, 6)


@compiled
def test_the_ladder(tmp_path):
    path, picture = tmp_path / "a.json", tmp_path / "a.png"
    args = (*TINY[:6], "--padding", 1, "--rounds", 1, "--json", path, "--plot", picture)
    result = call("bench", "conv2d", *args)
    assert result.exit_code == 0, result.output
    assert "2×3×7×6, 4 filters of 3×3, padding 1" in result.stdout
    assert "auto takes it" in result.stdout
    (found,) = json.loads(path.read_text())["results"]
    assert found["peak_lowest_gflops"] <= found["peak_gflops"] <= found["peak_highest_gflops"]
    assert set(found["passes"]) == set(OPERATIONS)
    assert found["passes"]["forward"]["terms"] == 27
    assert found["passes"]["forward"]["flop"] == 2 * 2 * 4 * 7 * 6 * 27
    assert found["passes"]["forward"]["bytes"] == 4 * (2 * 3 * 42 + 4 * 27 + 4 + 2 * 4 * 42)
    pairs = {(row["algorithm"], row["operation"]) for row in found["rows"]}
    assert pairs == {(a, o) for a in ("reference", *ladder.algorithms()) for o in OPERATIONS}
    for row in found["rows"]:
        if "ms" not in row:
            assert row["note"]
            continue
        assert row["ms"] > 0 and row["gflops"] > 0 and row["share_of_peak"] > 0
        assert row["error"] <= row["bound"] and 0 <= row["bound_used"] <= 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_wrong_algorithm_is_not_timed(monkeypatch):
    right = conv2d_direct.conv2d_backward_weight

    def wrong(*args):
        right(*args)
        args[-1].flat[-1] += 1e-3

    monkeypatch.setattr(conv2d_direct, "conv2d_backward_weight", wrong)
    with pytest.raises(check.WrongResultError, match=r"direct, backward_weight: 1\.0e-03 from"):
        ladder.climb(TINY)
    result = call("bench", "conv2d", *TINY[:6])
    assert result.exit_code == 1
    assert "where rounding explains" in result.stderr


def test_an_algorithm_that_forgets_a_number_is_not_timed(monkeypatch):
    monkeypatch.setattr(conv2d_direct, "conv2d_forward", lambda *args: None)  # NaN stays
    with pytest.raises(check.WrongResultError, match="direct, forward: nan"):
        ladder.climb(TINY)


def test_misuse_is_explained():
    assert "has six sizes, N C H W K k; got 5 numbers" in call("bench", "conv2d", *range(5)).stderr
    assert "window of 3 pixels" in call("bench", "conv2d", 1, 1, 2, 2, 1, 3).stderr
    assert "planes or last" in call("bench", "conv2d", "--order", "first").stderr


# ---- bounds ---------------------------------------------------------------------------------


def test_terms():
    assert conv2d_terms("forward", (6, 2, 3, 5), (7, 6, 8, 9), 2) == 2 * 15
    assert conv2d_terms("backward_input", (6, 2, 3, 5), (7, 6, 8, 9), 2) == 3 * 15
    assert conv2d_terms("backward_weight", (6, 2, 3, 5), (7, 6, 8, 9), 2) == 7 * 72


def with_fft(operation, arrays, shape):
    """Compute a convolution without stride or padding by one FFT of the whole plane, in float32."""
    first, second = arrays[:2]
    size = first.shape[2] + second.shape[2], first.shape[3] + second.shape[3]
    a, b = (fft.rfft2(array, size) for array in (first, second))
    assert a.dtype == np.complex64
    if operation == "forward":
        y = fft.irfft2(np.einsum("ncij,kcij->nkij", a, b.conj()), size)
        return y[:, :, : shape[2], : shape[3]] + arrays[2][:, None, None]
    if operation == "backward_input":
        return fft.irfft2(np.einsum("nkij,kcij->ncij", a, b), size)[:, :, : shape[2], : shape[3]]
    turned = fft.irfft2(np.einsum("nkij,ncij->kcij", a.conj(), b), size)
    return turned[:, :, : shape[2], : shape[3]]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("size", [(9, 12), (40, 33)])
def test_the_bound_of_the_fft(operation, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, *size), dtype=np.float32)
    weight = rng.standard_normal((5, 4, 3, 5), dtype=np.float32)
    bias = rng.standard_normal(5, dtype=np.float32)
    out = (3, 5, size[0] - 2, size[1] - 4)
    dy = rng.standard_normal(out, dtype=np.float32)
    arrays = {"forward": (x, weight, bias), "backward_input": (dy, weight)}
    arrays["backward_weight"] = (dy, x)
    shape = {"forward": out, "backward_input": x.shape, "backward_weight": weight.shape}[operation]
    geometry = (1, 1, 0, 0, 1, 1, 1)
    exact = conv2d_exact(operation, arrays[operation], geometry, shape)
    bound = conv2d_bound("fft", operation, arrays[operation], geometry, shape)
    found = with_fft(operation, arrays[operation], shape)
    assert (np.abs(found - exact) <= bound).all()
    assert bound.max() < 0.02 * np.abs(exact).max()  # it would notice a wrong number


def test_grouped_bounds_have_the_output_s_shape():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 6, 5, 4), dtype=np.float32)
    weight = rng.standard_normal((4, 3, 3, 3), dtype=np.float32)
    dy = rng.standard_normal((2, 4, 5, 4), dtype=np.float32)
    geometry = (1, 1, 1, 1, 1, 1, 2)
    for operation, arrays, shape in (
        ("forward", (x, weight, np.zeros(4, np.float32)), dy.shape),
        ("backward_input", (dy, weight), x.shape),
        ("backward_weight", (dy, x), weight.shape),
    ):
        for algorithm in ("direct", "fft"):
            bound = conv2d_bound(algorithm, operation, arrays, geometry, shape)
            assert bound.shape == shape
            assert (bound > 0).all()


# ---- numcnn doctor --conv -------------------------------------------------------------------


def test_doctor_explains_the_choice():
    result = call("doctor", "--conv", 64, 32, 26, 26, 64, 3)
    assert result.exit_code == 0, result.output
    (name,) = re.findall(r"^forward and both gradients: conv2d_(\w+)\.py", result.stdout, re.M)
    assert name in ladder.algorithms()
    strided = call("doctor", "--conv", 64, 32, 26, 26, 64, 3, 2, 1).stdout
    assert "gives (64, 64, 13, 13)" in strided
    assert strided != result.stdout


def test_doctor_refuses_what_is_no_convolution():
    assert "belong to --conv" in call("doctor", 2).stderr
    assert "stand stride and padding" in call("doctor", "--conv", *[9] * 6, 1, 1, 1).stderr
    assert "window of 9 pixels" in call("doctor", "--conv", 1, 1, 5, 5, 1, 9).stderr
    assert "at least 1 picture" in call("doctor", "--conv", 0, 1, 5, 5, 1, 1).stderr
