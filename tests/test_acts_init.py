"""Initial values: exact ones, statistics within derived bounds, and what is refused.

What is compared with PyTorch is in tests/test_oracle_init.py and tests/test_oracle_acts.py.
"""

import math

import numpy as np
import pytest

import numcnn
from numcnn import Conv2d, Parameter, init


def blank(*shape, dtype="float64", device="reference"):
    device = numcnn.get_device(device)
    return Parameter(shape, lambda rng, shape: np.full(shape, np.nan), device, dtype)


def rng(seed=1):
    return np.random.default_rng(seed)


RANDOM = {
    "uniform_": (),
    "normal_": (),
    "xavier_uniform_": (),
    "xavier_normal_": (),
    "kaiming_uniform_": (),
    "kaiming_normal_": (),
    "trunc_normal_": (),
    "orthogonal_": (),
    "sparse_": (0.3,),
}


@pytest.mark.parametrize(("name", "arguments"), RANDOM.items(), ids=RANDOM)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_values_follow_from_the_generator_alone(name, arguments, dtype):
    fill = getattr(init, name)
    first, same, other = (blank(5, 4, dtype=dtype) for _ in range(3))
    assert fill(first, *arguments, rng=rng()) is first
    fill(same, *arguments, rng=rng())
    fill(other, *arguments, rng=rng(2))
    assert first.data.dtype == dtype
    assert np.isfinite(first.data).all()
    np.testing.assert_array_equal(first.data, same.data)
    assert (first.data != other.data).any()
    ends = []
    for seed in (3, 3, 4):
        numcnn.manual_seed(seed)
        ends.append(fill(blank(5, 4), *arguments).data.tolist())
    assert ends[0] == ends[1] != ends[2]


def test_constants():
    for fill, value in ((init.zeros_, 0), (init.ones_, 1), (lambda p: init.constant_(p, 0.3), 0.3)):
        p = blank(2, 3, dtype="float32")
        assert fill(p) is p
        np.testing.assert_array_equal(p.data, np.full((2, 3), value, np.float32))


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (1, 1)], ids=str)
def test_eye(shape):
    p = init.eye_(blank(*shape))
    np.testing.assert_array_equal(p.data, np.eye(*shape))


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize("kernel", [(3, 5), (1, 3)])
def test_a_dirac_convolution_passes_its_input_on(kernel, channels, groups):
    padding = tuple(k // 2 for k in kernel)
    layer = Conv2d(channels, channels, kernel, padding=padding, groups=groups, bias=False)
    init.dirac_(layer.weight, groups)
    x = rng().standard_normal((2, channels, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), x)


def test_dirac_leaves_further_filters_at_zero():
    data = init.dirac_(blank(6, 2, 3), groups=2).data
    places = [[0, 0, 1], [1, 1, 1], [3, 0, 1], [4, 1, 1]]
    assert np.argwhere(data).tolist() == places
    assert data.sum() == 4
    assert np.argwhere(init.dirac_(blank(2, 3, 2, 3, 4)).data).tolist() == [
        [0, 0, 1, 1, 2],
        [1, 1, 1, 1, 2],
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gain", [1.0, 0.5, 5 / 3])
@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (9, 2), (4, 2, 3, 2), (1, 5), (5, 1)], ids=str)
def test_orthogonal(shape, gain, dtype):
    """Q of a QR decomposition of an m by n matrix is orthogonal to within about m n √n u.

    (Higham, "Accuracy and stability of numerical algorithms", theorem 19.4.) Rounded to the
    weight's type, an inner product of two rows of length 1 is off by 2 u more.
    """
    weight = init.orthogonal_(blank(*shape, dtype=dtype), gain, rng()).data.astype(float)
    weight = weight.reshape(shape[0], -1) / gain
    m, n = max(weight.shape), min(weight.shape)
    product = weight @ weight.T if weight.shape[0] == n else weight.T @ weight
    bound = 2 * m * n * math.sqrt(n) * np.finfo(float).eps + 2 * np.finfo(dtype).eps
    assert np.abs(product - np.eye(n)).max() <= bound


