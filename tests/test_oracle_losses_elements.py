"""Every loss that goes number by number against PyTorch's: values, gradients, refusals.

The bounds are those of checks_oracle.py: M is the sum of the absolute values of what a loss or a
slope is added up from, in float64 (``Sizes``), K the number of the terms; 8 more units cover exp,
logarithms and divisions.
"""

from typing import NamedTuple

import numpy as np
import pytest
from checks_oracle import Case, both_dtypes, each, in_both_dtypes, numbers, torch
from checks_oracle_losses import in_torch, near, reductions, run, spread_out, upstream_for

import numcnn

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:")

RANKS = ((5,), (1, 1), (4, 3), (7, 10), (2, 3, 5), (3, 2, 4, 3), (2, 1, 3, 2, 2))


class Sizes(NamedTuple):
    """M of every loss and of every slope."""

    losses: np.ndarray
    slopes: np.ndarray


def compare(name, options, pred, target, rng, sizes, theirs=None):
    """Compare values and gradients of one case."""
    reduction = options["reduction"]
    upstream = upstream_for(rng, reduction, pred.shape)
    got, want = run(name, options, pred, target, upstream, theirs)
    divisor = {"half_sum": 2, "batch_mean": len(pred), "batchmean": len(pred)}.get(reduction)
    size, flow = spread_out(sizes.losses, reduction, upstream, divisor)
    near(got[0], want[0], 4 if reduction == "none" else 4 + pred.size, size)
    near(got[1], want[1], 4, flow * sizes.slopes)


def cases(name, count=72, **choices):
    """Draw cases: each reduction in turn, and options each given in about two of three."""
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([len(name), number])
        kinds = getattr(numcnn, name).reductions
        if name == "MSELoss":
            kinds = kinds[:3]  # the other two PyTorch doesn't know: below
        options = {"reduction": kinds[number % len(kinds)]}
        for option, choose in choices.items():
            if rng.random() < 0.67:
                options[option] = choose(rng)
        drawn.append(Case(number, RANKS[int(rng.integers(len(RANKS)))], options))
    return drawn


def start(family, case, dtype):
    """Return a generator, and two arrays that meet in places."""
    rng = np.random.default_rng([family, case.number])
    few = case.number % 4 == 1
    pred, target = (numbers(rng, case.shape, dtype, few) for _ in "pt")
    target = np.where(rng.uniform(size=case.shape) < 0.1, pred, target)
    return rng, pred, target, np.abs(pred.astype(np.float64) - target)


def shares(rng, shape, dtype, certain=0.15):
    """Return probabilities; some of them exactly 0 or 1."""
    drawn = rng.uniform(0.001, 0.999, shape)
    ends = rng.uniform(size=shape) < certain
    return np.where(ends, rng.integers(0, 2, shape), drawn).astype(dtype)


def weight_for(rng, shape):
    """Draw weights that broadcast to `shape`: some of its last axes, some of those of size 1."""
    own = shape[int(rng.integers(len(shape) + 1)) :]
    own = tuple(1 if rng.random() < 0.3 else size for size in own)
    return rng.uniform(0.1, 3, own)


def with_weights(family, case, *names):
    """Return a case's options, weights among them: they depend on its shape."""
    rng = np.random.default_rng([family, case.number, 1])
    drawn = {name: weight_for(rng, case.shape) for name in names if rng.random() < 0.67}
    return case.arguments | drawn


def whole(options, name, shape):
    return np.broadcast_to(options.get(name, 1.0), shape)


# ---- distances ------------------------------------------------------------------------------


@each(cases("MSELoss"))
@in_both_dtypes
def test_mse(case, dtype):
    rng, pred, target, d = start(1, case, dtype)
    compare("MSELoss", case.arguments, pred, target, rng, Sizes(d**2, 2 * d))


@both_dtypes
@pytest.mark.parametrize("reduction", ["half_sum", "batch_mean"])
@pytest.mark.parametrize("shape", RANKS, ids=str)
def test_mse_in_the_forms_that_pytorch_lacks(shape, reduction, dtype):
    rng, pred, target, d = start(1, Case(3, shape, {}), dtype)

    def theirs(p, t):
        return ((p - t) ** 2).sum() / (2 if reduction == "half_sum" else shape[0])

    compare("MSELoss", {"reduction": reduction}, pred, target, rng, Sizes(d**2, 2 * d), theirs)


