"""Losses against classes: formulas, reductions, weights, ignored labels, probabilities."""

import numpy as np
import pytest
from checks_losses import EPS, both_devices, labels, log_softmax, picked, scores

from numcnn import (
    CrossEntropyLoss,
    KLDivLoss,
    LogSoftmax,
    MultiMarginLoss,
    NLLLoss,
    ShapeError,
    Softmax,
)

# ---- against class labels -------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (2, 3, 4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_follows_its_formula(reduction, shape, device):
    x, target = scores(*shape), labels((shape[0], *shape[2:]), shape[1])
    expected = -picked(log_softmax(x), target)
    one_hot = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    gradient = np.exp(log_softmax(x)) - one_hot
    loss = CrossEntropyLoss(reduction=reduction).to(device)
    found = loss(x, target)
    # numbers below 10, a dozen roundings each, at most 16 of them added up
    if reduction == "none":
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EPS)
    else:
        assert isinstance(found, float)
        total = expected.mean() if reduction == "mean" else expected.sum()
        assert found == pytest.approx(total, rel=0, abs=1000 * EPS)
        gradient = gradient / expected.size if reduction == "mean" else gradient
    np.testing.assert_allclose(loss.backward(), gradient, rtol=0, atol=20 * EPS)


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_log_softmax_and_nll(reduction, device):
    x, target = scores(3, 4, 5), labels((3, 5), 4)
    joint, last = (kind(reduction=reduction) for kind in (CrossEntropyLoss, NLLLoss))
    layer = LogSoftmax(dim=1)
    for part in (joint, last, layer):
        part.to(device)
    np.testing.assert_allclose(joint(x, target), last(layer(x), target), rtol=0, atol=200 * EPS)
    both = layer.backward(last.backward())
    np.testing.assert_allclose(joint.backward(), both, rtol=0, atol=20 * EPS)


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_takes_the_entry_of_the_right_class(reduction, device):
    logp = log_softmax(scores(4, 3))
    target = np.array([2, 0, 1, 1])
    expected = -logp[[0, 1, 2, 3], target]
    loss = NLLLoss(reduction=reduction).to(device)
    scale = {"mean": 0.25, "sum": 1, "none": 1}[reduction]
    total = {"mean": expected.mean(), "sum": expected.sum(), "none": expected}[reduction]
    np.testing.assert_allclose(loss(logp, target), total, rtol=4 * EPS)
    np.testing.assert_array_equal(loss.backward(), -scale * np.eye(3)[target])


@both_devices
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_labels_may_be_integers_of_any_kind(dtype, device):
    x, target = scores(4, 5), labels(4, 5)
    expected = CrossEntropyLoss().to(device)(x, target)
    assert CrossEntropyLoss().to(device)(x, target.astype(dtype)) == expected
    assert CrossEntropyLoss().to(device)(x, target.tolist()) == expected
    swapped = target.astype(dtype).astype(np.dtype(dtype).newbyteorder())
    assert CrossEntropyLoss().to(device)(x, swapped) == expected


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_give_finite_losses(device, dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], dtype)
    eps = np.finfo(dtype).eps
    loss = CrossEntropyLoss(reduction="none").to(device)
    losses = loss(x, [0, 1, 2])
    assert losses.dtype == dtype
    assert losses[0] == 0
    # log(3) to the precision of the dtype: the size of the scores must not matter
    np.testing.assert_allclose(losses[1:], np.log(3), rtol=8 * eps)
    third = 1 / 3
    expected = [[0, 0, 0], [third, -2 * third, third], [third, third, -2 * third]]
    np.testing.assert_allclose(loss.backward(), expected, rtol=0, atol=4 * eps)
    assert loss(x, [1, 0, 0])[0] == 20000
    np.testing.assert_array_equal(loss.backward()[0], [1, -1, 0])


@both_devices
def test_the_gradient_of_a_right_and_certain_answer_is_zero(device):
    loss = CrossEntropyLoss().to(device)
    assert loss(np.array([[800.0, 0, 0]]), [0]) == 0
    assert loss.backward().tolist() == [[0, 0, 0]]


# ---- weights, ignored labels, smoothing, probabilities -----------------------------------------

