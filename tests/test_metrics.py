"""accuracy, top-k accuracy, the confusion matrix and its figures, and `evaluate(metrics=...)`."""

import copy
import pickle
import sys

import numpy as np
import pytest

from numcnn import Flatten, Linear, MSELoss, Sequential, ShapeError, metrics
from numcnn.evaluation import Evaluation
from numcnn.metrics import ConfusionMatrix, accuracy, confusion_matrix, top_k_accuracy

SCORES = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0], [0.0, -1.0, -2.0], [2.0, 1.0, 7.0]])
LABELS = np.array([1, 1, 2, 2])


def draw(seed=0, count=200, classes=7, levels=None, rest=()):
    """Return scores, with many ties if there are few levels, and labels."""
    rng = np.random.default_rng(seed)
    shape = (count, classes, *rest)
    scores = rng.standard_normal(shape) if levels is None else rng.integers(0, levels, shape)
    return scores, rng.integers(0, classes, (count, *rest))


def top_k_by_sorting(scores, labels, k):
    """Return top-k accuracy by the definition: sort, the lower number first of equal scores."""
    hits = [
        label in sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
        for row, label in zip(scores, labels, strict=True)
    ]
    return np.mean(hits)


# ---- accuracy and top k -------------------------------------------------------------------------


def test_accuracy_of_four_rows():
    assert accuracy(SCORES, LABELS) == 0.5
    assert [top_k_accuracy(SCORES, LABELS, k) for k in (1, 2, 3)] == [0.5, 0.5, 1.0]
    assert accuracy(SCORES.tolist(), LABELS.tolist()) == 0.5


