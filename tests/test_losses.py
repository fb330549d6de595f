"""What all losses share; formulas: test_losses_classes.py and test_losses_elements.py."""

import copy
import pickle

import numpy as np
import pytest
from checks_losses import EPS, labels, log_softmax, scores

from numcnn import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    PerceptronLoss,
    ShapeError,
    SmoothL1Loss,
)
from numcnn.losses import Loss, as_loss

INSIDE = np.random.default_rng(6).uniform(0.1, 0.9, (4, 3))
CASES = {
    "cross_entropy": (CrossEntropyLoss, log_softmax(scores(4, 3)), labels(4, 3)),
    "nll": (NLLLoss, log_softmax(scores(4, 3)), labels(4, 3)),
    "mse": (MSELoss, scores(4, 3), scores(4, 3, seed=5)),
    "l1": (L1Loss, scores(4, 3), scores(4, 3, seed=5)),
    "smooth_l1": (SmoothL1Loss, scores(4, 3), scores(4, 3, seed=5)),
    "huber": (HuberLoss, scores(4, 3), scores(4, 3, seed=5)),
    "bce": (BCELoss, INSIDE / 2, INSIDE),
    "bce_with_logits": (BCEWithLogitsLoss, scores(4, 3), INSIDE),
    "msle": (MSLELoss, INSIDE / 2, INSIDE[::-1]),
    "kl_div": (KLDivLoss, log_softmax(scores(4, 3)), INSIDE),
    "multi_margin": (MultiMarginLoss, scores(4, 3), labels(4, 3)),
    "perceptron": (PerceptronLoss, scores(4, 3), 2.0 * (scores(4, 3, seed=5) > 0) - 1),
}
every_loss = pytest.mark.parametrize(("make", "pred", "target"), CASES.values(), ids=CASES)


@every_loss
def test_the_upstream_gradient_scales_what_comes_back(make, pred, target):
    loss = make()
    loss(pred, target)
    plain = loss.backward()
    assert np.abs(plain).max() > 0.01
    np.testing.assert_allclose(loss.backward(-2.5), -2.5 * plain, rtol=4 * EPS)
    each = make(reduction="none")
    upstream = scores(*each(pred, target).shape, seed=7)
    rows = upstream.reshape(4, -1)
    summed = make(reduction="sum")
    summed(pred, target)
    expected = summed.backward() * rows
    np.testing.assert_allclose(each.backward(upstream), expected, rtol=8 * EPS)


@every_loss
def test_losses_leave_arrays_alone(make, pred, target):
    before = pred.copy(), target.copy()
    loss = make(reduction="none")
    losses = loss(pred, target)
    gradient = loss.backward()
    kept = losses.copy(), gradient.copy()
    loss(pred[::-1] * 1.5, target)
    loss.backward()
    for array, kept_one in zip((pred, target, losses, gradient), (*before, *kept), strict=True):
        np.testing.assert_array_equal(array, kept_one)


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
        make(reduction="avg")
    assert repr(make()) == f"{make.__name__}()"
    assert repr(make(reduction="sum")) == f"{make.__name__}(reduction='sum')"


@every_loss
def test_total_and_divisor_say_how_the_mean_came_about(make, pred, target):
    losses = make(reduction="none")(pred, target)
    for reduction in make.reductions:
        loss = make(reduction=reduction)
        value = loss(pred, target)
        assert loss.total == pytest.approx(losses.sum(), rel=8 * EPS)
        if reduction != "none":
            assert value == loss.total / loss.divisor
    divisors = {"mean": losses.size, "sum": 1, "none": 1, "half_sum": 2}
    assert loss.divisor == divisors.get(reduction, 4)  # batch_mean and batchmean: 4 examples


@every_loss
def test_losses_can_be_copied_and_pickled(make, pred, target):
    loss = make(reduction="sum")
    value = loss(pred, target)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert repr(other) == repr(loss)
        assert other(pred, target) == value
        np.testing.assert_array_equal(other.backward(), loss.backward())


def test_what_differs_from_the_default_is_shown():
    loss = CrossEntropyLoss([1, 2.5], ignore_index=0, label_smoothing=0.1)
    shown = "CrossEntropyLoss(weight=[1.  2.5], ignore_index=0, label_smoothing=0.1)"
    assert repr(loss) == shown
    assert repr(MultiMarginLoss(2, 0.5)) == "MultiMarginLoss(p=2, margin=0.5)"
    assert repr(KLDivLoss(log_target=True)) == "KLDivLoss(log_target=True)"
    assert len(repr(NLLLoss(np.arange(1000)))) < 80


def test_weights_are_copied_at_construction():
    weight = np.array([1.0, 2, 3])
    loss = CrossEntropyLoss(weight)
    weight[:] = 0
    np.testing.assert_array_equal(loss.weight, [1, 2, 3])


@every_loss
def test_an_empty_prediction_is_refused(make, pred, target):
    with pytest.raises(ShapeError, match=r"prediction is empty: shape \(0, 3\)"):
        make()(pred[:0], target[:0])


def test_every_loss_is_among_the_cases():
    import numcnn

    kinds = {getattr(numcnn.losses, name) for name in numcnn.losses.__all__}
    kinds = {k for k in kinds if isinstance(k, type)} - {Loss}
    assert kinds == {make for make, _, _ in CASES.values()}


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
