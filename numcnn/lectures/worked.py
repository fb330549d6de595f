"""Worked numbers: the picture of an X, and pooling, by hand and by the kernels."""

from __future__ import annotations

import numpy as np

from ..layers import AvgPool2d, Conv2d, MaxPool2d, ReLU
from ..model import Sequential
from .check import Check, fact

TOPIC = "Worked numbers"

X = -np.ones((5, 5))
for _row, _column in ((1, 1), (1, 3), (2, 2), (3, 1), (3, 3)):
    X[_row, _column] = 1
DIAGONAL = np.array([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])
MAP = np.array([[7.0, -3, 3], [-3, 5, -3], [3, -3, 7]])


def x_network(device: str, kernel: np.ndarray = DIAGONAL) -> Sequential:
    """Return convolution, ReLU and 2×2 max-pooling of stride 1, with the kernel given."""
    model = Sequential(Conv2d(1, 1, 3), ReLU(), MaxPool2d(2, stride=1), device=device)
    model.to("float64")
    conv = model[0]
    conv.weight.data = kernel[None, None]  # type: ignore[attr-defined]
    conv.bias.data = np.zeros(1)  # type: ignore[attr-defined]
    return model


@fact(TOPIC, "the X image: its maps under the diagonal kernel and under the mirrored one", True)
def _maps(check: Check) -> None:
    x = X[None, None]
    check.equal("diagonal", x_network(check.device)[0](x)[0, 0], MAP)
    mirrored = x_network(check.device, DIAGONAL[:, ::-1])
    check.equal("mirrored", mirrored[0](x)[0, 0], MAP[:, ::-1])


@fact(TOPIC, "the X image: ReLU, then 2×2 max-pooling of stride 1", shown=True)
def _pooled(check: Check) -> None:
    model = x_network(check.device)
    hidden = model[1](model[0](X[None, None]))
    check.equal("ReLU", hidden[0, 0], np.array([[7.0, 0, 3], [0, 5, 0], [3, 0, 7]]))
    check.equal("max pool", model[2](hidden)[0, 0], np.array([[7.0, 5], [5, 7]]))


@fact(TOPIC, "the X image: gradients of the sum of the pooled map", shown=True)
def _gradients(check: Check) -> None:
    model = x_network(check.device)
    model(X[None, None])
    dx = model.backward(np.ones((1, 1, 2, 2)))
    conv = model[0]
    dk = np.array([[2.0, -4, 0], [-4, 4, -4], [0, -4, 2]])
    check.equal("dK", conv.weight.grad[0, 0], dk)  # type: ignore[attr-defined]
    check.equal("db", float(conv.bias.grad[0]), 4.0)  # type: ignore[attr-defined]
    wanted = [[1, -1, -1, 0, 0], [-1, 3, -3, -2, 0], [-1, -3, 4, -3, -1], [0, -2, -3, 3, -1]]
    check.equal("dX", dx[0, 0], np.array([*wanted, [0, 0, -1, -1, 1]], float))


@fact(TOPIC, "both kernels equal their own 180° rotation; an asymmetric one tells them apart")
def _rotation(check: Check) -> None:
    for name, kernel in (("diagonal", DIAGONAL), ("mirrored", DIAGONAL[:, ::-1])):
        check.equal(f"{name}, rotated", kernel[::-1, ::-1], kernel)
    kernel, x = np.zeros((3, 3)), np.zeros((5, 5))
    kernel[0, 1] = x[2, 2] = 1.0  # the filter looks up, so the point appears one row lower
    y = x_network(check.device, kernel)[0](x[None, None])[0, 0]
    check.equal("cross-correlation", np.argwhere(y)[0], np.array([2, 1]))


@fact(TOPIC, "2×2 pooling of stride 2 on sixteen numbers: the largest, and the mean", shown=True)
def _pooling(check: Check) -> None:
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, None]
    largest, mean = (kind(2).to(check.device, "float64") for kind in (MaxPool2d, AvgPool2d))
    check.equal("max", largest(x)[0, 0], np.array([[6.0, 8], [3, 4]]))
    check.equal("mean", mean(x)[0, 0], np.array([[3.25, 5.25], [2, 2]]))