WEIGHT = np.array([0.5, 2.0, 1.0, 0.0])
IGNORED = np.array([[1, -100, 0, 3], [2, 1, -100, 0], [-100, 3, 2, 1]])


def row_losses(x, q, weight):
    """Return -sum(weight * q * log softmax) over the classes of (N, C, ...)."""
    shaped = weight.reshape(-1, *[1] * (x.ndim - 2))
    return -(shaped * q * log_softmax(x)).sum(axis=1)


def smoothed(target, classes, smoothing):
    one_hot = np.moveaxis(np.eye(classes)[target], -1, 1)
    return (1 - smoothing) * one_hot + smoothing / classes


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_cross_entropy_with_weights_smoothing_and_ignored_labels(
    weight, smoothing, reduction, device
):
    x, target = scores(3, 4, 4), IGNORED
    counted = target != -100
    w = np.ones(4) if weight is None else weight
    losses = row_losses(x, smoothed(np.where(counted, target, 0), 4, smoothing), w) * counted
    divisor = w[target[counted]].sum()
    loss = CrossEntropyLoss(weight, reduction=reduction, label_smoothing=smoothing).to(device)
    found = loss(x, target)
    expected = {"mean": losses.sum() / divisor, "sum": losses.sum(), "none": losses}[reduction]
    # losses below 10, rows of 4 classes, 9 rows
    np.testing.assert_allclose(found, expected, rtol=0, atol=1000 * EPS)
    gradient = loss.backward()
    assert (np.moveaxis(gradient, 1, -1)[~counted] == 0).all()
    q = smoothed(np.where(counted, target, 0), 4, smoothing)
    mass = (w[:, None] * q).sum(axis=1, keepdims=True)
    slope = (np.exp(log_softmax(x)) * mass - w[:, None] * q) * counted[:, None]
    slope = slope / divisor if reduction == "mean" else slope
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=50 * EPS)


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3), (2, 4, 3, 2)], ids=str)
def test_cross_entropy_against_probabilities(shape, weight, smoothing, reduction, device):
    x, target = scores(*shape), np.random.default_rng(3).uniform(0, 1, shape)
    w = np.ones(4) if weight is None else weight
    q = (1 - smoothing) * target + smoothing / 4
    losses = row_losses(x, q, w)
    loss = CrossEntropyLoss(weight, reduction=reduction, label_smoothing=smoothing).to(device)
    expected = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[reduction]
    np.testing.assert_allclose(loss(x, target), expected, rtol=0, atol=1000 * EPS)
    weighted = w.reshape(-1, *[1] * (len(shape) - 2)) * q
    slope = np.exp(log_softmax(x)) * weighted.sum(axis=1, keepdims=True) - weighted
    slope = slope / losses.size if reduction == "mean" else slope
    np.testing.assert_allclose(loss.backward(), slope, rtol=0, atol=50 * EPS)


@both_devices
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_labels_are_probabilities_that_are_certain(smoothing, device):
    x, target = scores(5, 4), labels(5, 4)
    loss = CrossEntropyLoss(label_smoothing=smoothing).to(device)
    hard, slope = loss(x, target), loss.backward()
    soft = loss(x, np.eye(4)[target])
    assert soft == pytest.approx(hard, rel=20 * EPS)
    np.testing.assert_allclose(loss.backward(), slope, rtol=0, atol=20 * EPS)


@both_devices
def test_cross_entropy_is_entropy_and_divergence(device):
    """H_p(q) = H(q) + KL(q || p)."""
    x, q = scores(6, 5), np.exp(log_softmax(scores(6, 5, seed=8)))
    entropy = -(q * np.log(q)).sum()
    divergence = KLDivLoss("sum").to(device)(LogSoftmax().to(device)(x), q)
    crossed = CrossEntropyLoss(reduction="sum").to(device)(x, q)
    assert crossed == pytest.approx(entropy + divergence, rel=1e-12, abs=0)


