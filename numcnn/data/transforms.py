"""Transforms for `DataLoader`, functions ``(xb, rng) -> xb`` of one batch; and one-hot labels.

Those that change pictures at random are in ``augment.py``, whitening is in ``whitening.py``.
"""

from collections.abc import Callable, Sequence

import numpy as np

from numcnn.shapes import as_count


def compose(*transforms: Callable) -> Callable:
    """Make one transform of several, the first one first.

    Parameters
    ----------
    *transforms : callable
        Each takes ``(xb, rng)`` and returns a batch. Without any, nothing is changed.

    Returns
    -------
    callable
        ``transform(xb, rng)``. All draw from the same `rng`, one after the other.

    Raises
    ------
    TypeError
        If one is no function.

    Examples
    --------
    ``compose(random_crop(4), random_horizontal_flip(), normalize(mean, std))``
    """
    for position, each in enumerate(transforms):
        if not callable(each):
            raise TypeError(
                f"transform {position} must be a function (xb, rng) -> xb; got {each!r}"
            )

    def transform(xb: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        for each in transforms:
            xb = each(xb, rng)
        return xb

    return transform


def one_hot(labels: np.ndarray, num_classes: int, dtype: type = np.float32) -> np.ndarray:
    """Return a row for each label: 1 at its class, 0 elsewhere.

    What `MSELoss` needs as targets of a classifier; `CrossEntropyLoss` takes the labels.

    Parameters
    ----------
    labels : array_like of int, shape (...)
        Class numbers from 0.
    num_classes : int
        Length of a row.
    dtype : dtype
        Of the result.

    Returns
    -------
    ndarray, shape (..., num_classes)

    Raises
    ------
    TypeError
        If the labels are no integers.
    ValueError
        If one is none of the classes.
    """
    labels = np.asarray(labels)
    num_classes = as_count(num_classes, "num_classes")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot takes class numbers (integers), got {labels.dtype}")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        where = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(
            f"label {labels[where]} at labels[{', '.join(map(str, where))}] is none of the "
            f"{num_classes} classes, which are numbered 0 to {num_classes - 1}"
        )
    return (labels[..., None] == np.arange(num_classes)).astype(dtype)


def normalize(mean: float | Sequence[float], std: float | Sequence[float]) -> Callable:
    """Make a transform that subtracts the mean and divides by the standard deviation.

    Parameters
    ----------
    mean, std : float or sequence of C floats
        One value for all channels, or one for each.

    Returns
    -------
    callable
        ``transform(xb, rng=None)``: `xb` has shape (N, C, ...); the result is a new array of
        the same shape and, for floating point, the same dtype (float32 for integers). It draws
        no random number.

    Raises
    ------
    ValueError
        Here, if a value is not finite, a `std` is not positive, or the lengths differ; in the
        transform, if `xb` has another number of channels.
    """
    means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    for name, values in (("mean", means), ("std", stds)):
        if values.ndim > 1 or not values.size:
            raise ValueError(
                f"{name} must be a number or one number for each channel; got shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite; got {values}")
    if (stds <= 0).any():
        raise ValueError(f"std must be positive, since it divides; got {stds}")
    if means.ndim and stds.ndim and means.shape != stds.shape:
        raise ValueError(
            f"mean and std must have one value for each channel; got {means.size} and {stds.size}"
        )

    def transform(xb: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        dtype = xb.dtype if np.issubdtype(xb.dtype, np.floating) else np.dtype(np.float32)
        shift, scale = (_for_channels(values, xb, dtype) for values in (means, stds))
        return (xb.astype(dtype, copy=False) - shift) / scale

    return transform


def _for_channels(values, xb, dtype):
    values = values.astype(dtype)
    if values.ndim == 0:
        return values
    if xb.ndim < 2 or xb.shape[1] != values.size:
        raise ValueError(
            f"normalize has {values.size} channels; got a batch of shape {xb.shape}, "
            "whose channels are axis 1"
        )
    return values.reshape(-1, *(1,) * (xb.ndim - 2))
