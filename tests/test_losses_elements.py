"""Losses number by number: the formulas, what they refuse, and where they must not overflow."""

import numpy as np
import pytest
from checks_losses import EPS, both_devices, log_softmax, scores

from numcnn import (
    BCELoss,
    BCEWithLogitsLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LogSoftmax,
    MSELoss,
    MSLELoss,
    ShapeError,
    Sigmoid,
    SmoothL1Loss,
)

# ---- squared error --------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize(
    ("reduction", "scale"),
    [("mean", 1 / 15), ("sum", 1), ("none", 1), ("half_sum", 0.5), ("batch_mean", 1 / 3)],
)
def test_mse_follows_its_formula(reduction, scale, device):
    pred, target = scores(3, 5), scores(3, 5, seed=2)
    loss = MSELoss(reduction).to(device)
    squares = (pred - target) ** 2 * scale
    found = loss(pred, target)
    expected = squares if reduction == "none" else squares.sum()
    np.testing.assert_allclose(found, expected, rtol=20 * EPS)
    assert isinstance(found, np.ndarray if reduction == "none" else float)
    np.testing.assert_allclose(loss.backward(), 2 * scale * (pred - target), rtol=4 * EPS)


def test_half_the_sum_has_the_difference_as_its_gradient():
    pred, target = scores(3, 5), scores(3, 5, seed=2)
    loss = MSELoss("half_sum")
    loss(pred, target)
    np.testing.assert_array_equal(loss.backward(), pred - target)


def test_mse_of_float32_stays_float32():
    pred = scores(3, 5).astype(np.float32)
    loss = MSELoss()
    loss(pred, scores(3, 5, seed=2))
    assert loss.backward().dtype == np.float32


@pytest.mark.parametrize(("pred", "target"), [((3, 1), (3,)), ((3, 5), (5, 3)), ((3,), (1,))])
def test_mse_never_broadcasts(pred, target):
    with pytest.raises(ShapeError, match="must have one shape") as caught:
        MSELoss()(np.zeros(pred), np.zeros(target))
    assert str(pred) in str(caught.value)
    assert str(target) in str(caught.value)


# ---- the others ---------------------------------------------------------------------------------