@both_devices
def test_cross_entropy_of_softmax_is_that_of_its_logarithm(device):
    x, target = scores(6, 5), labels(6, 5)
    softmax, logsoftmax = Softmax().to(device), LogSoftmax().to(device)
    np.testing.assert_allclose(np.log(softmax(x)), logsoftmax(x), rtol=0, atol=40 * EPS)
    nll = NLLLoss([*WEIGHT.tolist(), 3], ignore_index=2).to(device)
    joint = CrossEntropyLoss([*WEIGHT.tolist(), 3], ignore_index=2).to(device)
    assert joint(x, target) == pytest.approx(nll(logsoftmax(x), target), rel=1e-12)


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_with_weights_and_ignored_labels(reduction, device):
    logp, target = log_softmax(scores(3, 4, 4)), IGNORED
    counted = target != -100
    kept = np.where(counted, target, 0)
    losses = -(WEIGHT[kept] * picked(logp, kept)) * counted
    loss = NLLLoss(WEIGHT, reduction=reduction).to(device)
    divisor = {"mean": WEIGHT[target[counted]].sum()}.get(reduction, 1)
    expected = losses if reduction == "none" else losses.sum() / divisor
    np.testing.assert_allclose(loss(logp, target), expected, rtol=20 * EPS)
    slope = -smoothed(kept, 4, 0) * WEIGHT[:, None] * counted[:, None] / divisor
    np.testing.assert_allclose(loss.backward(), slope, rtol=8 * EPS)


@both_devices
@pytest.mark.parametrize("make", [CrossEntropyLoss, NLLLoss])
def test_a_row_that_is_ignored_is_never_looked_at(make, device):
    x = log_softmax(scores(3, 4))
    loss = make(reduction="sum", ignore_index=2).to(device)
    expected, slope = loss(x, [1, 2, 0]), loss.backward()
    x[1] = np.nan
    assert loss(x, [1, 2, 0]) == expected
    np.testing.assert_array_equal(loss.backward(), slope)


@both_devices
@pytest.mark.parametrize("make", [CrossEntropyLoss, NLLLoss])
def test_the_mean_of_nothing_is_nan_and_its_gradient_zero(make, device):
    loss = make(ignore_index=255).to(device)
    assert np.isnan(loss(scores(2, 3), np.array([255, 255], np.uint8)))
    assert loss.divisor == 0
    np.testing.assert_array_equal(loss.backward(), np.zeros((2, 3)))
    assert make(reduction="sum", ignore_index=255).to(device)(scores(2, 3), [255, 255]) == 0


@both_devices
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize(("p", "margin"), [(1, 1.0), (2, 1.0), (1, 0.3), (2, -0.2)])
def test_multi_margin_follows_its_formula(p, margin, weight, reduction, device):
    x, target = scores(6, 4), np.array([0, 3, 1, 2, 2, 1])
    w = np.ones(4) if weight is None else weight
    right = x[range(6), target]
    lacking = np.maximum(0, margin - right[:, None] + x) * (np.eye(4)[target] == 0)
    losses = w[target] * (lacking**p).sum(axis=1) / 4
    loss = MultiMarginLoss(p, margin, weight, reduction=reduction).to(device)
    expected = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[reduction]
    np.testing.assert_allclose(loss(x, target), expected, rtol=0, atol=100 * EPS)
    slope = w[target, None] / 4 * (lacking > 0 if p == 1 else 2 * lacking)
    slope[range(6), target] = -slope.sum(axis=1)
    slope = slope / 6 if reduction == "mean" else slope
    np.testing.assert_allclose(loss.backward(), slope, rtol=0, atol=50 * EPS)


@both_devices
def test_a_hinge_is_flat_exactly_at_the_margin(device):
    loss = MultiMarginLoss(reduction="sum").to(device)
    assert loss(np.array([[3.0, 2.0, 1.0]]), [0]) == 0
    assert loss.backward().tolist() == [[0, 0, 0]]
    assert loss(np.array([[3.0, np.nan, 1.0]]), [0]) != 0  # PyTorch drops the NaN


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_scores_are_finite_in_every_form(dtype, device):
    x = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]], dtype)
    for target in ([1, 0], np.array([[0.2, 0.5, 0.3], [1, 0, 0]])):
        loss = CrossEntropyLoss([1, 2, 3], label_smoothing=0.1, reduction="none").to(device)
        losses = loss(x, target)
        assert np.isfinite(losses).all() and (losses > 1e3).all()
        assert losses.dtype == loss.backward().dtype == dtype
        assert np.isfinite(loss.backward()).all()
    for p in (1, 2):
        assert np.isfinite(MultiMarginLoss(p).to(device)(x, [1, 0]))


