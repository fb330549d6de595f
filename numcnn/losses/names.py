"""Short names of losses, for ``fit(loss="...")``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import Loss
from .classification import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from .perceptron import PerceptronLoss
from .probability import BCELoss, BCEWithLogitsLoss, KLDivLoss
from .regression import HuberLoss, L1Loss, MSELoss, MSLELoss, SmoothL1Loss

__all__ = ["as_loss"]

NAMES: dict[str, Callable[[], Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "nll": NLLLoss,
    "mse": MSELoss,
    "l1": L1Loss,
    "smooth_l1": SmoothL1Loss,
    "huber": HuberLoss,
    "bce": BCELoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "msle": MSLELoss,
    "kl_div": KLDivLoss,
    "multi_margin": MultiMarginLoss,
    "perceptron": PerceptronLoss,
}


def as_loss(loss: Any) -> Loss:
    """Return a `Loss` from one, or from its short name."""
    if isinstance(loss, str):
        if loss not in NAMES:
            raise ValueError(f"there is no loss {loss!r}; choose one of {', '.join(NAMES)}")
        return NAMES[loss]()
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a Loss or one of {', '.join(NAMES)}, got {loss!r}")
    return loss