def test_orthogonal_matrices_are_evenly_distributed():
    """Each entry of a 3 by 3 one has mean 0 and variance 1/3; without the signs it has not.

    The mean of 2000 is within six deviations, 6 √(1/3 / 2000). That of squares is, too: a square
    is between 0 and 1 and so deviates by 1/2 at most.
    """
    draw = rng()
    found = np.array([init.orthogonal_(blank(3, 3), rng=draw).data for _ in range(2000)])
    assert np.abs(found.mean(axis=0)).max() < 6 * math.sqrt(1 / 3 / 2000)
    assert np.abs((found**2).mean(axis=0) - 1 / 3).max() < 6 * 0.5 / math.sqrt(2000)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0, 0), (0.1, 1), (0.5, 4), (0.51, 5), (1, 8)])
def test_sparse(sparsity, zeros):
    data = init.sparse_(blank(8, 500), sparsity, 0.2, rng()).data
    assert ((data == 0).sum(axis=0) == zeros).all()
    if zeros < 8:
        values = data[data != 0]  # the square of one deviates by √2 of its mean
        assert abs((values**2).mean() / 0.04 - 1) < 6 * math.sqrt(2 / values.size)
    if 0 < zeros < 8:  # every place is as likely as any other
        share, n = zeros / 8, 500
        assert np.abs((data == 0).mean(axis=1) - share).max() < 6 * math.sqrt(
            share * (1 - share) / n
        )


def density(z):
    return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


TRUNCATED = [
    (0, 1, -2, 2),
    (1, 0.5, 0, 1.2),
    (0, 0.02, -2, 2),
    (0, 1, 1.5, 4),
    (0, 1, -4, -1.5),
    (-3, 2, -1, 5),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mean", "std", "a", "b"), TRUNCATED)
def test_truncated_normal(mean, std, a, b, dtype):
    """Mean and variance are known; of n numbers the mean is off by six deviations at most.

    With α, β the limits in units of std, φ the density and Z the share that is inside: the mean
    is m = (φ(α) - φ(β)) / Z, the variance 1 + (α φ(α) - β φ(β)) / Z - m².
    """
    n = 20_000
    data = init.trunc_normal_(blank(n, dtype=dtype), mean, std, a, b, rng()).data.astype(float)
    assert a <= data.min() < data.max() <= b
    low, high = (a - mean) / std, (b - mean) / std
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    m = (density(low) - density(high)) / inside
    variance = 1 + (low * density(low) - high * density(high)) / inside - m**2
    z = (data - mean) / std
    assert abs(z.mean() - m) < 6 * math.sqrt(variance / n)
    # the deviation of a square is below 3 in units of the variance: these tails are short
    assert abs(z.var() / variance - 1) < 6 * 3 / math.sqrt(n)


@pytest.mark.parametrize("sign", [1, -1])
def test_far_tails_are_still_drawn_from(sign):
    """Beyond 30 deviations the numbers lie 1/30 deeper in the mean, and none is infinite."""
    a, b = sorted((sign * 30.0, sign * math.inf))
    depth = sign * init.trunc_normal_(blank(5000), 0, 1, a, b, rng()).data - 30
    assert (depth >= 0).all()
    assert depth.mean() == pytest.approx(1 / 30, rel=6 / math.sqrt(5000) + 2 / 900)


def test_limits_that_float32_cannot_hold_are_not_passed():
    data = init.trunc_normal_(blank(5000, dtype="float32"), 0, 1, -0.1, 0.1, rng()).data
    assert np.abs(data).max() <= np.float32(0.1)


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "words"),
    [
        ("eye_", (2, 3, 4), (), r"eye_ needs a weight of 2 axes, got shape \(2, 3, 4\)"),
        ("dirac_", (2, 3), (), r"dirac_ needs a weight of 3 or 4 or 5 axes, got shape \(2, 3\)"),
        ("dirac_", (4, 2, 3), (3,), "4 filters can't be divided into 3 groups"),
        ("orthogonal_", (4,), (), r"orthogonal_ needs a weight of two axes or more, got \(4,\)"),
        ("sparse_", (4,), (0.5,), r"sparse_ needs a weight of 2 axes, got shape \(4,\)"),
        ("sparse_", (4, 3), (1.5,), "sparsity is a share, between 0 and 1; got 1.5"),
        ("trunc_normal_", (4,), (0, 1, 2, 2), "a must be below b and std above 0, got a=2, b=2"),
        ("trunc_normal_", (4,), (0, 0), "std above 0, got a=-2.0, b=2.0, std=0"),
    ],
)
def test_what_makes_no_sense_is_refused(name, shape, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(init, name)(blank(*shape), *arguments)
