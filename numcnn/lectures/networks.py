"""Networks: how many numbers each has, and what the small ones can do."""

from __future__ import annotations

import numpy as np

from .. import models
from ..data import digits
from ..gradcheck import gradcheck
from ..layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    Sigmoid,
    Tanh,
)
from ..losses import Loss, PerceptronLoss
from ..model import Sequential
from ..optim import SGD, Adam
from .check import Check, fact

TOPIC = "Networks"
BITS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
XOR = np.array([0.0, 1, 1, 0])
AND = np.array([0.0, 0, 0, 1])


@fact(TOPIC, "LeNet of the slides: 320 + 18,496 + 1,179,776 + 1,290 parameters", shown=True)
def _lenet(check: Check) -> None:
    summary = models.lenet().summary()
    own = [row.parameters for row in summary.rows if row.parameters]
    check.equal("layers", np.array(own), np.array([320, 18_496, 1_179_776, 1_290]))
    check.equal("together", summary.parameters, 1_199_882)
    windows = [row for row in summary.rows if row.layer.startswith(("Conv2d", "MaxPool2d"))]
    fields = np.array([row.receptive_field[0] for row in windows if row.receptive_field])
    check.equal("receptive fields", fields, np.array([3, 5, 6]))


@fact(TOPIC, "LeNet-5 (1998): first layer 1→6, 5×5: 156 parameters")
def _lenet5(check: Check) -> None:
    check.equal("first layer", models.lenet5().summary().rows[0].parameters, 156)


@fact(TOPIC, "CIFAR-10 browser-demo net: 22,466 parameters", shown=True)
def _demo(check: Check) -> None:
    summary = models.cifar_demo().summary()
    own = [row.parameters for row in summary.rows if row.parameters]
    check.equal("layers", np.array(own), np.array([1_216, 8_020, 10_020, 3_210]))
    check.equal("together", summary.parameters, 22_466)


@fact(TOPIC, "AlexNet of two groups, 1,000 classes: 60,965,224 parameters")
def _alexnet(check: Check) -> None:
    model = models.alexnet()
    check.equal("parameters", model.summary().parameters, 60_965_224)
    groups = [layer.groups for layer in model.layers() if isinstance(layer, Conv2d)]
    check.equal("groups", np.array(groups), np.array([1, 2, 1, 2, 2]))
    norms = sum(isinstance(layer, LocalResponseNorm) for layer in model.layers())
    check.equal("local response normalisations", norms, 2)


@fact(TOPIC, "VGG-11, 16, 19 on 224×224: 132,863,336, 138,357,544, 143,667,240 parameters")
def _vgg(check: Check) -> None:
    for name, make, count in (
        ("VGG-11", models.vgg11, 132_863_336),
        ("VGG-16", models.vgg16, 138_357_544),
        ("VGG-19", models.vgg19, 143_667_240),
    ):
        check.equal(name, make().summary().parameters, count)


@fact(TOPIC, "ConvPool-CNN-C: 1,406,794 parameters")
def _conv_pool(check: Check) -> None:
    model = models.conv_pool_cnn_c()
    check.equal("parameters", model.summary().parameters, 1_406_794)
    check.equal("output", model.output_shape((1, 3, 32, 32)), (1, 10))
    letters = {Conv2d: "C", LeakyReLU: "R", MaxPool2d: "P", Dropout: "D", AdaptiveAvgPool2d: "A"}
    kinds = "".join(letters.get(type(layer), "") for layer in model)
    check.equal("layers", kinds, "CRCRCRPDCRCRCRPDCRCRCRA")
    slopes = {layer.negative_slope for layer in model if isinstance(layer, LeakyReLU)}
    check.equal("slope of the leaky ReLUs", slopes, {0.1})


@fact(TOPIC, "a residual block passes the gradient check; a branch of zeros makes it the identity")
def _residual(check: Check) -> None:
    block = Residual(Sequential(Conv2d(2, 2, 3, padding=1), Tanh(), Conv2d(2, 2, 1)))
    block.to(check.device, "float64").reseed(1)
    x = np.random.default_rng(1).standard_normal((2, 2, 3, 4))
    check.equal("gradient check", bool(gradcheck(block, x)), True)
    last = block.branch[2]  # type: ignore[index]
    last.weight.data = np.zeros(last.weight.shape)
    last.bias.data = np.zeros(last.bias.shape)
    check.equal("zeros: output equals input", bool((block(x) == x).all()), True)


@fact(TOPIC, "2-5-20-2 with sigmoids: 177 parameters; neighbours that don't fit are both named")
def _small(check: Check) -> None:
    model = Sequential(Linear(2, 5), Sigmoid(), Linear(5, 20), Sigmoid(), Linear(20, 2))
    check.equal("parameters", sum(p.size for p in model.parameters()), 177)
    check.refuses(
        "Linear(2, 5) before Linear(6, 2)",
        lambda: Sequential(Linear(2, 5), Sigmoid(), Linear(6, 2)),
        "Linear(2, 5",
        "Linear(6, 2",
        "gives 5",
        "takes 6",
    )


