"""Transforms for `DataLoader` that show a network every picture a little differently each time.

A network that never sees the same picture twice learns what the pictures have in common rather
than their pixels by heart. Each function here makes ``transform(xb, rng) -> xb``: `xb` has shape
(N, C, H, W), every picture gets a draw of its own, all of it follows from `rng`, and the result
is a new C-contiguous array of the same shape and dtype. There is no loop over the pictures.
"""

from collections.abc import Callable, Sequence

import numpy as np

from numcnn.memory import need_memory
from numcnn.shapes import as_count

Range = float | Sequence[float]


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
    pixels = as_count(pixels, "pixels", 0)

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("random_shift", xb)
        return _crop(xb, rng, pixels, "constant")

    return transform


def random_crop(padding: int, mode: str = "constant") -> Callable:
    """Make a transform that frames each picture, then cuts its old size out of it at random.

    The usual augmentation of CIFAR-10, with ``padding=4`` (He et al., "Deep residual learning
    for image recognition", 2016).

    Parameters
    ----------
    padding : int
        Width of the frame in pixels, 0 or more.
    mode : {"constant", "reflect"}
        What the frame holds: zeros, so that this is `random_shift`, or the picture mirrored at
        its border pixels, which it doesn't repeat.

    Returns
    -------
    callable
        ``transform(xb, rng)``. Each of the (2 padding + 1)² places is as likely.

    Raises
    ------
    TypeError, ValueError
        Here, for other arguments; in the transform, if `xb` holds no pictures, or pictures too
        small to be mirrored that far.
    """
    padding = as_count(padding, "padding", 0)
    if mode not in ("constant", "reflect"):
        raise ValueError(f"mode must be 'constant' or 'reflect', got {mode!r}")

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("random_crop", xb)
        if mode == "reflect" and padding >= min(xb.shape[2:]):
            raise ValueError(
                f"random_crop can't mirror {padding} pixels of pictures of {xb.shape[2]}×"
                f"{xb.shape[3]}, which have {min(xb.shape[2:]) - 1} beyond the border pixel; "
                f"use a smaller padding, or mode='constant'"
            )
        return _crop(xb, rng, padding, mode)

    return transform


