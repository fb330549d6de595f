"""Threshold units: gates with weights set by hand, and the problem that one unit can't solve."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import Linear, Sigmoid, Step
from ..model import Sequential
from ..shapes import as_count

__all__ = ["GATES", "perceptron", "threshold_gate", "xor_by_hand", "xor_network"]

# weights and bias: the unit fires where weights · x + bias > 0
GATES = {
    "and": ((1.0, 1.0), -1.5),
    "or": ((1.0, 1.0), -0.5),
    "not": ((-1.0,), 0.5),
    "nand": ((-1.0, -1.0), 1.5),
}


def perceptron(in_features: int, convention: str = "signed", **options: Any) -> Sequential:
    """Return one threshold unit: a weighted sum, and a step (Rosenblatt, 1958).

    Nothing can be learned through a step, whose slope is 0. The perceptron rule is a step of
    `SGD` on `PerceptronLoss`, which looks at the sum: train ``model[0]`` with it.

    Parameters
    ----------
    in_features : int
    convention : {"signed", "binary"}
        Whether the unit answers -1 and 1, or 0 and 1.
    **options
        device, dtype, seed of `numcnn.Sequential`.
    """
    return Sequential(Linear(in_features, 1), Step(convention), **options)


def _set(layer: Linear, weight: Any, bias: Any) -> None:
    layer.weight.data = np.array(weight, np.float64)
    layer.bias.data = np.array(bias, np.float64)  # type: ignore[union-attr]


def threshold_gate(name: str, **options: Any) -> Sequential:
    """Return a logical gate as one threshold unit for inputs of 0 and 1.

    McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943.

    Parameters
    ----------
    name : {"and", "or", "not", "nand"}
    **options
        device, dtype of `numcnn.Sequential`.

    Raises
    ------
    ValueError
        If there is no such gate. XOR is none: no line separates its answers; see `xor_by_hand`.
    """
    if name not in GATES:
        raise ValueError(
            f"there is no threshold unit for {name!r}; choose one of {', '.join(GATES)}"
            + "; no line separates the answers of xor, which takes two layers: xor_by_hand()"
            * (name == "xor")
        )
    weights, bias = GATES[name]
    gate = perceptron(len(weights), "binary", **options)
    _set(gate[0], [weights], [bias])  # type: ignore[arg-type]
    return gate


def xor_by_hand(**options: Any) -> Sequential:
    """Return XOR in two layers of threshold units: OR but not AND.

    Parameters
    ----------
    **options
        device, dtype of `numcnn.Sequential`.
    """
    model = Sequential(Linear(2, 2), Step("binary"), Linear(2, 1), Step("binary"), **options)
    _set(model[0], [GATES["or"][0], GATES["and"][0]], [GATES["or"][1], GATES["and"][1]])  # type: ignore[arg-type]
    _set(model[2], [[1.0, -1.0]], [-0.5])  # type: ignore[arg-type]
    return model


def xor_network(hidden: int = 2, **options: Any) -> Sequential:
    """Return a network of sigmoids that can learn XOR (Rumelhart, Hinton and Williams, 1986).

    Parameters
    ----------
    hidden : int
        Width of the hidden layer; with 2 some initial values end in a local minimum.
    **options
        device, dtype, seed of `numcnn.Sequential`.
    """
    as_count(hidden, "hidden")
    return Sequential(Linear(2, hidden), Sigmoid(), Linear(hidden, 1), Sigmoid(), **options)
