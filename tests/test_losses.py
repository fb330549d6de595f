"""Losses: the formulas, every reduction, labels of every kind, and gradients that follow."""

import numpy as np
import pytest

from numcnn import CrossEntropyLoss, LogSoftmax, MSELoss, NLLLoss, ShapeError
from numcnn.losses import Loss, as_loss

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])
EPS = np.finfo(np.float64).eps


def scores(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def labels(shape, classes, seed=2):
    return np.random.default_rng(seed).integers(0, classes, shape)


def log_softmax(x):
    """Return the textbook formula, along axis 1."""
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def picked(x, target):
    return np.take_along_axis(x, target[:, None], axis=1)[:, 0]


# ---- against class labels -------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (2, 3, 4, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_follows_its_formula(reduction, shape, device):
    x, target = scores(*shape), labels((shape[0], *shape[2:]), shape[1])
    expected = -picked(log_softmax(x), target)
    one_hot = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    gradient = np.exp(log_softmax(x)) - one_hot
    loss = CrossEntropyLoss(reduction).to(device)
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
    joint, last, layer = CrossEntropyLoss(reduction), NLLLoss(reduction), LogSoftmax(dim=1)
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
    loss = NLLLoss(reduction).to(device)
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
    loss = CrossEntropyLoss("none").to(device)
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


# ---- what all losses share -------------------------------------------------------------------

CASES = {
    "cross_entropy": (CrossEntropyLoss, log_softmax(scores(4, 3)), labels(4, 3)),
    "nll": (NLLLoss, log_softmax(scores(4, 3)), labels(4, 3)),
    "mse": (MSELoss, scores(4, 3), scores(4, 3, seed=5)),
}
every_loss = pytest.mark.parametrize(("make", "pred", "target"), CASES.values(), ids=CASES)


@every_loss
def test_the_upstream_gradient_scales_what_comes_back(make, pred, target):
    loss = make()
    loss(pred, target)
    plain = loss.backward()
    assert np.abs(plain).max() > 0.01
    np.testing.assert_allclose(loss.backward(-2.5), -2.5 * plain, rtol=4 * EPS)
    each = make("none")
    upstream = scores(*each(pred, target).shape, seed=7)
    rows = upstream if make is MSELoss else upstream[:, None]
    summed = make("sum")
    summed(pred, target)
    expected = summed.backward() * rows
    np.testing.assert_allclose(each.backward(upstream), expected, rtol=8 * EPS)


@every_loss
def test_losses_leave_arrays_alone(make, pred, target):
    before = pred.copy(), target.copy()
    loss = make("none")
    losses = loss(pred, target)
    gradient = loss.backward()
    kept = losses.copy(), gradient.copy()
    loss(pred[::-1] * 2, target)
    loss.backward()
    for array, copy in zip((pred, target, losses, gradient), (*before, *kept), strict=True):
        np.testing.assert_array_equal(array, copy)


@every_loss
def test_backward_needs_a_loss_first(make, pred, target):
    loss = make()
    with pytest.raises(RuntimeError, match="backward was called before the loss was computed"):
        loss.backward()
    loss(pred, target)
    loss.backward()
    loss.to("reference")
    with pytest.raises(RuntimeError, match="before the loss was computed"):
        loss.backward()


@every_loss
def test_a_failed_call_doesnt_leave_the_old_gradient_behind(make, pred, target):
    loss = make()
    loss(pred, target)
    with pytest.raises((ValueError, TypeError)):
        loss(pred[:2], target)
    with pytest.raises(RuntimeError, match="before the loss was computed"):
        loss.backward()


@every_loss
def test_reductions_are_checked_and_shown(make, pred, target):
    with pytest.raises(ValueError, match=r"reduction must be one of 'mean', 'sum', 'none'.* 'avg'"):
        make("avg")
    assert repr(make()) == f"{make.__name__}()"
    assert repr(make("sum")) == f"{make.__name__}(reduction='sum')"


@every_loss
def test_an_empty_prediction_is_refused(make, pred, target):
    with pytest.raises(ShapeError, match=r"prediction is empty: shape \(0, 3\)"):
        make()(pred[:0], target[:0])


def test_losses_are_found_by_name():
    for name, (make, _, _) in CASES.items():
        assert type(as_loss(name)) is make
    loss = MSELoss("sum")
    assert as_loss(loss) is loss
    with pytest.raises(ValueError, match="there is no loss 'mae'; choose one of cross_entropy"):
        as_loss("mae")
    with pytest.raises(TypeError, match="loss must be a Loss or one of"):
        as_loss(MSELoss)


def test_a_loss_of_ones_own_must_say_how():
    loss = Loss()
    with pytest.raises(TypeError, match="Loss must define _losses"):
        loss(np.zeros(3), np.zeros(3))
