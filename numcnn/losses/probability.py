"""Losses of probabilities that are compared number by number."""

from __future__ import annotations

from typing import Any

from .elementwise import ElementLoss
from .labels import as_weight

__all__ = ["BCELoss", "BCEWithLogitsLoss", "KLDivLoss"]

WEIGHTS = "its weights are brought to the GPU in every step"


class BCELoss(ElementLoss):
    """Binary cross-entropy of probabilities: for a model that ends in Sigmoid.

    ``-weight (target log(pred) + (1 - target) log(1 - pred))``. As in PyTorch each logarithm is at
    least -100 and the denominator of the gradient at least 1e-12, so that a certain and wrong
    answer stays finite. `BCEWithLogitsLoss` on the raw scores is the more accurate way.

    Parameters
    ----------
    weight : array, optional
        Multiplies the losses; repeated to their shape.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of losses, whatever the weights. To be given by name.

    Raises
    ------
    ValueError
        If a number of prediction or target isn't between 0 and 1.
    """

    op = "bce"

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = as_weight(weight, "BCELoss")

    def host_work(self) -> str | None:
        """Return that weights are brought to the device, where there are any."""
        return None if self.weight is None else WEIGHTS

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        return (self._row(self.weight, shape, dtype),)

    def _explain(self, saved: Any) -> None:
        pred, target = map(self.device.to_host, saved[:2])
        remedy = "it must be a probability, from 0 to 1"
        self._refuse(target, (target < 0) | (target > 1), "target", remedy)
        remedy += ": end the model in Sigmoid, or give raw scores to BCEWithLogitsLoss"
        self._refuse(pred, (pred < 0) | (pred > 1), "pred", remedy)


class BCEWithLogitsLoss(ElementLoss):
    """Binary cross-entropy of raw scores; the sigmoid is inside.

    ``weight (pos_weight target softplus(-pred) + (1 - target) softplus(pred))``, which overflows
    nowhere. Without weights the gradient is ``sigmoid(pred) - target``.

    Parameters
    ----------
    weight : array, optional
        Multiplies the losses; repeated to their shape.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of losses, whatever the weights. To be given by name.
    pos_weight : array, optional
        How much a yes counts, for example one number per class; repeated to the losses' shape. To
        be given by name.
    """

    op = "bce_with_logits"

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(reduction)
        self.weight = as_weight(weight, "BCEWithLogitsLoss")
        self.pos_weight = as_weight(pos_weight, "BCEWithLogitsLoss", "pos_weight")

    def host_work(self) -> str | None:
        """Return that weights are brought to the device, where there are any."""
        return None if self.weight is None and self.pos_weight is None else WEIGHTS

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        return tuple(self._row(weight, shape, dtype) for weight in (self.weight, self.pos_weight))


class KLDivLoss(ElementLoss):
    """Kullback-Leibler divergence of log-probabilities from the target's probabilities.

    ``target (log(target) - pred)``, number by number.

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "batchmean"}
        "batchmean" divides the sum by N: that is the divergence as mathematics defines it.
        "mean", PyTorch's default, divides by the number of all numbers.
    log_target : bool
        Whether the target, too, holds logarithms. To be given by name.

    Notes
    -----
    `pred` holds log-probabilities, as LogSoftmax gives them; `target` has its shape.

    Raises
    ------
    ValueError
        If the target holds a negative number that should be a probability.
    """

    op = "kl_div"
    reductions = ("mean", "sum", "none", "batchmean")

    def __init__(self, reduction: str = "mean", *, log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = bool(log_target)

    def _divisor(self) -> float:
        return float(self._shape[0]) if self.reduction == "batchmean" else super()._divisor()

    def _settings(self, shape: tuple[int, ...], dtype: Any) -> tuple:
        return (int(self.log_target),)

    def _explain(self, saved: Any) -> None:
        if not self.log_target:
            target = self.device.to_host(saved[1])
            remedy = "it must be a probability; for logarithms there is log_target=True"
            self._refuse(target, target < 0, "target", remedy)
