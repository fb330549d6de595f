"""The convolution by Fourier transforms against the loops, within the rounding of transforms.

A transform is a product with a matrix that, its length apart, keeps the Euclidean norm; so errors
are relative to norms, not to each number. Each pass of the transform rounds sums of 2 to 5 terms
and a product: at most 10 units u = eps/2 for each doubling of the length (5 terms cost the most;
Higham, "Accuracy and stability of numerical algorithms", theorem 24.2, has 6.7 for 2 terms). With
A numbers in a tile a spectrum is thus off by e = 5 eps log2(A), relative to its norm. Of an output
that is a sum of K convolutions x * w,

- the two spectra's errors are 2 e Σ |x|₂ |w|₂ at most, by Cauchy and Schwarz,
- the K complex products and their sum round (K + 2) eps Σ |x|₂ |w|₂,
- the way back rounds e times the norm of the tile, which is Σ |x|₂ |w|₁ at most, by Young.
"""

import numpy as np
import pytest
from checks_kernels import assert_near, run
from numba.core import config
from test_kernels_cpu import CONVOLUTIONS, GEOMETRIES, Geometry, truth

from numcnn import Conv2d
from numcnn.kernels import cpu
from numcnn.kernels.cpu import _fft_plan, conv2d_direct, conv2d_fft, conv2d_loops

EPS = np.finfo(np.float32).eps

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="vector registers exist in compiled code only"
)

LARGER = {
    "several-tiles": Geometry(2, 2, 3, (67, 50), (2, 3), pads=(1, 0, 1, 1)),
    "many-tiles-one-row": Geometry(1, 2, 3, (1, 120), (1, 3), pads=(0, 1, 0, 1)),
    "dilated-over-tiles": Geometry(1, 1, 2, (50, 41), (3, 2), pads=(4, 0, 1, 2), dilation=(4, 3)),
    "as-large-as-the-picture": Geometry(2, 1, 3, (9, 11), (9, 11), pads=(4, 5, 4, 5)),
    "depthwise-large": Geometry(2, 3, 3, (14, 13), (7, 9), pads=(3, 4, 3, 4), groups=3),
}
SERVED = {name: g for name, g in (GEOMETRIES | LARGER).items() if g.stride == (1, 1)}
every_served = pytest.mark.parametrize("geometry", SERVED.values(), ids=SERVED)


def norms(a, power):
    """Return the norms of the pictures of a, (N, C)."""
    return (np.abs(a.astype(np.float64)) ** power).sum(axis=(2, 3)) ** (1 / power)


