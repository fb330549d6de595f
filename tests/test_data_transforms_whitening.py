"""ZCA whitening: the covariance that remains, what stays as it was, and the refusals."""

import pickle

import numpy as np
import pytest

from numcnn import DataLoader
from numcnn.data import Whitening, zca_whitening

EPS = np.finfo(np.float64).eps


def examples(count=300, shape=(2, 2, 3), seed=0):
    """Return examples whose numbers go up and down together, around different means."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixed = rng.standard_normal((count, size)) @ rng.standard_normal((size, size))
    return (mixed + rng.uniform(-3, 3, size)).reshape(count, *shape)


def covariance(x):
    return np.cov(x.reshape(len(x), -1), rowvar=False)


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.5])
def test_the_whitened_covariance_is_the_identity(epsilon):
    x = examples()
    whitening = zca_whitening(x, epsilon)
    y = whitening(x)
    variances = np.linalg.eigvalsh(covariance(x))
    # In exact arithmetic direction i keeps the variance v / (v + epsilon), so nothing is farther
    # from 1 than epsilon / (v + epsilon) of the smallest.
    exact = epsilon / (variances[0] + epsilon)
    # Rounding, with N examples of D numbers: both covariances are off by (N + 1) eps times a
    # matrix of norm at most trace <= D vmax, the eigenvectors by about D eps vmax, both products
    # by D eps each; whitening divides all of it by the smallest v + epsilon.
    count, size = len(x), len(variances)
    ratio = variances[-1] / (variances[0] + epsilon)
    rounding = (2 * (count + 1) * size + size + 2 * size * size) * EPS * ratio
    assert rounding < 1e-8, "the case itself must tell"
    difference = covariance(y) - np.eye(size)
    assert np.linalg.norm(difference, 2) <= exact + rounding
    if epsilon:
        assert np.linalg.norm(difference, 2) >= exact - rounding
    assert np.abs(y.mean(axis=0)).max() <= (count + 2 * size) * EPS * np.abs(y).max() * ratio


def test_mean_and_matrix_stay_at_hand():
    x = examples()
    whitening = zca_whitening(x)
    np.testing.assert_allclose(whitening.mean, x.mean(axis=0), rtol=1e-12)
    assert whitening.matrix.shape == (12, 12)
    np.testing.assert_allclose(whitening.matrix, whitening.matrix.T, atol=1e-12)
    assert (np.linalg.eigvalsh(whitening.matrix) > 0).all()  # "zero phase": it turns nothing
    rebuilt = Whitening(whitening.mean, whitening.matrix)
    loaded = pickle.loads(pickle.dumps(whitening))
    for other in (rebuilt, loaded):
        np.testing.assert_array_equal(other(x), whitening(x))
    assert repr(whitening) == "Whitening(examples of shape (2, 2, 3))"


def test_what_is_white_already_hardly_changes():
    x = np.random.default_rng(0).standard_normal((200, 5))
    white = zca_whitening(x, 0.0)(x)
    np.testing.assert_allclose(zca_whitening(white, 0.0)(white), white, atol=1e-12)


def test_blocks_make_no_difference(monkeypatch):
    x = examples(50)
    whole = zca_whitening(x).matrix
    monkeypatch.setattr("numcnn.data.whitening.BLOCK", 7)
    np.testing.assert_allclose(zca_whitening(x).matrix, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("dtype", "expected"), [("f4", "f4"), ("f8", "f8"), ("u1", "f4")])
def test_the_dtype_and_the_batch_stay(dtype, expected):
    x = np.random.default_rng(0).integers(0, 200, (60, 1, 2, 4)).astype(dtype)
    before = x.copy()
    whitening = zca_whitening(x)
    y = whitening(x[:9])
    assert y.shape == (9, 1, 2, 4)
    assert y.dtype == expected
    np.testing.assert_array_equal(x, before)
    exact = whitening(x[:9].astype("f8"))
    # one rounding of x - mean and of the matrix, and a sum of 8 products
    bound = (8 + 3) * np.finfo(expected).eps * 200 * np.abs(whitening.matrix).sum(axis=0).max()
    assert np.abs(y - exact).max() <= bound


def test_in_a_loader_it_is_a_transform_that_draws_nothing():
    x = examples(20)
    whitening = zca_whitening(x, 0.1)
    batches = np.concatenate(list(DataLoader(x, batch_size=6, transform=whitening)))
    np.testing.assert_allclose(batches, whitening(x), atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match=r"at least 2 examples \(N, ...\); got shape \(1, 3\)"):
        zca_whitening(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"got shape \(5,\)"):
        zca_whitening(np.zeros(5))
    for epsilon in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="epsilon must be 0 or more"):
            zca_whitening(examples(), epsilon)
    for bad in (np.nan, np.inf):
        x = examples()
        x[3, 0, 0, 1] = bad
        with pytest.raises(ValueError, match="needs finite numbers"):
            zca_whitening(x)
    sentence = "the 9 examples don't vary in all of their 12 directions.*larger epsilon than 0"
    with pytest.raises(ValueError, match=sentence):
        zca_whitening(examples(9), 0.0)
    assert np.isfinite(zca_whitening(examples(9), 1e-3).matrix).all()
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\); got a batch of shape \(4, 12\)"):
        zca_whitening(examples())(np.zeros((4, 12)))
    with pytest.raises(ValueError, match=r"has 3 numbers and needs.*got shape \(3, 2\)"):
        Whitening(np.zeros(3), np.zeros((3, 2)))
