"""PReLU, limits, dropout's variants, penalties, clipping and initial values against PyTorch.

Bounds: checks_oracle.py.
"""

import numpy as np
import pytest
from checks_oracle import (
    Case,
    both_dtypes,
    each,
    exact,
    in_both_dtypes,
    near,
    numbers,
    run_numcnn,
    run_torch,
    share_weights,
    torch,
)
from scipy import stats

import numcnn
from numcnn import L1, L2, SGD, init

# PyTorch tells of a guess that it won't make in future
pytestmark = pytest.mark.filterwarnings("ignore:dropout.d. Received a .D input:UserWarning")


def draw_numbers(number):
    rng = np.random.default_rng([5, number])
    shape = tuple(int(size) for size in rng.integers(1, 7, int(rng.integers(1, 6))))
    return Case(number, shape, {"scale": float(rng.choice([0.1, 1, 10, 100]))})


ARRAYS = [draw_numbers(number) for number in range(60)]

# ---- activations ------------------------------------------------------------------------------


@each(ARRAYS)
@in_both_dtypes
def test_prelu(case, dtype):
    rng = np.random.default_rng([30, case.number])
    channels = case.shape[1] if len(case.shape) > 1 and case.number % 3 else 1
    layer = numcnn.PReLU(channels, 0.4, dtype=dtype)
    module = torch.nn.PReLU(channels, 0.4, dtype=getattr(torch, dtype))
    np.testing.assert_array_equal(layer.weight.data, module.weight.detach().numpy())
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(rng.standard_normal(channels).astype(dtype)))
    share_weights(layer, module, 1)
    x = numbers(rng, case.shape, dtype, few=case.number % 2 == 0) * case.arguments["scale"]
    x, dy = x.astype(dtype), numbers(rng, case.shape, dtype)
    want = run_torch(module, x, dy)
    left = -np.abs(x)  # M: with |x| itself no term would count
    terms = run_torch(module, left.astype(dtype), np.abs(dy))["dweight"]
    sizes = {"y": np.abs(want["y"]), "dx": np.abs(want["dx"]), "dweight": np.abs(terms)}
    count = x.size // channels
    near(run_numcnn(layer, x, dy), want, {"y": 0, "dx": 0, "dweight": count}, sizes)


OTHERS = [
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("ReLU6", {}),
    ("LogSigmoid", {}),
]
others = pytest.mark.parametrize(("name", "arguments"), OTHERS, ids=str)


