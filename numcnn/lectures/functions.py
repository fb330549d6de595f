"""Functions: activations, losses, penalties, dropout, normalisation."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..layers import (
    BatchNorm2d,
    Dropout,
    Dropout2d,
    LayerNorm,
    Linear,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Step,
    Tanh,
)
from ..losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
)
from ..model import Sequential
from ..optim import SGD, AdamW
from ..regularization import L1, L2
from .check import Check, draws, fact

TOPIC = "Functions"


@fact(TOPIC, "ranges: sigmoid (0, 1), tanh (−1, 1), ReLU [0, ∞)")
def _ranges(check: Check) -> None:
    x = np.linspace(-15, 15, 301)
    for layer, low, high in ((Sigmoid(), 0.0, 1.0), (Tanh(), -1.0, 1.0)):
        y = layer.to(check.device)(x)
        told = f"{y.min():.3g} to {y.max():.15g}"
        inside = bool((y > low).all() and (y < high).all())
        check.holds(type(layer).__name__, told, inside, f"inside ({low:g}, {high:g})")
    y = ReLU().to(check.device)(x)
    check.equal("ReLU", y, np.where(x > 0, x, 0))


@fact(TOPIC, "step in both conventions: −1/+1 with Θ(0) = −1, and 0/1")
def _step(check: Check) -> None:
    x = np.array([-2.0, 0.0, 3.0])
    check.equal("signed", Step("signed").to(check.device)(x), np.array([-1.0, -1, 1]))
    check.equal("binary", Step("binary").to(check.device)(x), np.array([0.0, 0, 1]))


@fact(TOPIC, "softmax: a constant changes nothing, the largest stays largest, ±1e4 is no overflow")
def _softmax(check: Check) -> None:
    layer = Softmax(dim=1).to(check.device)
    a = np.rint(draws(1).normal(0, 3, (5, 7)) * 8) / 8
    check.near("a + 1024", layer(a + 1024), layer(a), 1e-15)
    check.equal("argmax", layer(a).argmax(1), a.argmax(1))
    extreme = layer(np.array([[1e4, -1e4, 0.0]]))
    check.equal("of 1e4, −1e4, 0", extreme[0], np.array([1.0, 0, 0]))


@fact(TOPIC, "cross-entropy takes labels and raw scores; it equals LogSoftmax + NLL")
def _cross_entropy(check: Check) -> None:
    scores, labels = draws(2).normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    logs = LogSoftmax(dim=1).to(check.device)(scores)
    nll, cross = NLLLoss().to(check.device), CrossEntropyLoss().to(check.device)
    check.near("LogSoftmax + NLL", cross(scores, labels), nll(logs, labels), 1e-14)
    by_hand = -np.mean(np.log((np.exp(scores) / np.exp(scores).sum(1)[:, None])[range(6), labels]))
    check.near("−log softmax(scores)[label]", cross(scores, labels), float(by_hand), 1e-14)
    model = Sequential(Linear(4, 4), Softmax(dim=1), seed=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(scores, labels, verbose=False)
    said = " ".join(str(warning.message) for warning in told)
    check.holds("a model that ends in Softmax", said[:60], "softmax itself" in said, "a warning")


@fact(TOPIC, "MSE: the mean by default; sum, half the sum and the batch's mean by reduction=")
def _mse(check: Check) -> None:
    pred, target = draws(3).normal(size=(2, 4, 3))
    squares = np.square(pred - target)
    for reduction, value in (
        ("mean", squares.mean()),
        ("sum", squares.sum()),
        ("half_sum", squares.sum() / 2),
        ("batch_mean", squares.sum() / 4),
    ):
        loss = MSELoss(reduction=reduction).to(check.device)
        check.near(reduction, loss(pred, target), float(value), 1e-13)


@fact(TOPIC, "BCE, BCE with logits, KL, MAE, MSLE, Huber, multiclass hinge: as their formulas say")
def _losses(check: Check) -> None:
    rng = draws(4)
    a, b = rng.normal(size=(2, 5, 3))
    p, q = (np.exp(v) / np.exp(v).sum(1)[:, None] for v in (a, b))
    t = (rng.random((5, 3)) > 0.5) * 1.0
    sigmoid = 1 / (1 + np.exp(-a))
    bce = -(t * np.log(sigmoid) + (1 - t) * np.log(1 - sigmoid)).mean()
    d = np.abs(a - b)
    huber = np.where(d < 0.7, d * d / 2, 0.7 * (d - 0.35)).mean()
    labels = np.array([0, 2, 1, 1, 0])
    margins = np.maximum(0, 1 - a[range(5), labels][:, None] + a)
    hinge = (margins.sum(1) - 1).mean() / 3
    logs = np.square(np.log1p(p) - np.log1p(q)).mean()
    for name, loss, pred, target, value in (
        ("BCE", BCELoss(), sigmoid, t, bce),
        ("BCE with logits", BCEWithLogitsLoss(), a, t, bce),
        ("KL", KLDivLoss(reduction="sum"), np.log(q), p, (p * np.log(p / q)).sum()),
        ("MAE", L1Loss(), a, b, d.mean()),
        ("MSLE", MSLELoss(), p, q, logs),
        ("Huber", HuberLoss(delta=0.7), a, b, huber),
        ("hinge", MultiMarginLoss(), a, labels, hinge),
    ):
        check.near(name, loss.to(check.device)(pred, target), float(value), 1e-13)


@fact(TOPIC, "H_p(q) = H(q) + KL(q‖p)")
def _entropy(check: Check) -> None:
    a, b = draws(5).normal(size=(2, 4, 6))
    p, q = (np.exp(v) / np.exp(v).sum(1)[:, None] for v in (a, b))
    crossed = CrossEntropyLoss(reduction="sum").to(check.device)(np.log(p), q)
    apart = KLDivLoss(reduction="sum").to(check.device)(np.log(p), q)
    check.near("to 1e-12", crossed, float(-(q * np.log(q)).sum()) + apart, 1e-12)


@fact(TOPIC, "penalties: gradient 2λW and λ·sign(W); decoupled weight decay is another thing")
def _penalties(check: Check) -> None:
    for name, penalty, slope in (
        ("L2", L2(0.3), lambda w: 2 * 0.3 * w),
        ("L1", L1(0.3), lambda w: 0.3 * np.sign(w)),
    ):
        layer = Linear(4, 3).to(check.device, "float64")
        layer.reseed(1)
        penalty(layer)
        penalty.backward()
        check.near(name, layer.weight.grad, slope(layer.weight.data), 1e-15)
    moved = []
    for make in (
        lambda p: SGD(p, lr=0.1, weight_decay=0.6),
        lambda p: AdamW(p, lr=0.1, weight_decay=0.6),
    ):
        layer = Linear(4, 3, bias=False).to(check.device, "float64")
        layer.reseed(1)
        before = layer.weight.data.copy()
        layer.weight.add_grad(np.zeros((3, 4)))
        make(layer.parameters()).step()
        moved.append((layer.weight.data - before) / before)
    check.near("SGD, weight_decay 2λ: W (1 − lr·2λ)", moved[0], np.full((3, 4), -0.06), 1e-15)
    check.near("AdamW decays outside the gradient", moved[1], np.full((3, 4), -0.06), 1e-15)


@fact(TOPIC, "dropout: inverted scaling in training, identity in evaluation, E[train] = eval")
def _dropout(check: Check) -> None:
    layer = Dropout(0.25).to(check.device)
    layer.reseed(1)
    y = layer(np.ones(40_000))
    check.equal("values", np.unique(y), np.array([0.0, 1 / (1 - 0.25)]))
    check.near("mean of 40,000 ones", float(y.mean()), 1.0, 5 * math.sqrt(1 / 3 / 40_000))
    check.equal("evaluation", layer.eval()(np.ones(5)), np.ones(5))
    maps = Dropout2d(0.5).to(check.device)
    maps.reseed(2)
    planes = maps(np.ones((50, 40, 2, 3))).reshape(2000, 6)
    check.equal("Dropout2d: values within one map", int(np.ptp(planes, axis=1).max()), 0)
    check.equal("Dropout2d: values of maps", np.unique(planes), np.array([0.0, 2.0]))
    check.near("Dropout2d: mean of 2,000 maps", float(planes.mean()), 1.0, 5 / math.sqrt(2000))


@fact(TOPIC, "batch norm: each channel has mean 0 and variance 1; its gradient sees the statistics")
def _batch_norm(check: Check) -> None:
    layer = BatchNorm2d(3, eps=0.0, momentum=0.5).to(check.device, "float64")
    x = draws(6).normal(5, 3, (4, 3, 5, 6))
    y = layer(x)
    check.near("mean", y.mean((0, 2, 3)), np.zeros(3), 1e-13)
    check.near("variance", y.var((0, 2, 3)), np.ones(3), 1e-13)
    dx = layer.backward(draws(7).normal(size=x.shape))
    # whatever dy is: neither a shift nor a stretch of the whole channel changes anything
    check.near("Σ dx", dx.sum((0, 2, 3)), np.zeros(3), 1e-12)
    check.near("Σ dx·y", (dx * y).sum((0, 2, 3)), np.zeros(3), 1e-12)
    mean, var = 0.5 * x.mean((0, 2, 3)), 0.5 + 0.5 * x.var((0, 2, 3), ddof=1)
    still = (x - mean[:, None, None]) / np.sqrt(var)[:, None, None]
    check.near("evaluation: running statistics", layer.eval()(x), still, 1e-13)


@fact(TOPIC, "layer norm: the same output for a batch of 1 and of 64")
def _layer_norm(check: Check) -> None:
    layer, x = LayerNorm(7).to(check.device, "float64"), draws(8).normal(size=(64, 7))
    y = layer(x)
    check.equal("bit for bit", bool((y[:1] == layer(x[:1])).all()), True)
    check.near("mean of each", y.mean(1), np.zeros(64), 1e-14)
    spread = x.var(1) / (x.var(1) + layer.eps)
    check.near("variance of each, but for eps", y.var(1), spread, 1e-13)