def random_horizontal_flip(p: float = 0.5) -> Callable:
    """Make a transform that mirrors each picture, left to right, with probability `p`.

    Right for things whose mirror image is such a thing too: cats and ships, but not digits.

    Parameters
    ----------
    p : float
        From 0 to 1.

    Returns
    -------
    callable
        ``transform(xb, rng)``.

    Raises
    ------
    ValueError
        Here, if `p` is no probability; in the transform, if `xb` holds no pictures.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, between 0 and 1; got {p}")

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("random_horizontal_flip", xb)
        flipped = rng.random(len(xb)) < p
        return np.where(flipped[:, None, None, None], xb[..., ::-1], xb)

    return transform


def random_affine(
    degrees: Range, translate: Range = 0.0, scale: tuple[float, float] = (1.0, 1.0)
) -> Callable:
    """Make a transform that turns, moves and scales each picture about its centre.

    The output's pixel at p shows the input at ``R⁻¹ (p - centre - t) / s + centre``, between its
    pixels by bilinear interpolation; outside the picture everything is 0. Asking where each
    output pixel comes from, rather than where each input pixel goes, leaves no holes.

    Parameters
    ----------
    degrees : float or (float, float)
        Angles are drawn from this range, evenly; one number d means (-d, d). Positive is
        clockwise.
    translate : float or (float, float)
        Largest distance as a share of width and height, from 0 to 1; drawn evenly, for both
        directions independently.
    scale : (float, float)
        Range of the factor of enlargement, above 0.

    Returns
    -------
    callable
        ``transform(xb, rng)``. Integer pictures are rounded to the nearest integer.

    Raises
    ------
    ValueError
        Here, for numbers that make no range; in the transform, if `xb` holds no pictures.
    """
    low, high = _range("degrees", degrees if np.ndim(degrees) else np.multiply(degrees, (-1, 1)))
    smallest, largest = _range("scale", scale)
    if smallest <= 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    shares = np.asarray(translate, np.float64)
    if shares.shape not in ((), (2,)) or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(
            f"translate is a share of the picture's size, between 0 and 1, or one for the width "
            f"and one for the height; got {translate}"
        )
    shares = np.broadcast_to(shares, 2)

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("random_affine", xb)
        height, width = xb.shape[2:]
        each = (len(xb), 1, 1)
        angle = np.deg2rad(rng.uniform(low, high, each))
        factor = rng.uniform(smallest, largest, each)
        right = rng.uniform(-shares[0], shares[0], each) * width
        down = rng.uniform(-shares[1], shares[1], each) * height
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        y = np.arange(height)[:, None] - middle_y - down
        x = np.arange(width) - middle_x - right
        cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
        return _sample(xb, y * cos - x * sin + middle_y, y * sin + x * cos + middle_x)

    return transform


def cutout(size: int) -> Callable:
    """Make a transform that sets a square of each picture to 0.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with Cutout",
    2017. The square's middle may be any pixel, so it may hang over the border; the authors found
    that this matters. After `normalize`, 0 is the mean of all pictures.

    Parameters
    ----------
    size : int
        Side of the square in pixels, 1 or more.

    Returns
    -------
    callable
        ``transform(xb, rng)``.

    Raises
    ------
    TypeError, ValueError
        Here, for another `size`; in the transform, if `xb` holds no pictures.
    """
    size = as_count(size, "size")

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("cutout", xb)
        count, _, height, width = xb.shape
        top = rng.integers(0, height, (count, 1, 1)) - size // 2
        left = rng.integers(0, width, (count, 1, 1)) - size // 2
        y, x = np.arange(height)[:, None], np.arange(width)
        hole = (top <= y) & (y < top + size) & (left <= x) & (x < left + size)
        return np.where(hole[:, None], xb.dtype.type(0), xb)

    return transform


def color_jitter(brightness: float = 0.0, contrast: float = 0.0) -> Callable:
    """Make a transform that changes each picture's brightness, then its contrast.

    Brightness multiplies every number by a factor; contrast multiplies its distance from the
    picture's mean by another. What leaves the range of colours is cut off. So this stands before
    `normalize`.

    Parameters
    ----------
    brightness, contrast : float
        The factors are drawn evenly from ``max(0, 1 - b)`` to ``1 + b``; 0 changes nothing.

    Returns
    -------
    callable
        ``transform(xb, rng)``: `xb` holds floating-point numbers in [0, 1], or unsigned integers,
        whose whole range counts.

    Raises
    ------
    ValueError
        Here, for a negative or infinite argument; in the transform, if `xb` holds no pictures,
        or numbers out of range.
    """
    for name, amount in (("brightness", brightness), ("contrast", contrast)):
        if not 0 <= amount < np.inf:
            raise ValueError(f"{name} must be 0 or more, and finite; got {amount}")

    def transform(xb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _need_pictures("color_jitter", xb)
        whole = xb.dtype.kind == "u"
        top = np.iinfo(xb.dtype).max if whole else 1.0
        if xb.dtype.kind not in "fu" or (xb < 0).any() or (xb > top).any():
            raise ValueError(
                "color_jitter takes pictures with numbers from 0 to 1, or unsigned integers, and "
                "got others; put it before normalize"
            )
        bright, spread = (
            rng.uniform(max(0, 1 - most), 1 + most, (len(xb), 1, 1, 1)).astype(_working_dtype(xb))
            for most in (brightness, contrast)
        )
        y = np.clip(xb * bright, 0, top)
        mean = y.mean((1, 2, 3), keepdims=True)
        y = np.clip(y * spread + mean * (1 - spread), 0, top)  # exact for a factor of 1
        return _as_dtype(y, xb.dtype)

    return transform


def _need_pictures(who, xb):
    if xb.ndim != 4:
        raise ValueError(f"{who} takes pictures (N, C, H, W); got shape {xb.shape}")


def _crop(xb, rng, padding, mode):
    count, _, height, width = xb.shape
    frame = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    numbers = len(xb) * xb.shape[1] * (height + 2 * padding) * (width + 2 * padding)
    what = f"a frame of {padding} pixels around pictures of {height}×{width}"
    need_memory(numbers * xb.itemsize, what, "move them by less")
    framed = np.pad(xb, frame, mode)
    top, left = rng.integers(0, 2 * padding + 1, (2, count))
    # every place where a picture could be cut out, as a view; then the one drawn, as a copy
    places = np.lib.stride_tricks.sliding_window_view(framed, (height, width), (2, 3))
    return np.ascontiguousarray(places[np.arange(count), :, top, left])


def _range(name, limits):
    values = np.asarray(limits, np.float64)
    if values.shape != (2,) or not np.isfinite(values).all() or values[0] > values[1]:
        raise ValueError(f"{name} must be a range (lowest, highest), got {limits}")
    return float(values[0]), float(values[1])


def _sample(xb, y, x):
    """Return the pictures' values at rows `y` and columns `x`, (N, H, W) each, in between too."""
    count, channels, height, width = xb.shape
    dtype = _working_dtype(xb)
    # A frame of zeros, and places no farther out than the frame: so no place needs a test.
    # Channels last, since all of a pixel's channels have one place.
    framed = np.zeros((count, height + 2, width + 2, channels), dtype)
    framed[:, 1:-1, 1:-1] = xb.transpose(0, 2, 3, 1)
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    row = np.minimum(y.astype(np.intp), height)
    column = np.minimum(x.astype(np.intp), width)
    below, beside = (y - row).astype(dtype)[..., None], (x - column).astype(dtype)[..., None]
    first = np.arange(count)[:, None, None] * ((height + 2) * (width + 2))
    corner = first + row * (width + 2) + column
    pixels = framed.reshape(-1, channels)

    def between(corner):
        return (1 - beside) * pixels[corner] + beside * pixels[corner + 1]

    mixed = (1 - below) * between(corner) + below * between(corner + width + 2)
    return _as_dtype(np.ascontiguousarray(mixed.transpose(0, 3, 1, 2)), xb.dtype)


def _working_dtype(xb):
    return xb.dtype if xb.dtype.kind == "f" else np.dtype(np.float64)


def _as_dtype(y, dtype):
    return y if y.dtype == dtype else np.rint(y).astype(dtype)
