"""Losses: one number that says how wrong a prediction is, and its gradient.

``loss(pred, target)`` returns the number; ``loss.backward()`` then returns its gradient with
respect to `pred`, to be handed to the model's ``backward``.
"""

from .base import Loss
from .classification import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from .labels import check_labels
from .names import as_loss
from .perceptron import PerceptronLoss
from .probability import BCELoss, BCEWithLogitsLoss, KLDivLoss
from .regression import HuberLoss, L1Loss, MSELoss, MSLELoss, SmoothL1Loss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MSLELoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PerceptronLoss",
    "SmoothL1Loss",
    "as_loss",
    "check_labels",
]