# ---- what cannot be meant ------------------------------------------------------------------------

REFUSED = {
    "reduction-first": (lambda: CrossEntropyLoss("sum"), TypeError, "write CrossEntropyLoss(redu"),
    "nll-reduction-first": (lambda: NLLLoss("none"), TypeError, "weight must be numbers, got 'no"),
    "column-of-weights": (lambda: NLLLoss(np.ones((3, 1))), ShapeError, "one for each class, got"),
    "margin-weights": (lambda: MultiMarginLoss(weight=[[1]]), ShapeError, "a row of numbers"),
    "ignore-a-float": (lambda: NLLLoss(ignore_index=1.0), TypeError, "a whole number, got 1.0"),
    "ignore-true": (lambda: CrossEntropyLoss(ignore_index=True), TypeError, "whole number"),
    "too-smooth": (lambda: CrossEntropyLoss(label_smoothing=1.1), ValueError, "from 0 to 1, got 1"),
    "not-smooth": (lambda: CrossEntropyLoss(label_smoothing=-0.1), ValueError, "from 0 to 1"),
    "smooth-nan": (lambda: CrossEntropyLoss(label_smoothing=np.nan), ValueError, "from 0 to 1"),
    "power": (lambda: MultiMarginLoss(3), ValueError, "p must be 1 or 2, got 3"),
    "masked-weights": (
        lambda: CrossEntropyLoss(np.ma.masked_array([1.0, 2], [True, False])),
        TypeError,
        "masked array",
    ),
    "weights-for-others": (
        lambda: CrossEntropyLoss([1, 2])(scores(2, 3), [0, 1]),
        ShapeError,
        "weight holds 2 numbers and the scores have 3 classes",
    ),
    "soft-weights-for-others": (
        lambda: CrossEntropyLoss([1])(scores(2, 3), scores(2, 3)),
        ShapeError,
        "weight holds 1 numbers",
    ),
    "probabilities-and-a-label-to-ignore": (
        lambda: CrossEntropyLoss(ignore_index=1)(scores(2, 3), scores(2, 3)),
        ValueError,
        "ignore_index names a label, and these targets are probabilities",
    ),
    "one-row-of-scores": (
        lambda: CrossEntropyLoss()(scores(3), scores(3)),
        ShapeError,
        "scores of shape (N, classes), got (3,)",
    ),
    "maps-of-margins": (
        lambda: MultiMarginLoss()(scores(2, 3, 4), labels((2, 4), 3)),
        ShapeError,
        "MultiMarginLoss() expects scores of shape (N, classes), got (2, 3, 4)",
    ),
    "nll-of-one-hot-rows": (
        lambda: NLLLoss()(scores(3, 3), np.eye(3)),
        TypeError,
        "got float64 of shape (3, 3); these look like one row of numbers per class: use target.arg",
    ),
    "labels-as-floats": (
        lambda: CrossEntropyLoss()(scores(3, 3), np.zeros(3)),
        TypeError,
        "use target.astype('int64')",
    ),
    "margin-label": (lambda: MultiMarginLoss()(scores(2, 3), [0, -100]), ValueError, "label -100"),
    "masked-labels": (
        lambda: NLLLoss()(scores(2, 3), np.ma.masked_array([0, 1], [True, False])),
        TypeError,
        "masked array",
    ),
}


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_explained(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)


def test_the_label_that_is_ignored_is_the_only_one_beyond_the_classes():
    loss = CrossEntropyLoss(ignore_index=-1)
    assert loss(scores(3, 2), [0, -1, 1]) > 0
    with pytest.raises(ValueError, match=r"label -2 at target\[2\]"):
        loss(scores(3, 2), [0, -1, -2])
    with pytest.raises(ValueError, match=r"label -100 at target\[0\]"):
        loss(scores(3, 2), [-100, -1, 1])
