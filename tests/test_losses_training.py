"""Losses in fit and evaluate: by name, with weights, ignored labels and soft targets."""

import warnings

import numpy as np
import pytest

from numcnn import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    KLDivLoss,
    Linear,
    LogSoftmax,
    MultiMarginLoss,
    NLLLoss,
    Sequential,
    Sigmoid,
    Softmax,
)

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHT = [0.5, 2.0, 1.0]


def data(count=11):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((count, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)


def network(*last):
    return Sequential(Linear(4, 3), *last, seed=2)


def one_hot(y):
    return np.eye(3)[y]


LOSSES = {
    "cross_entropy": ((), lambda y: y),
    "nll": ((LogSoftmax(),), lambda y: y),
    "multi_margin": ((), lambda y: y),
    "mse": ((), one_hot),
    "l1": ((), one_hot),
    "smooth_l1": ((), one_hot),
    "huber": ((), one_hot),
    "bce": ((Sigmoid(),), one_hot),
    "bce_with_logits": ((), one_hot),
    "msle": ((Softmax(),), one_hot),
    "kl_div": ((LogSoftmax(),), one_hot),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_name_trains_and_is_evaluated(name):
    last, target = LOSSES[name]
    (x, y), model = data(40), network(*last)
    before = model.evaluate(x, target(y), loss=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(x, target(y), epochs=15, batch_size=8, loss=name, verbose=False, seed=1)
    after = model.evaluate(x, target(y), loss=name)
    assert after.loss < before.loss
    labelled = name in ("cross_entropy", "nll", "multi_margin")
    assert (after.accuracy is not None) == ("accuracy" in history.epochs[0]) == labelled
    if labelled:
        assert after.accuracy == (model.predict(x).argmax(axis=1) == y).mean()
    for size in (1, 7, 40):
        found = model.evaluate(x, target(y), size, loss=name)
        assert found.loss == pytest.approx(after.loss, rel=1e-5)
        assert found.accuracy == after.accuracy


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss, MultiMarginLoss])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_evaluate_is_the_loss_of_the_whole_set(kind, reduction):
    # labels are unevenly spread over batches, so a mean of the batches' means would be wrong
    model, (x, y) = network(LogSoftmax()), data()
    y = np.sort(y)
    loss = kind(weight=WEIGHT, reduction=reduction)
    if kind is not MultiMarginLoss:
        y[[0, 1, 6]] = -100
    scores = model.predict(x)
    whole = loss(scores, y) / (len(x) if reduction == "sum" else 1)
    counted = y >= 0
    for size in (1, 2, 4, 11):  # in batches of 1 and 2 some hold nothing that counts
        found = model.evaluate(x, y, size, loss=loss)
        assert found.loss == pytest.approx(whole, rel=1e-5)
        assert found.accuracy == (scores.argmax(axis=1) == y)[counted].mean()


def test_a_label_that_is_ignored_is_no_hit_either():
    model, (x, _) = network(), data()
    best = model.predict(x).argmax(axis=1)
    assert set(best) == {0, 2}
    loss = CrossEntropyLoss(ignore_index=2)
    assert model.evaluate(x, best, loss=loss).accuracy == 1
    # all that counts is wrong, and what would be right doesn't count
    assert model.evaluate(x, np.where(best == 2, 2, 1), loss=loss).accuracy == 0


def test_where_nothing_counts_there_is_no_mean():
    model, (x, y) = network(), data()
    result = model.evaluate(x, np.full_like(y, -100), loss=CrossEntropyLoss())
    assert np.isnan(result.loss) and np.isnan(result.accuracy)


def test_training_leaves_ignored_examples_out():
    (x, y), loss = data(8), CrossEntropyLoss(WEIGHT)
    y[4:] = -100
    models = [network(), network()]
    for model, count in zip(models, (8, 4), strict=True):
        model.fit(x[:count], y[:count], batch_size=count, loss=loss, verbose=False, shuffle=False)
    np.testing.assert_allclose(models[0].predict(x), models[1].predict(x), rtol=1e-5)


def test_a_batch_without_labels_is_named_and_harms_nothing():
    (x, y), model = data(8), network()
    y[:4] = -100
    with pytest.warns(UserWarning, match="batch 1 is nan; no label of this batch counts"):
        history = model.fit(x, y, batch_size=4, verbose=False, shuffle=False)
    assert np.isnan(history.batch_losses[0])
    assert history["loss"] == [pytest.approx(history.batch_losses[1])]
    assert np.isfinite(model.predict(x)).all()
    assert 0 <= history["accuracy"][0] <= 1


def test_the_figures_of_an_epoch_are_those_of_its_batches_together():
    (x, y), model = data(12), network()
    y[:] = [0, 1, 2, 1, 1, 0, 2, 2, 0, 1, 0, 0]
    loss = CrossEntropyLoss(WEIGHT, ignore_index=2)
    history = model.fit(x, y, batch_size=3, loss=loss, verbose=False, shuffle=False)
    # 0 weighs half, 1 weighs 2, 2 nothing
    expected = np.average(history.batch_losses, weights=[2.5, 4.5, 0.5, 3])
    assert history["loss"] == [pytest.approx(expected, rel=1e-12)]


def test_soft_targets_train_and_have_no_accuracy():
    (x, y), model = data(30), network()
    soft = 0.9 * one_hot(y) + 0.1 / 3
    history = model.fit(
        x, soft, epochs=10, batch_size=8, validation_data=(x, soft), verbose=False, seed=1
    )
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert "accuracy" not in history.epochs[0] and "val_accuracy" not in history.epochs[0]
    smooth = CrossEntropyLoss(label_smoothing=0.1)
    assert model.evaluate(x, soft).loss == pytest.approx(model.evaluate(x, y, loss=smooth).loss)


@pytest.mark.parametrize(
    ("target", "loss", "words"),
    [
        (np.zeros((11, 4)), "cross_entropy", "got float64 of shape"),
        (np.zeros((11, 2)), "bce", r"must have one shape, got \(11, 3\) and \(11, 2\)"),
        (np.zeros(11), "mse", r"must have one shape, got \(11, 3\) and \(11,\)"),
        (np.full(11, 3), "multi_margin", "label 3 at target"),
        (np.full((11, 3), 0.3), CrossEntropyLoss(ignore_index=0), "ignore_index names a label"),
    ],
)
def test_fit_refuses_targets_before_the_first_step(target, loss, words):
    model, (x, _) = network(), data()
    before = model.predict(x)
    for call in (model.fit, model.evaluate):
        with pytest.raises((ValueError, TypeError), match=words):
            call(x, target, loss=loss)
    np.testing.assert_array_equal(model.predict(x), before)


@pytest.mark.parametrize(
    ("last", "loss", "words"),
    [
        (Sigmoid(), BCEWithLogitsLoss(), r"ends in Sigmoid\(\) and BCEWithLogitsLoss applies a"),
        (Softmax(), KLDivLoss(), "KLDivLoss expects log-probabilities, but the model ends in Soft"),
    ],
)
def test_a_last_layer_that_doesnt_fit_the_loss_is_warned_of(last, loss, words):
    x, y = data()
    with pytest.warns(UserWarning, match=words):
        network(last).fit(x, one_hot(y), loss=loss, verbose=False)