@pytest.mark.parametrize("levels", [None, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_top_k_is_what_sorting_gives_ties_included(levels, k):
    scores, labels = draw(levels=levels)
    assert top_k_accuracy(scores, labels, k) == top_k_by_sorting(scores, labels, k)


def test_of_equal_scores_the_lower_class_counts_as_higher():
    scores = np.zeros((1, 4))
    found = [[top_k_accuracy(scores, [label], k) for k in (1, 2, 3, 4)] for label in range(4)]
    assert found == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    tied = draw(levels=2)
    assert top_k_accuracy(*tied, k=1) == accuracy(*tied)


def test_infinite_scores_are_the_highest_and_the_lowest():
    scores = np.array([[-np.inf, 0, np.inf]])
    assert [top_k_accuracy(scores, [2], 1), top_k_accuracy(scores, [0], 2)] == [1, 0]


def test_every_pixel_counts():
    scores, labels = draw(rest=(3, 4), count=20)
    flat = scores.transpose(0, 2, 3, 1).reshape(-1, 7), labels.reshape(-1)
    assert accuracy(scores, labels) == accuracy(*flat)
    assert top_k_accuracy(scores, labels, 3) == top_k_by_sorting(*flat, 3)


def top_1(scores, labels):
    return top_k_accuracy(scores, labels, 1)


@pytest.mark.parametrize("metric", [accuracy, top_1, confusion_matrix])
def test_what_does_not_fit_is_explained(metric):
    with pytest.raises(ShapeError, match=r"scores of shape \(4, 3\) need labels of shape \(4,\)"):
        metric(SCORES, LABELS[:3])
    with pytest.raises(TypeError, match=r"expects class numbers \(integers\)"):
        metric(SCORES, LABELS.astype(float))
    with pytest.raises(ValueError, match=r"label 3 at target\[2\] is none of the 3 classes"):
        metric(SCORES, [0, 1, 3, 0])
    with pytest.raises(ShapeError, match=r"expects scores of shape \(N, classes\), got \(4,\)"):
        metric(SCORES[:, 0], LABELS)
    with pytest.raises(ValueError, match="needs at least one example"):
        metric(np.empty((0, 3)), np.empty(0, int))
    bad = SCORES.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"the score at \[2, 1\] is NaN"):
        metric(bad, LABELS)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_k_is_at_most_the_number_of_classes(k):
    with pytest.raises(ValueError, match=f"k must be from 1 to the number of classes, 3; got {k}"):
        top_k_accuracy(SCORES, LABELS, k)
    with pytest.raises(ValueError, match="classes, 3; got 5"):
        top_k_accuracy(SCORES, LABELS)


# ---- the confusion matrix -----------------------------------------------------------------------


def test_rows_are_what_it_was_and_columns_what_it_was_taken_for():
    found = confusion_matrix([0, 2, 2, 1, 2], [0, 0, 2, 2, 2])
    np.testing.assert_array_equal(found.counts, [[1, 0, 1], [0, 0, 0], [0, 1, 2]])
    assert found.counts.dtype == np.int64
    assert found.classes == ("0", "1", "2")
    assert found.accuracy == 3 / 5


@pytest.mark.parametrize("rest", [(), (2, 3)])
def test_scores_and_guesses_give_the_same_matrix(rest):
    scores, labels = draw(rest=rest)
    by_scores = confusion_matrix(scores, labels)
    by_guesses = confusion_matrix(scores.argmax(axis=1).astype(np.uint8), labels, 7)
    np.testing.assert_array_equal(by_scores.counts, by_guesses.counts)
    assert by_scores.counts.sum() == labels.size
    assert by_scores.accuracy == accuracy(scores, labels)
    for label, guess in np.ndindex(7, 7):
        both = (labels == label) & (scores.argmax(axis=1) == guess)
        assert by_scores.counts[label, guess] == both.sum()


def test_precision_recall_and_f1_by_their_definitions():
    scores, labels = draw(count=90)
    guesses = scores.argmax(axis=1)
    found = confusion_matrix(scores, labels)
    for c in range(7):
        hits = np.sum((guesses == c) & (labels == c))
        precision, recall = hits / np.sum(guesses == c), hits / np.sum(labels == c)
        assert found.precision[c] == precision
        assert found.recall[c] == recall
        # four roundings on one side, one on the other
        harmonic = 2 * precision * recall / (precision + recall)
        assert found.f1[c] == pytest.approx(harmonic, rel=5 * np.finfo(float).eps, abs=0)


@pytest.mark.filterwarnings("error")
def test_shares_of_nothing_are_nan():
    # class 0 is right, class 1 never guessed, class 2 never there, class 3 neither
    found = confusion_matrix([0, 2], [0, 1], 4)
    np.testing.assert_array_equal(found.precision, [1, np.nan, 0, np.nan])
    np.testing.assert_array_equal(found.recall, [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(found.f1, [1, 0, 0, np.nan])
    assert np.isnan(ConfusionMatrix(np.zeros((2, 2), int)).accuracy)


def test_the_number_of_classes_has_three_sources():
    assert confusion_matrix([0], [1]).counts.shape == (2, 2)
    assert confusion_matrix([0], [1], classes=["a", "b", "c"]).counts.shape == (3, 3)
    assert confusion_matrix([0], [1], 5).counts.shape == (5, 5)
    assert confusion_matrix(np.ones((1, 4)), [1]).counts.shape == (4, 4)
    with pytest.raises(ValueError, match=r"label 1 is none of the 1 classes.* 0 to 0"):
        confusion_matrix([0], [1], 1)
    with pytest.raises(ValueError, match="prediction -2 is none of the 2 classes"):
        confusion_matrix([-2], [1])
    with pytest.raises(ValueError, match="there are 2 classes and 1 names"):
        confusion_matrix([0], [1], 2, ["a"])
    with pytest.raises(ValueError, match="at least one example"):
        confusion_matrix(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(ValueError, match=r"must be square, got shape \(2, 3\)"):
        ConfusionMatrix(np.zeros((2, 3), int))
    with pytest.raises(TypeError, match="counts must be integers, got float64"):
        ConfusionMatrix(np.eye(2))


def test_it_prints_as_a_table():
    counts = [[1200, 3, 0], [0, 0, 0], [1, 0, 2]]
    text = str(ConfusionMatrix(counts, ["cat", "[bold]", "dog"]))
    assert repr(ConfusionMatrix(counts, ["cat", "[bold]", "dog"])) == text
    lines = text.splitlines()
    assert lines[0].startswith("Rows: what it was; columns: taken for")
    for word in ("class", "cat", "[bold]", "dog", "precision", "recall", "F1"):
        assert word in lines[2]
    cat = next(line for line in lines[3:] if "cat" in line)
    for cell in ("1,200", " 3 ", " · ", "99.9%", "99.8%"):
        assert cell in cat
    nothing = next(line for line in lines[3:] if "[bold]" in line)
    assert nothing.count("%") == 2  # a precision and an F1 of 0, but no recall
    assert "nan" not in text
    assert "\x1b" not in text


def test_it_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    matrix = ConfusionMatrix([[1200, 3, 0], [0, 0, 0], [1, 0, 3]], ["cat", "cow", "dog"])
    figure = matrix.plot(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("taken for", "what it was")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "cow", "dog"]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "1,200", (1, 0): "3", (0, 2): "1", (2, 2): "3"}  # (column, row)
    shares = axes.images[0].get_array()
    np.testing.assert_array_equal(shares, [[1200 / 1203, 3 / 1203, 0], [0, 0, 0], [0.25, 0, 0.75]])


def test_a_missing_matplotlib_is_explained(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install numcnn\[plot\]"):
        ConfusionMatrix(np.eye(2, dtype=int)).plot()


# ---- evaluate -----------------------------------------------------------------------------------


def network_and_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((37, 1, 2, 3)).astype(np.float32)
    return Sequential(Flatten(), Linear(6, 4), seed=0), x, rng.integers(0, 4, 37)


def test_evaluate_calls_metrics_with_all_scores_at_once():
    model, x, y = network_and_data()
    wanted = {
        "top2": lambda scores, labels: top_k_accuracy(scores, labels, 2),
        "confusion": metrics.confusion_matrix,
        "accuracy again": accuracy,
    }
    result = model.evaluate(x, y.tolist(), batch_size=10, metrics=wanted)
    scores = model.predict(x)
    assert list(result.metrics) == list(wanted)
    assert result.metrics["top2"] == top_k_accuracy(scores, y, 2)
    assert result.metrics["accuracy again"] == result.accuracy
    np.testing.assert_array_equal(
        result.metrics["confusion"].counts, confusion_matrix(scores, y).counts
    )


def test_evaluation_stays_a_tuple_of_two():
    model, x, y = network_and_data()
    plain = model.evaluate(x, y)
    result = model.evaluate(x, y, metrics={"n": lambda scores, labels: len(scores)})
    loss, share = result
    assert (loss, share) == plain == result
    assert len(result) == 2
    assert dict(plain.metrics) == {}
    assert repr(plain) == f"Evaluation(loss={loss!r}, accuracy={share!r})"
    assert repr(result) == f"Evaluation(loss={loss!r}, accuracy={share!r}, n=37)"
    for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert other == result and other.metrics == {"n": 37}
        assert isinstance(other, Evaluation)
    assert plain._replace(loss=0.0).metrics == {}


def test_evaluate_takes_metrics_of_other_targets_too():
    model, x, y = network_and_data()
    targets = np.eye(4, dtype=np.float32)[y]
    worst = {"worst": lambda outputs, targets: np.abs(outputs - targets).max()}
    result = model.evaluate(x, targets, loss=MSELoss(), metrics=worst)
    assert result.accuracy is None
    assert result.metrics["worst"] == np.abs(model.predict(x) - targets).max()
    with pytest.raises(TypeError, match="metric 'top5' must be a function"):
        model.evaluate(x, y, metrics={"top5": 5})


def test_metrics_of_evaluate_leave_out_ignored_labels():
    model = Sequential(Linear(3, 4), seed=1)
    x, y = np.random.default_rng(1).normal(size=(6, 3)), np.array([0, 1, -100, 2, 3, -100])
    result = model.evaluate(x, y, metrics={"accuracy": metrics.accuracy})
    kept = y != -100
    assert result.metrics["accuracy"] == result.accuracy
    assert result.accuracy == metrics.accuracy(model.predict(x)[kept], y[kept])