def grouped(a, groups):
    return a.reshape(a.shape[0], groups, a.shape[1] // groups)


def sizes(geometry, function, power):
    """Return the sum of |one factor|₂ |other factor|_power for each picture of the output."""
    x, weight, _, dy = geometry.arrays()
    groups = geometry.groups
    w = norms(weight, power).reshape(groups, -1, weight.shape[1])
    if function == "conv2d_forward":
        total = np.einsum("ngc,gkc->ngk", grouped(norms(x, 2), groups), w)
    elif function == "conv2d_backward_input":
        total = np.einsum("ngk,gkc->ngc", grouped(norms(dy, 2), groups), w)
    else:  # a tile's norm is no larger than the picture's; see `check` for their number
        left, right = grouped(norms(dy, power), groups), grouped(norms(x, 2), groups)
        return np.einsum("ngk,ngc->gkc", left, right).reshape(*weight.shape[:2], 1, 1)
    return total.reshape(total.shape[0], total.shape[1] * total.shape[2], 1, 1)


def chosen(geometry, function):
    """Return the plan that the function follows."""
    spans = [d * (k - 1) + 1 for k, d in zip(geometry.kernel, geometry.dilation, strict=True)]
    shape = [geometry.channels // geometry.groups, geometry.filters // geometry.groups]
    if function == "conv2d_backward_input":
        return _fft_plan.plan(geometry.batch, *shape[::-1], *geometry.size, *spans)
    return _fft_plan.plan(geometry.batch, *shape, *geometry.out, *spans)


def check(geometry, function):
    arguments, expected, _, _ = truth(geometry, function)
    plan = chosen(geometry, function)
    tiles = plan.tiles[0] * plan.tiles[1]
    bound = 0
    if function == "conv2d_forward":
        terms = geometry.channels // geometry.groups
        bound = np.abs(arguments[2])[:, None, None]
    elif function == "conv2d_backward_input":
        terms = geometry.filters // geometry.groups
    else:
        terms = geometry.batch * tiles
    e = 5 * np.log2(plan.area)
    size = (2 * e + terms + 2) * sizes(geometry, function, 2) + e * sizes(geometry, function, 1)
    bound = bound + size * (tiles if function == "conv2d_backward_weight" else 1)
    (actual,) = run(conv2d_fft, function, arguments, np.float32)
    assert np.isfinite(expected).all()
    assert_near(actual, expected, EPS * np.broadcast_to(bound, expected.shape), function)


@pytest.mark.parametrize("function", CONVOLUTIONS)
@every_served
def test_fft_is_the_convolution_of_the_reference(geometry, function):
    check(geometry, function)


def test_the_grid_has_more_than_one_tile_and_groups():
    plans = [chosen(geometry, "conv2d_forward") for geometry in SERVED.values()]
    assert any(plan.tiles[0] > 1 for plan in plans)
    assert any(plan.tiles[1] > 2 for plan in plans)
    assert any(plan.tiles == (1, 1) for plan in plans)
    assert {geometry.groups for geometry in SERVED.values()} >= {1, 2, 3}


@pytest.mark.parametrize("function", CONVOLUTIONS)
@pytest.mark.parametrize("name", ["several-tiles", "three-groups", "batch-17", "depthwise-large"])
@pytest.mark.parametrize("limit", [1, 1 << 11])
def test_slices_keep_to_the_limit_and_change_no_result(limit, name, function, monkeypatch):
    seen = []
    transform = conv2d_fft._transform

    def watched(tiles, height):
        spectra = transform(tiles, height)
        seen.append(spectra)
        return spectra

    monkeypatch.setattr(_fft_plan, "LIMIT", limit)
    monkeypatch.setattr(conv2d_fft, "_transform", watched)
    check(SERVED[name], function)
    assert len(seen) > 2  # more than one slice
    for spectra in seen:  # at least one tile or filter is taken at a time
        assert spectra.nbytes <= limit or spectra.shape[0] == 1


@pytest.mark.parametrize("function", CONVOLUTIONS)
@pytest.mark.parametrize("name", LARGER)
def test_the_number_of_threads_changes_no_bit(name, function, threads):
    arguments, *_ = truth(LARGER[name], function)
    found = []
    for count in (1, 2, config.NUMBA_NUM_THREADS):
        threads(count)
        found.append(run(conv2d_fft, function, arguments, np.float32)[0].tobytes())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", ["several-tiles", "three-groups"])
def test_pictures_may_lie_channels_last(name):
    geometry = SERVED[name]
    x, weight, bias, dy = geometry.arrays()
    outputs = []
    for order in ("C", "last"):
        arrays = [x, dy, np.empty_like(dy), np.empty_like(x)]
        if order == "last":
            arrays = [
                np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in arrays
            ]
        own_x, own_dy, y, dx = arrays
        dweight = np.empty_like(weight)
        conv2d_fft.conv2d_forward(own_x, weight, bias, *geometry.numbers, y)
        conv2d_fft.conv2d_backward_input(own_dy, weight, *geometry.numbers, dx)
        conv2d_fft.conv2d_backward_weight(own_dy, own_x, *geometry.numbers, dweight)
        outputs.append((y, dx, dweight))
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_nan_stays_in_its_picture():
    geometry = GEOMETRIES["plain"]
    x, weight, bias, dy = geometry.arrays()
    x[1, 2, 3, 1] = np.nan
    y = np.empty_like(dy)
    conv2d_fft.conv2d_forward(x, weight, bias, *geometry.numbers, y)
    assert np.isfinite(y[0]).all()
    expected = np.empty(dy.shape)
    conv2d_loops.conv2d_forward(
        *(a.astype(np.float64) for a in (x, weight, bias)), *geometry.numbers, expected
    )
    assert np.isnan(y[np.isnan(expected)]).all()
    assert np.isnan(expected).any()


@pytest.mark.parametrize("name", ["rows-left-over", "all-different"])
def test_strides_are_passed_on_to_direct(name):
    geometry = GEOMETRIES[name]
    for function, (arguments, _) in geometry.calls().items():
        (ours,) = run(conv2d_fft, function, arguments, np.float32)
        (others,) = run(conv2d_direct, function, arguments, np.float32)
        np.testing.assert_array_equal(ours, others)


def test_float64_is_passed_on_to_the_loops():
    for function, (arguments, _) in GEOMETRIES["plain"].calls().items():
        (ours,) = run(conv2d_fft, function, arguments, np.float64)
        (others,) = run(conv2d_loops, function, arguments, np.float64)
        np.testing.assert_array_equal(ours, others)


def test_a_layer_finds_it_by_its_name():
    layer = Conv2d(3, 4, 7, padding=3, algorithm="fft")
    assert layer._algorithm() is conv2d_fft
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32)
    plain = Conv2d(3, 4, 7, padding=3)
    plain.load_state_dict(layer.state_dict())
    assert plain._algorithm() is cpu
    np.testing.assert_allclose(layer(x), plain(x), rtol=0, atol=1e-4)
