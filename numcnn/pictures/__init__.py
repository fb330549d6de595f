"""Looking inside a network: what it has learned, what it sees, whether it is alive.

Every function returns numbers, in plain arrays, with a method ``plot`` that draws them:

>>> from numcnn import pictures
>>> from numcnn.models import lenet
>>> pictures.filters(lenet(seed=0)).weights.shape
(32, 1, 3, 3)

``pictures.filters(model).plot("filters.png")`` also saves the picture; in a notebook, what
``plot()`` returns shows itself. Drawing needs matplotlib: ``pip install numcnn[plot]``.

The network is looked at in evaluation mode (`gradient_flow`: in training mode) and afterwards is
as it was: weights, gradients, modes, and what its last forward pass kept.
"""

from __future__ import annotations

from .activation_maximization import Maximum, activation_maximization, plot_maxima
from .dead_units import DeadUnits, dead_units
from .deep_dream import Dream, deep_dream
from .feature_maps import FeatureMaps, feature_maps
from .filter_banks import TuningCurves, filter_bank, gabor, gaussian, grating, tuning_curves
from .filters import Filters, filters
from .gradient_flow import GradientFlow, gradient_flow
from .receptive_field import ReceptiveField, plot_receptive_fields, receptive_field
from .saliency import Saliency, saliency

__all__ = [
    "DeadUnits",
    "Dream",
    "FeatureMaps",
    "Filters",
    "GradientFlow",
    "Maximum",
    "ReceptiveField",
    "Saliency",
    "TuningCurves",
    "activation_maximization",
    "dead_units",
    "deep_dream",
    "feature_maps",
    "filter_bank",
    "filters",
    "gabor",
    "gaussian",
    "gradient_flow",
    "grating",
    "plot_maxima",
    "plot_receptive_fields",
    "receptive_field",
    "saliency",
    "tuning_curves",
]