@each(ARRAYS)
@others
@in_both_dtypes
def test_elementwise(name, arguments, case, dtype):
    rng = np.random.default_rng([31, case.number])
    layer, module = getattr(numcnn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    x = numbers(rng, case.shape, dtype, few=case.number % 2 == 0) * case.arguments["scale"]
    x, dy = x.astype(dtype), numbers(rng, case.shape, dtype)
    got, want = run_numcnn(layer, x, dy), run_torch(module, x, dy)
    if name == "LogSigmoid":
        sizes = {"y": np.abs(x) + 1, "dx": np.abs(dy)}
        near(got, want, {"y": 2, "dx": 2}, sizes)
    else:
        exact(got, want)


@both_dtypes
@others
def test_awkward_numbers(name, arguments, dtype):
    layer, module = getattr(numcnn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    x = [np.nan, 0.0, -0.0, 6, -1, 1, 1e-40, 88.8, -88.8, 104.0, -104.0, 800, -800, np.inf, -np.inf]
    x = np.array(x, dtype)
    if name == "LogSigmoid":
        x = x[:-2]  # at infinity one says NaN and the other the limit
    dy = np.full(x.shape, 3, dtype)
    got, want = run_numcnn(layer, x, dy), run_torch(module, x, dy)
    if name != "LogSigmoid":
        # PyTorch's vectors say 0 for the slope at NaN and its loops, for what is left over, 1
        assert np.isnan(x[0]) and got["dx"][0] == 3
        got["dx"][0] = want["dx"][0]
    finite = np.where(np.isfinite(x), np.abs(x), 0)
    sizes = {"y": (finite + 1) * (name == "LogSigmoid"), "dx": 3 * (name == "LogSigmoid")}
    near(got, want, {"y": 2, "dx": 2}, sizes)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3), (0, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_prelu_refuses_what_pytorch_refuses(count, shape):
    results = []
    for layer, x in (
        (numcnn.PReLU(count), np.zeros(shape, np.float32)),
        (torch.nn.PReLU(count), torch.zeros(shape)),
    ):
        try:
            results.append(tuple(layer(x).shape))
        except (RuntimeError, ValueError):
            results.append(None)
    assert results[0] == results[1]


# ---- dropout's variants -----------------------------------------------------------------------

DROPOUTS = {"Dropout1d": (3, 4, 5), "Dropout3d": (3, 4, 2, 3, 2), "AlphaDropout": (3, 4, 2)}


@both_dtypes
@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize(
    ("p", "training"), [(0.0, False), (0.3, False), (1.0, False), (0.0, True), (1.0, True)]
)
def test_dropout_where_nothing_is_left_to_chance(name, p, training, dtype):
    layer, module = getattr(numcnn, name)(p), getattr(torch.nn, name)(p)
    layer.train(training)
    module.train(training)
    rng = np.random.default_rng(19)
    x, dy = (rng.standard_normal(DROPOUTS[name]).astype(dtype) for _ in "xy")
    exact(run_numcnn(layer, x, dy), run_torch(module, x, dy))


@pytest.mark.parametrize("name", ["Dropout1d", "Dropout3d"])
def test_whole_channels_are_dropped_as_in_pytorch(name):
    p, shape = 0.3, (400, 10, *DROPOUTS[name][2:])
    layer, module = getattr(numcnn, name)(p), getattr(torch.nn, name)(p)
    layer.reseed(20)
    torch.manual_seed(20)
    x, dy = (np.random.default_rng(i).standard_normal(shape) for i in (20, 21))
    for result in (run_numcnn(layer, x, dy), run_torch(module, x, dy)):
        kept = result["y"].reshape(4000, -1) != 0
        assert (kept == kept[:, :1]).all()
        kept = kept.reshape(shape)
        np.testing.assert_allclose(result["y"][kept], x[kept] / (1 - p), rtol=1e-15)
        np.testing.assert_allclose(result["dx"], np.where(kept, dy / (1 - p), 0), rtol=1e-15)
        share = kept.reshape(4000, -1)[:, 0].mean()
        assert abs(share - (1 - p)) < 6 * np.sqrt(p * (1 - p) / 4000)


@each([Case(n, (5, 40), {"p": p}) for n, p in enumerate(np.linspace(0.01, 0.97, 60))])
@in_both_dtypes
def test_alpha_dropout_is_pytorchs_formula(case, dtype):
    """Both draw their own masks; what each makes of kept and of dropped numbers is the same.

    A kept number is a x + b, where a and b follow from p; a dropped one is the same whatever x
    is. The products of which they are made are below |x| + 4 over √(1 - p).
    """
    p = case.arguments["p"]
    layer, module = numcnn.AlphaDropout(p), torch.nn.AlphaDropout(p)
    layer.reseed(case.number)
    torch.manual_seed(case.number)
    x = np.random.default_rng(case.number).standard_normal(case.shape).astype(dtype)
    dy = np.ones(case.shape, dtype)
    values = []
    for result in (run_numcnn(layer, x, dy), run_torch(module, x, dy)):
        dropped = result["dx"] == 0
        a = result["dx"].max()
        assert set(np.unique(result["dx"])) <= {0, a}
        assert dropped.any() or p < 0.1
        b = (result["y"] - a * x)[~dropped]
        values.append((a, b.mean(), result["y"][dropped].mean() if dropped.any() else None))
        eps = np.finfo(dtype).eps * 8 * (np.abs(x).max() + 4) / np.sqrt(1 - p)
        assert np.ptp(b) <= eps
        assert not dropped.any() or np.ptp(result["y"][dropped]) == 0
    for ours, theirs in zip(*values, strict=True):
        if ours is not None and theirs is not None:
            assert abs(ours - theirs) <= eps


# ---- penalties and clipping -------------------------------------------------------------------


def twins(number, dtype, bias=True):
    """Return numcnn's and PyTorch's network of two layers, with the same weights and gradients."""
    rng = np.random.default_rng([40, number])
    sizes = [int(size) for size in rng.integers(1, 9, 3)]
    ours = numcnn.Sequential(
        *(numcnn.Linear(sizes[i], sizes[i + 1], bias=bias) for i in range(2)), dtype=dtype
    )
    theirs = torch.nn.Sequential(
        *(torch.nn.Linear(sizes[i], sizes[i + 1], bias=bias) for i in range(2))
    ).to(getattr(torch, dtype))
    share_weights(ours, theirs, number)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if number % 4 == 0 and len(p.shape) == 1:
            continue  # without a gradient
        p.grad = (rng.standard_normal(p.shape) * 10.0 ** rng.integers(-2, 3)).astype(dtype)
        q.grad = torch.from_numpy(p.grad.copy())
    return ours, theirs


NUMBERS = [Case(number, (), {}) for number in range(60)]


@each(NUMBERS)
@pytest.mark.parametrize("norm_type", [1, 2, 3.0, 0.5, float("inf")])
@in_both_dtypes
def test_clip_grad_norm(norm_type, case, dtype):
    """At most 144 terms; a root multiplies relative errors by 1 / p, PyTorch's by two of them."""
    ours, theirs = twins(case.number, dtype)
    limit = float(10.0 ** np.random.default_rng(case.number).uniform(-2, 4))
    got = numcnn.clip_grad_norm_(ours.parameters(), limit, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit, norm_type)
    eps = (144 + 8) * np.finfo(dtype).eps * max(1, 2 / norm_type)
    assert abs(got - float(want)) <= eps * float(want)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is None:
            assert p.grad is None
        else:
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=2 * eps, atol=0)


@each(NUMBERS)
@in_both_dtypes
def test_clip_grad_value(case, dtype):
    ours, theirs = twins(case.number, dtype)
    limit = float(10.0 ** np.random.default_rng(case.number).uniform(-2, 2))
    ours[0].weight.grad[0, 0] = np.nan
    theirs[0].weight.grad[0, 0] = np.nan
    numcnn.clip_grad_value_(ours.parameters(), limit)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), limit)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is not None:
            np.testing.assert_array_equal(p.grad, q.grad.numpy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("norm_type", [1, 2, float("inf")])
def test_clipping_what_is_not_finite(norm_type, value):
    ours, theirs = twins(1, "float32")
    for gradient in (ours[0].weight.grad, theirs[0].weight.grad):
        gradient[0, 0] = value
    for clip, model in (
        (numcnn.clip_grad_norm_, ours),
        (torch.nn.utils.clip_grad_norm_, theirs),
    ):
        with pytest.raises(RuntimeError, match="norm"):
            clip(model.parameters(), 1.0, norm_type, error_if_nonfinite=True)
    got = numcnn.clip_grad_norm_(ours.parameters(), 1.0, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0, norm_type)
    np.testing.assert_array_equal(got, float(want))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad.numpy())


