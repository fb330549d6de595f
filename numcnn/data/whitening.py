"""ZCA whitening: pictures whose pixels no longer go up and down together."""

from __future__ import annotations

import numpy as np

BLOCK = 1024  # examples turned to float64 at a time


class Whitening:
    """A transform ``(xb, rng) -> xb``: subtract a mean, multiply by a matrix.

    `zca_whitening` fits one. One can also be made from the mean and matrix of another, such as
    those that were saved with a network's weights.

    Parameters
    ----------
    mean : ndarray, shape (...)
        Of one example's shape.
    matrix : ndarray, shape (D, D)
        D is the number of numbers in an example.

    Raises
    ------
    ValueError
        If the two don't fit; in use, if the examples have another shape.
    """

    def __init__(self, mean: np.ndarray, matrix: np.ndarray) -> None:
        self.mean, self.matrix = np.asarray(mean), np.asarray(matrix)
        if self.matrix.shape != (self.mean.size, self.mean.size):
            raise ValueError(
                f"a mean of shape {self.mean.shape} has {self.mean.size} numbers and needs a "
                f"matrix of that many rows and columns; got shape {self.matrix.shape}"
            )

    def __repr__(self) -> str:
        return f"Whitening(examples of shape {self.mean.shape})"

    def __call__(self, xb: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the whitened examples; nothing is drawn from `rng`.

        Parameters
        ----------
        xb : ndarray, shape (N, ...)

        Returns
        -------
        ndarray, shape (N, ...)
            A new array of the same dtype; float32 for integers.
        """
        xb = np.asarray(xb)
        if xb.shape[1:] != self.mean.shape or not xb.ndim:
            raise ValueError(
                f"the whitening was fitted to examples of shape {self.mean.shape}; got a batch "
                f"of shape {xb.shape}"
            )
        dtype = xb.dtype if xb.dtype.kind == "f" else np.dtype(np.float32)
        centred = xb.astype(dtype, copy=False) - self.mean.astype(dtype)
        flat = centred.reshape(len(xb), self.mean.size) @ self.matrix.astype(dtype, copy=False)
        return flat.reshape(xb.shape)


def zca_whitening(x: np.ndarray, epsilon: float = 1e-6) -> Whitening:
    """Fit a whitening to training examples, and return it as a transform.

    Bell and Sejnowski, "The 'independent components' of natural scenes are edge filters", 1997;
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009. With the
    covariance ``C = E diag(v) Eᵀ`` of the pixels, the matrix is
    ``E diag(1 / sqrt(v + epsilon)) Eᵀ``: afterwards every pixel has variance 1 and no two are
    correlated. Of all matrices that do so, this symmetric one changes the pictures least.

    Parameters
    ----------
    x : array, shape (N, ...)
        The training examples, at least 2. Fit on these alone, and apply to test data too.
    epsilon : float
        Added to each variance. Directions in which the examples hardly vary hold mostly noise,
        and would be blown up without it.

    Returns
    -------
    Whitening
        With ``mean`` and ``matrix`` in float64.

    Raises
    ------
    ValueError
        If there are fewer than 2 examples, one isn't finite, `epsilon` is negative, or too small
        for examples that don't vary in every direction.

    Notes
    -----
    For D numbers in an example this takes time of the order of N D² + D³ and memory for a few
    D × D matrices; pictures of 3×32×32 have D = 3072.
    """
    x = np.asarray(x)
    if x.ndim < 2 or len(x) < 2 or not x.size:
        raise ValueError(f"whitening needs at least 2 examples (N, ...); got shape {x.shape}")
    if not 0 <= epsilon < np.inf:
        raise ValueError(f"epsilon must be 0 or more, and finite; got {epsilon}")
    flat = x.reshape(len(x), -1)
    mean = flat.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("whitening needs finite numbers, and x holds others")
    covariance = np.zeros((mean.size, mean.size))
    for begin in range(0, len(flat), BLOCK):
        centred = flat[begin : begin + BLOCK] - mean
        covariance += centred.T @ centred
    variances, directions = np.linalg.eigh(covariance / (len(x) - 1))
    variances = np.maximum(variances, 0) + epsilon  # rounding makes tiny ones negative
    if variances[0] <= mean.size * np.finfo(np.float64).eps * variances[-1]:
        raise ValueError(
            f"the {len(x)} examples don't vary in all of their {mean.size} directions, which "
            f"would be divided by almost 0; use a larger epsilon than {epsilon:g}"
        )
    matrix = (directions / np.sqrt(variances)) @ directions.T
    return Whitening(mean.reshape(x.shape[1:]), matrix)