PRED, TARGET = scores(5, 4), scores(5, 4, seed=2)
PRED[0, :2] = TARGET[0, :2]  # equal: no error, no gradient
P, T = (np.random.default_rng(seed).uniform(0.02, 0.98, (5, 4)) for seed in (3, 4))
T[0] = 0, 1, 0.5, 1
D = PRED - TARGET
ROW = np.array([0.5, 2.0, 1.0, 0.0])
COLUMN = np.arange(1.0, 6).reshape(5, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def where(condition, yes, no):
    """Return (losses, slopes), each picked by the condition."""
    return tuple(np.where(condition, a, b) for a, b in zip(yes, no, strict=True))


def binary(x, t, weight=1.0, pos=1.0):
    """Return losses and slopes of raw scores, by the sigmoid itself."""
    s = sigmoid(x)
    losses = -weight * (pos * t * np.log(s) + (1 - t) * np.log(1 - s))
    return losses, weight * ((1 - t) * s - pos * t * (1 - s))


def of_probabilities(p, t, weight=1.0):
    losses = -weight * (t * np.log(p) + (1 - t) * np.log(1 - p))
    return losses, weight * ((1 - t) / (1 - p) - t / p)


LINE = np.abs(D), np.sign(D)
LOGP, SHARES = log_softmax(PRED), np.exp(log_softmax(TARGET))
RATIO = np.log(1 + P) - np.log(1 + T)
ZEROS = SHARES * (SHARES > 0.2)
FORMULAS = {
    "l1": (L1Loss, {}, PRED, TARGET, LINE),
    "smooth-l1": (
        *(SmoothL1Loss, {}, PRED, TARGET),
        where(np.abs(D) < 1, (D**2 / 2, D), (LINE[0] - 0.5, LINE[1])),
    ),
    "smooth-l1-beta": (
        *(SmoothL1Loss, {"beta": 0.6}, PRED, TARGET),
        where(np.abs(D) < 0.6, (D**2 / 1.2, D / 0.6), (LINE[0] - 0.3, LINE[1])),
    ),
    "smooth-l1-without-parabola": (SmoothL1Loss, {"beta": 0}, PRED, TARGET, LINE),
    "huber": (
        *(HuberLoss, {}, PRED, TARGET),
        where(np.abs(D) <= 1, (D**2 / 2, D), (LINE[0] - 0.5, LINE[1])),
    ),
    "huber-delta": (
        *(HuberLoss, {"delta": 0.6}, PRED, TARGET),
        where(np.abs(D) <= 0.6, (D**2 / 2, D), (0.6 * (LINE[0] - 0.3), 0.6 * LINE[1])),
    ),
    "msle": (MSLELoss, {}, P, T, (RATIO**2, 2 * RATIO / (1 + P))),
    "bce": (BCELoss, {}, P, T, of_probabilities(P, T)),
    "bce-row": (BCELoss, {"weight": ROW}, P, T, of_probabilities(P, T, ROW)),
    "bce-column": (BCELoss, {"weight": COLUMN}, P, T, of_probabilities(P, T, COLUMN)),
    "bce-one": (BCELoss, {"weight": [[2]]}, P, T, of_probabilities(P, T, 2)),
    "logits": (BCEWithLogitsLoss, {}, PRED, T, binary(PRED, T)),
    "logits-weights": (
        *(BCEWithLogitsLoss, {"weight": COLUMN, "pos_weight": ROW}, PRED, T),
        binary(PRED, T, COLUMN, ROW),
    ),
    "logits-whole-weights": (
        *(BCEWithLogitsLoss, {"weight": P, "pos_weight": T + 1}, PRED, T),
        binary(PRED, T, P, T + 1),
    ),
    "kl": (KLDivLoss, {}, LOGP, SHARES, (SHARES * (np.log(SHARES) - LOGP), -SHARES)),
    "kl-log": (
        *(KLDivLoss, {"log_target": True}, LOGP, np.log(SHARES)),
        (SHARES * (np.log(SHARES) - LOGP), -SHARES),
    ),
    "kl-zeros": (
        *(KLDivLoss, {}, LOGP, ZEROS),
        (ZEROS * (np.log(np.where(ZEROS, ZEROS, 1)) - LOGP), -ZEROS),
    ),
}


@both_devices
@pytest.mark.parametrize(
    ("make", "options", "pred", "target", "formula"), FORMULAS.values(), ids=FORMULAS
)
def test_elements_follow_their_formulas(make, options, pred, target, formula, device):
    losses, slopes = formula
    scales = {"none": 1, "mean": 1 / 20, "sum": 1, "batchmean": 1 / 5}
    for reduction in make.reductions:
        loss = make(**options, reduction=reduction).to(device)
        found, scale = loss(pred, target), scales[reduction]
        # numbers below 100 and slopes below 100, a dozen roundings each, 20 of them added up
        expected = losses if reduction == "none" else losses.sum() * scale
        np.testing.assert_allclose(found, expected, rtol=40 * EPS, atol=20 * EPS)
        gradient = loss.backward()
        np.testing.assert_allclose(gradient, slopes * scale, rtol=40 * EPS, atol=20 * EPS)
    assert not gradient[pred == target].any()


@both_devices
def test_weights_repeat_over_pictures_as_numpy_does(device):
    x, t = scores(2, 3, 4, 5), np.random.default_rng(5).uniform(0, 1, (2, 3, 4, 5))
    for shape in [(), (1,), (5,), (4, 1), (3, 1, 1), (1, 3, 1, 1), (3, 4, 5), (2, 1, 1, 5)]:
        weight = np.random.default_rng(6).uniform(0.5, 2, shape)
        pos = np.random.default_rng(7).uniform(0.5, 2, shape)
        loss = BCEWithLogitsLoss(weight, reduction="none", pos_weight=pos).to(device)
        losses, slopes = binary(x, t, weight, pos)
        np.testing.assert_allclose(loss(x, t), losses, rtol=40 * EPS)
        np.testing.assert_allclose(loss.backward(), slopes, rtol=0, atol=20 * EPS)


@both_devices
def test_huber_is_delta_times_the_smooth_error(device):
    huber, smooth = HuberLoss("none", 0.7).to(device), SmoothL1Loss("none", beta=0.7).to(device)
    np.testing.assert_allclose(huber(PRED, TARGET), 0.7 * smooth(PRED, TARGET), rtol=8 * EPS)


@both_devices
def test_raw_scores_are_what_the_sigmoid_makes_probabilities_of(device):
    one, two, layer = BCEWithLogitsLoss().to(device), BCELoss().to(device), Sigmoid().to(device)
    assert two(layer(PRED), T) == pytest.approx(one(PRED, T), rel=40 * EPS)
    both = layer.backward(two.backward())
    np.testing.assert_allclose(both, one.backward(), rtol=0, atol=20 * EPS)


@both_devices
def test_the_divergence_of_a_distribution_from_itself_is_zero(device):
    layer = LogSoftmax().to(device)
    shares = np.exp(layer(PRED))
    loss = KLDivLoss("batchmean").to(device)
    assert loss(layer(PRED), shares) == pytest.approx(0, abs=20 * EPS)
    assert loss(layer(PRED), np.exp(layer(TARGET))) > 0.01


# ---- where numbers end --------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_never_overflow(dtype, device):
    x = np.array([1e4, -1e4, 1e4, -1e4, 1e4, 0], dtype)
    t = np.array([1, 0, 0, 1, 0.25, 0.5], dtype)
    loss = BCEWithLogitsLoss(reduction="none").to(device)
    expected = np.array([0, 0, 1e4, 1e4, 7500, np.log(2)])
    np.testing.assert_allclose(loss(x, t), expected, rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(loss.backward(), [0, 0, 1, -1, 0.75, 0])
    for make in (L1Loss, SmoothL1Loss, HuberLoss, MSELoss, KLDivLoss):
        other = make(reduction="none").to(device)
        assert np.isfinite(other(x, t)).all()
        assert np.isfinite(other.backward()).all()


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certain_and_wrong_costs_a_hundred(dtype, device):
    loss = BCELoss(reduction="none").to(device)
    p, t = np.array([0, 1, 0, 1], dtype), np.array([1, 0, 0, 1], dtype)
    np.testing.assert_array_equal(loss(p, t), [100, 100, 0, 0])
    bound = 1 / np.float64(np.float32(1e-12))
    np.testing.assert_allclose(loss.backward(), [-bound, bound, 0, 0], rtol=np.finfo(dtype).eps)


@both_devices
@pytest.mark.parametrize("make", [L1Loss, SmoothL1Loss, HuberLoss, MSLELoss, KLDivLoss, BCELoss])
@pytest.mark.parametrize("place", ["pred", "target"])
def test_nan_stays_nan(make, place, device):
    arrays = {"pred": np.full(3, 0.25), "target": np.full(3, 0.5)}
    arrays[place][1] = np.nan
    loss = make(reduction="none").to(device)
    np.testing.assert_array_equal(np.isnan(loss(**arrays)), [False, True, False])
    gradient = np.isnan(loss.backward())
    linear = make is KLDivLoss and place == "pred"  # its slope doesn't depend on pred
    np.testing.assert_array_equal(gradient, [False, not linear, False])


# ---- what cannot be meant -----------------------------------------------------------------------

HALF = np.full((2, 2), 0.5)
OUTSIDE = np.array([[0.5, 0.5], [1.25, 0.5]])
REFUSED = {
    "bce-pred": (lambda d: BCELoss().to(d)(OUTSIDE, HALF), "pred[1, 0] is 1.25; it must be a prob"),
    "bce-below": (lambda d: BCELoss().to(d)(-OUTSIDE, HALF), "pred[0, 0] is -0.5"),
    "bce-remedy": (lambda d: BCELoss().to(d)(OUTSIDE, HALF), "end the model in Sigmoid"),
    "bce-target": (lambda d: BCELoss().to(d)(HALF, OUTSIDE), "target[1, 0] is 1.25"),
    "bce-none": (lambda d: BCELoss(reduction="none").to(d)(HALF, -HALF), "target[0, 0] is -0.5"),
    "msle-pred": (lambda d: MSLELoss().to(d)(-2 * HALF, HALF), "pred[0, 0] is -1.0; 1 + it has no"),
    "msle-target": (lambda d: MSLELoss().to(d)(HALF, HALF - 3), "target[0, 0] is -2.5"),
    "kl-target": (lambda d: KLDivLoss().to(d)(HALF, -HALF), "there is log_target=True"),
}


@both_devices
@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
def test_numbers_that_cannot_be_meant_are_shown(call, words, device):
    with pytest.raises(ValueError) as caught:
        call(device)
    assert words in str(caught.value)


def test_a_refused_number_leaves_no_gradient_behind():
    loss = BCELoss()
    loss(HALF, HALF)
    with pytest.raises(ValueError, match="probability"):
        loss(OUTSIDE, HALF)
    with pytest.raises(RuntimeError, match="before the loss was computed"):
        loss.backward()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: SmoothL1Loss(beta=-1), ValueError, "beta must be 0 or more, got -1"),
        (lambda: SmoothL1Loss(beta=np.nan), ValueError, "beta must be 0 or more, got nan"),
        (lambda: HuberLoss(delta=0), ValueError, "delta must be above 0, got 0"),
        (lambda: BCELoss("sum"), TypeError, "weight must be numbers, got 'sum'"),
        (lambda: BCEWithLogitsLoss(pos_weight="yes"), TypeError, "pos_weight must be numbers"),
        (lambda: BCELoss(np.ones(3))(HALF, HALF), ShapeError, "weight of shape (3,) can't be rep"),
        (lambda: BCELoss(np.ones((4, 2, 2)))(HALF, HALF), ShapeError, "fill the losses' shape (2"),
        (lambda: BCEWithLogitsLoss(pos_weight=[1, 2, 3])(HALF, HALF), ShapeError, "(3,)"),
        (lambda: L1Loss()(HALF, HALF[:1]), ShapeError, "must have one shape, got (2, 2) and (1, 2"),
        (lambda: KLDivLoss("batch_mean"), ValueError, "'batchmean', got 'batch_mean'"),
    ],
)
def test_what_cannot_be_meant_is_explained(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
