"""Slips of the printed material, and what is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers import Sigmoid, Tanh
from ..losses import CrossEntropyLoss
from .check import Check, fact
from .worked import X, x_network

__all__ = ["ERRATA", "Erratum"]


@dataclass(frozen=True)
class Erratum:
    """What is printed, and what is right."""

    printed: str
    correct: str


ERRATA = (
    Erratum(
        "the feature map of the X has −1 at (2, 1)",
        "−3: of the nine products, three are +1 and six are −1",
    ),
    Erratum("behind ReLU it has 0 at (2, 0)", "3: ReLU leaves a positive number as it is"),
    Erratum(
        "the X image's pooling looks like stride 2", "3×3 to 2×2 with a 2×2 window is stride 1"
    ),
    Erratum("the sum over a 5×5 filter runs from 0 to 5", "0 to 4: five taps"),
    Erratum(
        "Glorot's and He's bounds without part of the root",
        "√(6/(n_in + n_out)) and √(6/n_in), the fraction wholly under the root",
    ),
    Erratum(
        "cross-entropy without its minus sign, with log2 in one place and ln in another",
        "−Σ t ln p; in bits it is 1.442695 times as much (log2 e)",
    ),
    Erratum(
        "categorical cross-entropy goes with a sigmoid", "with a softmax: classes exclude others"
    ),
    Erratum(
        "activation maximisation by gradient descent", "ascent: the input is moved up the gradient"
    ),
    Erratum(
        "dropout scales by 1 − p in the test",
        "that is the older convention; here what is kept is divided by 1 − p in training",
    ),
    Erratum("DropOut", "Dropout"),
    Erratum("Linear(in_channels=…)", "Linear(in_features=…); channels belong to convolutions"),
    Erratum("tanh shown as torch.sigmoid", "torch.tanh; tanh(x) = 2 sigmoid(2x) − 1"),
)


@fact("Errata", "the corrections that are numbers")
def _numbers(check: Check) -> None:
    network = x_network(check.device)
    hidden = network[0](X[None, None])
    check.equal("the X's map at (2, 1)", float(hidden[0, 0, 2, 1]), -3.0)
    check.equal("behind ReLU, at (2, 0)", float(network[1](hidden)[0, 0, 2, 0]), 3.0)
    half = CrossEntropyLoss().to(check.device)(np.zeros((1, 2)), np.array([0]))
    check.near("one bit, in units of ln", 1 / half, 1.442695, 5e-7)
    x = np.linspace(-3, 3, 13)
    tanh, sigmoid = Tanh().to(check.device), Sigmoid().to(check.device)
    check.near("tanh(x) = 2 sigmoid(2x) − 1", tanh(x), 2 * sigmoid(2 * x) - 1, 1e-15)