@each(NUMBERS)
@pytest.mark.parametrize("kind", ["L1", "L2"])
@in_both_dtypes
def test_penalties_are_those_that_autograd_differentiates(kind, case, dtype):
    """At most 128 weights; the value is a sum of products, each gradient two of them."""
    ours, theirs = twins(case.number, dtype)
    biases = case.number % 2 == 1
    strength = 0.03
    penalty = {"L1": L1, "L2": L2}[kind](strength, biases=biases)
    held = [q for q in theirs.parameters() if biases or q.ndim > 1]
    before = [None if q.grad is None else q.grad.numpy().copy() for q in theirs.parameters()]
    want = strength * sum((q.abs() if kind == "L1" else q**2).sum() for q in held)
    got = penalty(ours)
    penalty.backward()
    want.backward()
    eps = np.finfo(dtype).eps
    assert abs(got - float(want.detach())) <= (144 + 8) * eps * float(want.detach())
    for p, q, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
        if q.grad is None:
            assert p.grad is None
            continue
        size = np.abs(old if old is not None else 0) + 2 * strength * (1 + np.abs(p.data))
        assert (np.abs(p.grad - q.grad.numpy()) <= 8 * eps * size).all()


@both_dtypes
def test_l2_is_pytorchs_weight_decay_of_sgd(dtype):
    """20 steps, each of a few roundings of numbers no larger than the weights."""
    ours, theirs = twins(5, dtype, bias=False)
    optimizer = SGD(ours.parameters(), 0.1, momentum=0.5)
    oracle = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.5, weight_decay=2 * 0.03)
    penalty = L2(0.03)
    gradients = [q.grad.clone() for q in theirs.parameters()]
    for _ in range(20):
        for p, q, gradient in zip(ours.parameters(), theirs.parameters(), gradients, strict=True):
            p.grad, q.grad = gradient.numpy().copy(), gradient.clone()
        penalty(ours)
        penalty.backward()
        optimizer.step()
        oracle.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        size = np.abs(q.detach().numpy()).max() + 1
        np.testing.assert_allclose(
            p.data, q.detach().numpy(), rtol=0, atol=20 * 8 * np.finfo(dtype).eps * size
        )