@each(cases("L1Loss"))
@in_both_dtypes
def test_l1(case, dtype):
    rng, pred, target, d = start(2, case, dtype)
    compare("L1Loss", case.arguments, pred, target, rng, Sizes(d, np.sign(d)))


@each(cases("SmoothL1Loss", beta=lambda rng: float(rng.choice([0, 1e-3, 0.5, 2, rng.uniform()]))))
@in_both_dtypes
def test_smooth_l1(case, dtype):
    rng, pred, target, d = start(3, case, dtype)
    beta = case.arguments.get("beta", 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = np.where(d < beta, d**2 / (2 * beta), d + beta / 2)
    compare("SmoothL1Loss", case.arguments, pred, target, rng, Sizes(losses, np.sign(d)))


@each(cases("HuberLoss", delta=lambda rng: float(rng.choice([1e-3, 0.5, 2, rng.uniform(0.1)]))))
@in_both_dtypes
def test_huber(case, dtype):
    rng, pred, target, d = start(4, case, dtype)
    delta = case.arguments.get("delta", 1)
    losses = np.where(d <= delta, d**2 / 2, delta * (d + delta / 2))
    compare("HuberLoss", case.arguments, pred, target, rng, Sizes(losses, np.minimum(d, delta)))


@each(cases("MSLELoss"))
@in_both_dtypes
def test_msle(case, dtype):
    rng, pred, target, _ = start(5, case, dtype)
    lowest = np.asarray(-0.4, dtype)
    pred, target = lowest + np.abs(pred), lowest + np.abs(target)
    logs = sum(np.abs(np.log1p(a.astype(np.float64))) for a in (pred, target))
    reduce = {"mean": torch.mean, "sum": torch.sum, "none": lambda a: a}

    def theirs(p, t):
        return reduce[case.arguments["reduction"]]((torch.log1p(p) - torch.log1p(t)) ** 2)

    sizes = Sizes(logs**2, 2 * logs / (1 + pred.astype(np.float64)))
    compare("MSLELoss", case.arguments, pred, target, rng, sizes, theirs)


# ---- probabilities --------------------------------------------------------------------------


@each(cases("BCELoss"))
@in_both_dtypes
def test_bce(case, dtype):
    rng = np.random.default_rng([6, case.number])
    pred, target = shares(rng, case.shape, dtype), shares(rng, case.shape, dtype)
    options = with_weights(6, case, "weight")
    weight, p, t = whole(options, "weight", case.shape), pred.astype(np.float64), target
    with np.errstate(divide="ignore"):
        yes, no = (np.minimum(100, -log) for log in (np.log(p), np.log1p(-p)))
    slopes = weight * np.abs(p - t) / np.maximum(p * (1 - p), 1e-12)
    sizes = Sizes(weight * (t * yes + (1 - t) * no), slopes)
    compare("BCELoss", options, pred, target, rng, sizes)


@each(cases("BCEWithLogitsLoss"))
@in_both_dtypes
def test_bce_with_logits(case, dtype):
    rng = np.random.default_rng([7, case.number])
    scale = np.asarray(rng.choice([1, 30, 1e4]), dtype)
    pred, target = numbers(rng, case.shape, dtype) * scale, shares(rng, case.shape, dtype)
    options = with_weights(7, case, "weight", "pos_weight")
    weight, pos = (whole(options, name, case.shape) for name in ("weight", "pos_weight"))
    x, t = np.abs(pred.astype(np.float64)), target.astype(np.float64)
    # PyTorch's sum: (1 - t) x plus 1 + (pos - 1) t times a logarithm that is at most |x| + 1
    sizes = Sizes(
        weight * ((1 - t) * x + (1 + (pos + 1) * t) * (x + 1)), weight * (1 + 2 * (pos + 1) * t)
    )
    compare("BCEWithLogitsLoss", options, pred, target, rng, sizes)


@each(cases("KLDivLoss", log_target=lambda rng: bool(rng.integers(2))))
@in_both_dtypes
def test_kl_div(case, dtype):
    rng = np.random.default_rng([8, case.number])
    pred, target = numbers(rng, case.shape, dtype), shares(rng, case.shape, dtype)
    if case.arguments.get("log_target"):
        target = -np.abs(numbers(rng, case.shape, dtype))
        t, log = np.exp(target.astype(np.float64)), np.abs(target)
    else:
        t = target.astype(np.float64)
        log = np.abs(np.log(np.where(t, t, 1)))
    compare("KLDivLoss", case.arguments, pred, target, rng, Sizes(t * (log + np.abs(pred)), t))


# ---- numbers at the edge --------------------------------------------------------------------


@both_dtypes
@reductions
@pytest.mark.parametrize("name", ["L1Loss", "SmoothL1Loss", "HuberLoss", "MSELoss"])
def test_infinity_and_large_numbers(name, reduction, dtype):
    pred, target = (
        np.array([[1e4, -1e4, 3e9], [np.inf, -np.inf, 0]], dtype),
        np.zeros((2, 3), dtype),
    )
    upstream = 1.0 if reduction != "none" else np.ones((2, 3))
    got, want = run(name, {"reduction": reduction}, pred, target, upstream)
    near(got[0], want[0], 8, np.abs(want[0]))
    near(got[1], want[1], 8, np.abs(want[1]))


@both_dtypes
def test_certain_answers_cost_what_they_cost_in_pytorch(dtype):
    tiny = np.finfo(dtype).tiny
    pred = np.array([0, 1, 0, 1, tiny, 1e-30, 1 - np.finfo(dtype).eps, 0.5], dtype)
    target = np.array([1, 0, 0, 1, 1, 1, 0, 0.5], dtype)
    got, want = run("BCELoss", {"reduction": "none"}, pred, target, np.ones(8))
    near(got[0], want[0], 0, np.abs(want[0]))
    near(got[1], want[1], 0, np.abs(want[1]))


@both_dtypes
@pytest.mark.parametrize("x", [1e4, -1e4, 100.0, -100.0, 0.0])
@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_raw_scores_of_any_size(x, t, dtype):
    pred, target = np.array([x], dtype), np.array([t], dtype)
    options = {"reduction": "none", "pos_weight": np.array([3.0])}
    got, want = run("BCEWithLogitsLoss", options, pred, target, np.ones(1))
    near(got[0], want[0], 0, 1 + abs(x))
    near(got[1], want[1], 0, 4)


# ---- what is refused ------------------------------------------------------------------------

X, HALF = np.zeros((4, 3), np.float32), np.full((4, 3), 0.5, np.float32)
WIDE = np.ones((2, 4, 3))
BAD = [
    *((name, {}, X, X[:, :2]) for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")),
    *((name, {}, HALF, HALF[:3]) for name in ("BCELoss", "BCEWithLogitsLoss", "KLDivLoss")),
    ("BCELoss", {}, HALF, HALF[:, :1]),
    ("BCELoss", {}, HALF + 1, HALF),
    ("BCELoss", {}, HALF - 1, HALF),
    ("BCELoss", {}, HALF, HALF + 1),
    ("BCELoss", {}, HALF, HALF - 1),
    ("BCELoss", {"weight": np.ones(4)}, HALF, HALF),
    ("BCELoss", {"weight": WIDE}, HALF, HALF),
    ("BCEWithLogitsLoss", {"weight": np.ones(2)}, X, HALF),
    ("BCEWithLogitsLoss", {"weight": WIDE}, X, HALF),
    ("BCEWithLogitsLoss", {"pos_weight": np.ones(4)}, X, HALF),
    ("BCEWithLogitsLoss", {"pos_weight": WIDE}, X, HALF),
    ("SmoothL1Loss", {"beta": -1.0}, X, X),
    ("HuberLoss", {"delta": 0.0}, X, X),
    ("HuberLoss", {"delta": -1.0}, X, X),
]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("name", "options", "pred", "target"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, options, pred, target):
    def theirs():
        loss = getattr(torch.nn, name)(**in_torch(options, np.float32))
        loss(torch.from_numpy(pred), torch.from_numpy(target))

    with pytest.raises((RuntimeError, ValueError)):
        theirs()
    with pytest.raises(ValueError):
        getattr(numcnn, name)(**options)(pred, target)
