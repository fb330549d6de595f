"""Learning: initial values, steps, and gradients written out by hand."""

from __future__ import annotations

import math
import time

import numpy as np

from .. import init
from ..kernels import reference
from ..layers import Conv2d, ConvTranspose2d, Linear, LocallyConnected2d, Sigmoid
from ..losses import MSELoss
from ..metrics import top_k_accuracy
from ..model import Sequential
from ..optim import SGD, Adam
from .check import Check, draws, fact

TOPIC = "Learning"


@fact(TOPIC, "Glorot's uniform bound √(6/(n_in+n_out)): Linear(10, 5) → 0.6325")
def _glorot(check: Check) -> None:
    weight = Linear(10, 5).weight
    largest = max(
        float(np.abs(init.xavier_uniform_(weight, rng=draws(seed)).data).max())
        for seed in range(99)
    )
    check.near("bound", math.sqrt(6 / sum(init.fans(weight.shape))), 0.6325, 5e-5)
    told = "above 0.63, below 0.6325"
    check.holds("largest of 4,950", largest, 0.63 < largest < 0.63246, told)


@fact(TOPIC, "He: uniform √(6/n_in), normal √(2/n_in)")
def _he(check: Check) -> None:
    weight = Linear(50, 400).weight
    init.kaiming_uniform_(weight, nonlinearity="relu", rng=draws(1))
    bound = math.sqrt(6 / 50)
    largest = float(np.abs(weight.data).max())
    near = 0.999 * bound < largest <= bound * (1 + 1e-6)
    check.holds("uniform: largest of 20,000", largest, near, f"just below {bound:.6g}")
    init.kaiming_normal_(weight, nonlinearity="relu", rng=draws(2))
    deviation = math.sqrt(2 / 50)
    # the deviation of 20,000 numbers is known to 1 part in √40,000; five times that
    check.near("normal: deviation", float(weight.data.std()), deviation, deviation * 5 / 200)


@fact(TOPIC, "weights that are all zero never break symmetry")
def _symmetry(check: Check) -> None:
    x, y = draws(3).normal(size=(8, 3)), draws(4).normal(size=(8, 1))
    for begins, alike in (("zeros", True), ("at random", False)):
        model = Sequential(
            *(Linear(3, 4), Sigmoid(), Linear(4, 1)), device=check.device, dtype="float64", seed=1
        )
        for parameter in model.parameters() if alike else ():
            init.constant_(parameter, 0.0)
        before = model.state_dict()["0.weight"]
        model.fit(x, y, epochs=20, batch_size=8, loss="mse", optimizer="adam", verbose=False)
        rows = model.state_dict()["0.weight"]
        check.equal(f"{begins}: the weights moved", bool((rows != before).all()), True)
        same = bool((rows == rows[0]).all())
        check.equal(f"{begins}: hidden units alike after 20 steps", same, alike)


@fact(TOPIC, "Adam's first step moves lr·g/(|g|+eps)")
def _adam(check: Check) -> None:
    layer = Linear(3, 2, bias=False).to(check.device, "float64")
    before, gradient = layer.weight.data.copy(), draws(5).normal(size=(2, 3))
    layer.weight.add_grad(gradient)
    Adam(layer.parameters(), lr=0.01, eps=1e-8).step()
    step = -0.01 * gradient / (np.abs(gradient) + 1e-8)
    check.near("step", layer.weight.data - before, step, 1e-14)


@fact(TOPIC, "W2(W1 x) = (W2 W1) x: linear layers in a row are one")
def _linear(check: Check) -> None:
    layers = [Linear(*size, bias=False).to(check.device, "float64") for size in ((5, 4), (4, 3))]
    x = draws(6).normal(size=(7, 5))
    one = x @ (layers[1].weight.data @ layers[0].weight.data).T  # type: ignore[attr-defined]
    check.near("to 1e-12", layers[1](layers[0](x)), one, 1e-12)


def _slope(a: np.ndarray) -> np.ndarray:
    y = 1 / (1 + np.exp(-a))
    return y * (1 - y)


@fact(TOPIC, "one layer: dC/dW_ij = (y_i − t_i) σ'(a_i) x_j")
def _one_layer(check: Check) -> None:
    model = Sequential(Linear(3, 2), Sigmoid(), device=check.device, dtype="float64", seed=1)
    x, t = draws(7).normal(size=(1, 3)), draws(8).normal(size=(1, 2))
    loss = MSELoss(reduction="half_sum").to(check.device)
    y = model(x)
    loss(y, t)
    model.backward(loss.backward())
    a = model[0](x)
    wanted = ((y - t) * _slope(a)).T @ x
    check.near("dC/dW", model[0].weight.grad, wanted, 1e-15)  # type: ignore[attr-defined]


