"""Losses that compare two arrays of one shape number by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers.parameter import as_array
from ..shapes import ShapeError
from .base import Loss

__all__ = ["ElementLoss", "as_positive", "repeated"]


def as_positive(value: Any, what: str, or_zero: bool = False) -> float:
    """Return a number above 0 (or 0 too) as a float, or explain."""
    number = float(value)
    if not (number > 0 or (or_zero and number == 0)):
        least = "0 or more" if or_zero else "above 0"
        raise ValueError(f"{what} must be {least}, got {value!r}")
    return number


def repeated(weight: np.ndarray, shape: tuple[int, ...], dtype: Any, who: object) -> np.ndarray:
    """Return weights as a row of numbers that repeats itself along a flat array of `shape`.

    So a weight for each class costs a row of numbers, not an
    array as large as the predictions.
    """
    try:
        fits = np.broadcast_shapes(weight.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{who}: a weight of shape {weight.shape} can't be repeated to fill the losses' shape "
            f"{shape}"
        )
    leading = next((i for i, size in enumerate(weight.shape) if size != 1), weight.ndim)
    own = weight.shape[leading:]
    whole = np.broadcast_to(weight.reshape(own), shape[len(shape) - len(own) :])
    return np.array(whole, dtype).reshape(-1)


class ElementLoss(Loss):
    """One loss for each number. A subclass names its kernels and what these take besides."""

    op = ""

    def check_target(self, target: Any, shape: tuple[int, ...]) -> None:
        """Raise ShapeError unless the target has the shape of the prediction."""
        if tuple(np.shape(target)) != shape:
            raise ShapeError(
                f"{self!r}: prediction and target must have one shape, got {shape} and "
                f"{tuple(np.shape(target))}"
            )

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        """Return what stands between target and outputs in the kernels' arguments."""
        return ()

    def _row(self, weight: np.ndarray | None, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return `repeated` as an array of the device; without weights nothing is copied to it."""
        if weight is None:
            return self.device.constant(1.0, (1,), dtype)
        return self.device.to_device(repeated(weight, shape, dtype, self))

    def _losses(self, pred: Any, target: Any) -> Any:
        what = f"the target of {type(self).__name__}"
        target = as_array(target, self.device, np.dtype(pred.dtype), what)
        self.check_target(target, tuple(pred.shape))
        settings = self._settings(tuple(pred.shape), pred.dtype)
        losses = self.device.empty(tuple(pred.shape), pred.dtype)
        forward = getattr(self.device.kernels, f"{self.op}_forward")
        forward(pred.reshape(-1), target.reshape(-1), *settings, losses.reshape(-1))
        self._saved = (pred, target, settings)
        return losses

    def _backward(self, dlosses: Any) -> Any:
        pred, target, settings = self._saved  # type: ignore[misc]
        dpred = self.device.empty(tuple(pred.shape), pred.dtype)
        upstream = self._upstream(dlosses, tuple(pred.shape), pred.dtype)
        backward = getattr(self.device.kernels, f"{self.op}_backward_input")
        given = (pred.reshape(-1), target.reshape(-1), *settings)
        backward(*given, upstream.reshape(-1), dpred.reshape(-1))
        return dpred

    def _refuse(self, array: np.ndarray, wrong: np.ndarray, what: str, remedy: str) -> None:
        """Raise ValueError if any number of `array` is `wrong`, and show the first."""
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            place = f"{what}[{', '.join(map(str, where))}]"
            raise ValueError(f"{self!r}: {place} is {array[where]}; {remedy}")
