"""Transforms for `DataLoader`: functions ``(xb, rng) -> xb`` of one batch."""

from collections.abc import Callable, Sequence

import numpy as np


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


def random_shift(pixels: int) -> Callable:
    """Make a transform that moves each picture by up to `pixels` in both directions.

    What moves in is 0. A digit that stands a little elsewhere is still that digit; a network
    that is shown so learns it.

    Parameters
    ----------
    pixels : int
        Largest distance, 0 or more.

    Returns
    -------
    callable
        ``transform(xb, rng)``: `xb` has shape (N, C, H, W); the result is a new array. Every
        distance from -pixels to pixels is as likely, down and to the right independently.

    Raises
    ------
    ValueError
        Here, if `pixels` is negative; in the transform, if `xb` holds no pictures.
    """
    if pixels < 0:
        raise ValueError(f"pixels must be 0 or more; got {pixels}")

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if xb.ndim != 4:
            raise ValueError(f"random_shift takes pictures (N, C, H, W); got shape {xb.shape}")
        count, _, height, width = xb.shape
        framed = np.pad(xb, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
        down, right = rng.integers(0, 2 * pixels + 1, (2, count))
        rows = down[:, None] + np.arange(height)
        columns = right[:, None] + np.arange(width)
        example = np.arange(count)[:, None, None]
        # advanced indices around a slice put the channels last; back to (N, C, H, W)
        shifted = framed[example, :, rows[:, :, None], columns[:, None, :]]
        return np.ascontiguousarray(shifted.transpose(0, 3, 1, 2))

    return transform