@fact(TOPIC, "[(Conv-ReLU)×N-Pool]×M-(FC-ReLU)×K-FC: a builder makes any of them")
def _grammar(check: Check) -> None:
    for n, m, k in ((1, 1, 0), (2, 3, 1), (3, 2, 2)):
        model = models.conv_net(convs=n, pools=m, hidden=k, maps=2, features=3)
        kinds = [sum(isinstance(x, kind) for x in model) for kind in (Conv2d, MaxPool2d, Linear)]
        check.equal(f"N={n} M={m} K={k}", np.array(kinds), np.array([n * m, m, k + 1]))
        relus = sum(isinstance(layer, ReLU) for layer in model)
        check.equal("ReLUs, one after each but the last", relus, n * m + k)


@fact(TOPIC, "a convolutional autoencoder beats the mean image")
def _autoencoder(check: Check) -> None:
    (x, _), (x_test, _) = digits()
    x, x_test = x[:512], x_test[:200]
    model = models.autoencoder(seed=0, device=check.device)
    model.fit(x, x, epochs=8, batch_size=32, loss="mse", optimizer=_fast, verbose=False)
    error = float(np.square(model.predict(x_test) - x_test).mean())
    baseline = float(np.square(x.mean(axis=0) - x_test).mean())
    check.holds("error ÷ that of the mean image", error / baseline, error < baseline / 2, "< 0.5")


def _fast(parameters: object) -> Adam:
    return Adam(parameters, lr=0.005)  # type: ignore[arg-type]


def _signed(bits: np.ndarray) -> np.ndarray:
    return (2 * bits - 1)[:, None]


@fact(TOPIC, "XOR: a hand-set 2-2-1 step network gives 0, 1, 1, 0", shown=True)
def _xor_by_hand(check: Check) -> None:
    check.equal("answers", models.xor_by_hand(device=check.device)(BITS)[:, 0], XOR)


@fact(TOPIC, "XOR: a network of sigmoids learns it", shown=True)
def _xor_learned(check: Check) -> None:
    model = models.xor_network(4, seed=1, device=check.device)
    model.fit(
        BITS,
        XOR[:, None],
        epochs=400,
        batch_size=4,
        loss="mse",
        optimizer=lambda parameters: Adam(parameters, lr=0.1),
        verbose=False,
    )
    check.equal("answers, rounded", np.rint(model.predict(BITS)[:, 0]) + 0.0, XOR)


def _mistakes(check: Check, x: np.ndarray, bits: np.ndarray, epochs: int) -> list[int]:
    """Return the perceptron's mistakes in each epoch, up to the first without any."""
    unit = Linear(x.shape[1], 1).to(check.device, "float64")
    for parameter in unit.parameters():
        parameter.data = np.zeros(parameter.shape)
    loss: Loss = PerceptronLoss(reduction="sum")
    optimizer = SGD(unit.parameters(), lr=1.0)
    made = []
    for _ in range(epochs):
        wrong = 0
        for row, target in zip(x, _signed(bits), strict=True):
            loss(unit(row[None]), target[None])
            gradient = loss.backward()
            wrong += bool(gradient.any())
            unit.backward(gradient)
            optimizer.step()
            optimizer.zero_grad()
        made.append(wrong)
        if not wrong:
            break
    return made


@fact(TOPIC, "a single perceptron never gives XOR", shown=True)
def _no_xor(check: Check) -> None:
    check.equal("AND, learned by the same rule", _mistakes(check, BITS, AND, 100)[-1], 0)
    made = _mistakes(check, BITS, XOR, 100)
    check.holds("fewest mistakes in 100 epochs", min(made), min(made) > 0, "more than 0")


@fact(TOPIC, "the perceptron rule converges on separable data", shown=True)
def _perceptron(check: Check) -> None:
    for name, bits in (("AND", [0.0, 0, 0, 1]), ("OR", [0.0, 1, 1, 1])):
        made = _mistakes(check, BITS, np.array(bits), 100)
        check.equal(f"{name}: mistakes of epoch {len(made)}", made[-1], 0)
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (40, 2))
    side = points @ np.array([1.0, -2.0]) + 0.3
    points, bits_of = points[np.abs(side) > 0.2], (side[np.abs(side) > 0.2] > 0) * 1.0
    made = _mistakes(check, points, bits_of, 200)
    check.equal(f"{len(points)} points, mistakes of epoch {len(made)}", made[-1], 0)


@fact(TOPIC, "AND, OR and NOT are threshold units", shown=True)
def _gates(check: Check) -> None:
    for name, answers in (("and", [0.0, 0, 0, 1]), ("or", [0.0, 1, 1, 1])):
        gate = models.threshold_gate(name, device=check.device)
        check.equal(name.upper(), gate(BITS)[:, 0], np.array(answers))
    gate = models.threshold_gate("not", device=check.device)
    check.equal("NOT", gate(np.array([[0.0], [1.0]]))[:, 0], np.array([1.0, 0.0]))