# ---- initial values (what draws normally or evenly: tests/test_oracle_init.py) -----------------

SHAPES = [(5, 3), (3, 5), (1, 1), (6, 4, 3), (6, 4, 3, 2), (4, 6, 2, 3, 5), (32, 1, 3, 3)]


def blank(shape, dtype="float64"):
    device = numcnn.get_device("reference")
    return numcnn.Parameter(shape, lambda rng, shape: np.zeros(shape), device, dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fans(shape):
    want = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert init.fans(shape) == want


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_eye_and_dirac(groups, shape):
    for name, arguments in (("eye_", ()), ("dirac_", (groups,))):
        theirs = torch.full(shape, 7.0, dtype=torch.float64)
        try:
            getattr(torch.nn.init, name)(theirs, *arguments)
        except ValueError:
            with pytest.raises(ValueError):
                getattr(init, name)(blank(shape), *arguments)
            continue
        ours = getattr(init, name)(blank(shape), *arguments)
        np.testing.assert_array_equal(ours.data, theirs.numpy())


@pytest.mark.parametrize(
    "name",
    [
        "linear",
        "sigmoid",
        "selu",
        "tanh",
        *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)),
    ],
)
def test_gains(name):
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("trunc_normal_", (200, 100), ()),
        ("trunc_normal_", (200, 100), (0.5, 0.5, -0.2, 2.0)),
        ("trunc_normal_", (200, 100), (0.0, 1.0, 1.5, 4.0)),
        ("sparse_", (200, 100), (0.3, 0.2)),
        ("orthogonal_", (50, 400), (1.5,)),
        ("orthogonal_", (400, 50), ()),
    ],
    ids=str,
)
def test_the_numbers_drawn_have_pytorchs_distribution(name, shape, arguments):
    """20,000 numbers each: a Kolmogorov-Smirnov test that fails one time in a million."""
    numcnn.manual_seed(1)
    torch.manual_seed(1)
    ours, theirs = blank(shape), torch.empty(shape, dtype=torch.float64)
    getattr(init, name)(ours, *arguments)
    getattr(torch.nn.init, name)(theirs, *arguments)
    assert stats.ks_2samp(ours.data.ravel(), theirs.numpy().ravel()).pvalue > 1e-6


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.34, 0.5, 1.0])
def test_sparse_sets_as_many_to_zero(sparsity):
    ours, theirs = blank((7, 5)), torch.empty(7, 5)
    init.sparse_(ours, sparsity)
    torch.nn.init.sparse_(theirs, sparsity)
    np.testing.assert_array_equal((ours.data == 0).sum(0), (theirs.numpy() == 0).sum(0))
