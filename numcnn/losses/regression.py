"""Losses of numbers: how far off each one is."""

from __future__ import annotations

from typing import Any

from .elementwise import ElementLoss, as_positive

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "MSLELoss", "SmoothL1Loss"]


class MSELoss(ElementLoss):
    """Squared error between two arrays of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "half_sum", "batch_mean"}
        Average over every number (PyTorch's default), their sum, all of them; half the sum
        (½ Σ (pred - target)², whose gradient is pred - target), or the sum divided by the
        batch's size.
    """

    op = "mse"
    reductions = ("mean", "sum", "none", "half_sum", "batch_mean")

    def _divisor(self) -> float:
        if self.reduction == "half_sum":
            return 2.0
        if self.reduction == "batch_mean":
            return float(self._shape[0])
        return super()._divisor()


class L1Loss(ElementLoss):
    """Absolute error between two arrays of one shape, |pred - target|.

    Where the two are equal the gradient is 0.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    """

    op = "l1"


class SmoothL1Loss(ElementLoss):
    """Absolute error, with a parabola in place of the corner at 0.

    ``d² / (2 beta)`` where |d| < beta, else ``|d| - beta/2``, with d = pred - target (Girshick,
    2015).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    beta : float
        Where the parabola ends; 0 or more, and 0 is `L1Loss`. To be given by name.
    """

    op = "smooth_l1"

    def __init__(self, reduction: str = "mean", *, beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = as_positive(beta, "SmoothL1Loss: beta", or_zero=True)

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        return (self.beta,)


class HuberLoss(ElementLoss):
    """Squared error that goes on in a straight line: ``delta`` times `SmoothL1Loss`.

    ``d² / 2`` where |d| <= delta, else ``delta (|d| - delta/2)``, with d = pred - target (Huber,
    1964).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    delta : float
        Where the line begins; above 0.
    """

    op = "huber"

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = as_positive(delta, "HuberLoss: delta")

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        return (self.delta,)


class MSLELoss(ElementLoss):
    """Squared difference of the logarithms of 1 + pred and 1 + target.

    ``(log(1 + pred) - log(1 + target))²``: for numbers of very different sizes, where the ratio
    counts. PyTorch has no such loss.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If a number of prediction or target is -1 or less.
    """

    op = "msle"

    def _explain(self, saved: Any) -> None:
        for what, array in zip(
            ("pred", "target"), map(self.device.to_host, saved[:2]), strict=True
        ):
            remedy = "1 + it has no logarithm: every number must be above -1"
            self._refuse(array, array <= -1, what, remedy)