@fact(TOPIC, "two layers: dC/dW1_jk = (Σ_i (y_i − t_i) σ'(a2_i) W2_ij) σ'(a1_j) x_k")
def _two_layers(check: Check) -> None:
    model = Sequential(
        *(Linear(3, 4), Sigmoid(), Linear(4, 2), Sigmoid()),
        device=check.device,
        dtype="float64",
        seed=1,
    )
    x, t = draws(7).normal(size=(1, 3)), draws(8).normal(size=(1, 2))
    loss = MSELoss(reduction="half_sum").to(check.device)
    y = model(x)
    loss(y, t)
    model.backward(loss.backward())
    first, second = model[0], model[2]
    a1 = first(x)
    delta = (y - t) * _slope(second(model[1](a1)))
    back = (delta @ second.weight.data) * _slope(a1)  # type: ignore[attr-defined]
    check.near("dC/dW1", first.weight.grad, back.T @ x, 1e-15)  # type: ignore[attr-defined]


@fact(TOPIC, "convolution is a matrix product: im2col·W equals the loops", shown=True)
def _im2col(check: Check) -> None:
    x, weight = draws(9).normal(size=(2, 3, 6, 7)), draws(10).normal(size=(4, 3, 3, 2))
    y = np.empty((2, 4, 4, 6))
    begun = time.perf_counter()
    reference.conv2d_forward(x, weight, np.zeros(4), 1, 1, 0, 0, 1, 1, 1, y)
    loops = time.perf_counter() - begun
    begun = time.perf_counter()
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(2, 3))
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(2 * 4 * 6, 3 * 3 * 2)
    product = (columns @ weight.reshape(4, -1).T).reshape(2, 4, 6, 4).transpose(0, 3, 1, 2)
    matrix = time.perf_counter() - begun
    check.near("to 1e-12", product, y, 1e-12)
    conv = Conv2d(3, 4, (3, 2), bias=False).to(check.device, "float64")
    conv.weight.data = weight
    check.near("and Conv2d", product, conv(x), 1e-12)
    told = f"{columns.nbytes:,} bytes beside the picture's {x.nbytes:,}"
    check.holds("extra memory", told, columns.nbytes > x.nbytes, "more than the picture")
    told = f"plain Python loops {loops * 1e3:.1f} ms, matrix product {matrix * 1e3:.2f} ms"
    check.holds("time", told, loops > matrix, "the product is faster")


@fact(TOPIC, "locally connected with tied weights equals Conv2d")
def _tied(check: Check) -> None:
    conv = Conv2d(2, 3, (3, 2), stride=(1, 2)).to(check.device, "float64")
    local = LocallyConnected2d(2, 3, (5, 6), (3, 2), stride=(1, 2)).to(check.device, "float64")
    x = draws(11).normal(size=(2, 2, 5, 6))
    tie(conv, local)
    check.near("to 1e-12", local(x), conv(x), 1e-12)


def tie(conv: Conv2d, local: LocallyConnected2d) -> None:
    """Give every place of a locally connected layer the filters of a convolution."""
    weight, bias = conv.weight.data, conv.bias.data  # type: ignore[union-attr]
    places = local.weight.shape
    local.weight.data = np.broadcast_to(weight[..., None, None], places).copy()
    own = local.bias.shape  # type: ignore[union-attr]
    local.bias.data = np.broadcast_to(bias[:, None, None], own).copy()  # type: ignore[union-attr]


@fact(TOPIC, "⟨conv x, y⟩ = ⟨x, convᵀ y⟩: the transposed convolution is the adjoint")
def _adjoint(check: Check) -> None:
    geometry = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "bias": False}
    conv = Conv2d(2, 4, **geometry).to(check.device, "float64")  # type: ignore[arg-type]
    back = ConvTranspose2d(4, 2, **geometry).to(check.device, "float64")  # type: ignore[arg-type]
    back.weight.data = conv.weight.data
    x = draws(12).normal(size=(2, 2, 7, 6))
    y = draws(13).normal(size=conv.output_shape(x.shape))
    left, right = float((conv(x) * y).sum()), float((x * back(y)).sum())
    check.near("to 1e-12", left, right, 1e-12 * float(np.abs(conv(x) * y).sum()))


@fact(TOPIC, "top-k accuracy: k=5 is ImageNet's convention")
def _top_k(check: Check) -> None:
    scores = np.tile(np.arange(10.0), (6, 1))  # class 9 first, class 5 fifth, class 4 sixth
    labels = np.array([9, 8, 5, 4, 0, 9])
    check.equal("k=1", top_k_accuracy(scores, labels, k=1), 2 / 6)
    check.equal("k=5, the default", top_k_accuracy(scores, labels), 4 / 6)


@fact(TOPIC, "gradient descent goes down: one small step of SGD lowers the loss")
def _descent(check: Check) -> None:
    model = Sequential(Linear(3, 2), Sigmoid(), device=check.device, dtype="float64", seed=2)
    x, t = draws(14).normal(size=(5, 3)), draws(15).normal(size=(5, 2))
    loss = MSELoss().to(check.device)
    before = loss(model(x), t)
    model.backward(loss.backward())
    squared = sum(float(np.square(p.grad).sum()) for p in model.parameters())
    SGD(model.parameters(), lr=1e-4).step()
    fall = before - loss(model(x), t)
    # first order: the fall is lr·‖gradient‖²; the second order is lr² of it
    check.near("fall ÷ (lr ‖g‖²)", fall / (1e-4 * squared), 1.0, 1e-3)
