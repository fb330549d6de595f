"""Convolution arithmetic: sizes, parameters, and what is left over."""

from __future__ import annotations

import numpy as np

from ..layers import AvgPool2d, Conv2d, LocallyConnected2d, MaxPool2d
from ..model import Sequential
from ..shapes import conv_output_size
from .check import Check, fact

TOPIC = "Convolution arithmetic"


@fact(TOPIC, "output size (N + 2P − D(F−1) − 1)/S + 1; N=7, F=3", shown=True)
def _output_size(check: Check) -> None:
    check.equal("S=1", conv_output_size(7, 3, 1), 5)
    check.equal("S=2", conv_output_size(7, 3, 2), 3)
    check.refuses("S=3", lambda: conv_output_size(7, 3, 3, strict=True), "= 2.33")


@fact(TOPIC, "N=7, F=3, S=3 does not fit; strict says so, else row and column 6 are left out", True)
def _seven_three_three(check: Check) -> None:
    check.refuses(
        "strict",
        lambda: Conv2d(1, 1, 3, stride=3, strict=True).output_shape((1, 1, 7, 7)),
        "(7 - 3)/3 + 1 = 2.33",
        "padding=1 gives 3",
    )
    model = Sequential(Conv2d(1, 1, 3, stride=3), device=check.device, seed=0)
    y = model(np.ones((1, 1, 7, 7)))
    check.equal("default", y.shape, (1, 1, 2, 2))
    note = model.summary((1, 7, 7)).rows[0].note
    check.holds("summary", note, "row 6" in note and "column 6" in note, "names row and column 6")
    dx = model.backward(np.ones_like(y))
    edge = np.concatenate([dx[0, 0, 6], dx[0, 0, :, 6]])
    check.equal("their input gradient", edge, np.zeros(14))
    check.holds("the others'", np.abs(dx[0, 0, :6, :6]).min(), bool(dx[0, 0, :6, :6].all()), "≠ 0")


@fact(TOPIC, "zero padding keeps 7×7 with P = (F−1)/2: F=3 → 1, 5 → 2, 7 → 3")
def _same(check: Check) -> None:
    for taps, padding in ((3, 1), (5, 2), (7, 3)):
        check.equal(f"F={taps}, P={padding}", conv_output_size(7, taps, 1, padding), 7)


@fact(TOPIC, "32×32×3 → six 5×5×3 → ten 5×5×6: 28×28×6 (456 parameters), 24×24×10 (1,510)")
def _two_convolutions(check: Check) -> None:
    rows = Sequential(Conv2d(3, 6, 5), Conv2d(6, 10, 5)).summary((3, 32, 32)).rows
    check.equal("first", rows[0].output_shape[1:], (6, 28, 28))
    check.equal("its parameters", rows[0].parameters, 456)
    check.equal("second", rows[1].output_shape[1:], (10, 24, 24))
    check.equal("its parameters", rows[1].parameters, 1510)


@fact(TOPIC, "ten 5×5 filters, S=1, P=2 on 32×32×3: 32×32×10", shown=True)
def _ten_filters(check: Check) -> None:
    row = Sequential(Conv2d(3, 10, 5, padding=2)).summary((3, 32, 32)).rows[0]
    check.equal("output", row.output_shape[1:], (10, 32, 32))
    check.equal("parameters (5·5·3+1)·10", row.parameters, 760)
    check.equal("MACs 10·32·32·75", row.macs, 768_000)


@fact(TOPIC, "i=4, k=3, s=1, p=0 gives 2; i=5, k=3, s=2, p=1 gives 3")
def _small(check: Check) -> None:
    check.equal("first", conv_output_size(4, 3, 1, 0), 2)
    check.equal("second", conv_output_size(5, 3, 2, 1), 3)


@fact(TOPIC, "1×1 convolution, 32 filters on 56×56×64: 56×56×32, 2,080 parameters")
def _one_by_one(check: Check) -> None:
    row = Sequential(Conv2d(64, 32, 1)).summary((64, 56, 56)).rows[0]
    check.equal("output", row.output_shape[1:], (32, 56, 56))
    check.equal("parameters", row.parameters, 2080)


@fact(TOPIC, "weights 4×1×9×9 on 1×224×224, padding 4: S=1 → 4×224×224, S=2 → 4×112×112")
def _nine_by_nine(check: Check) -> None:
    for stride, size in ((1, 224), (2, 112)):
        layer = Conv2d(1, 4, 9, stride, padding=4)
        check.equal("weights", layer.weight.shape, (4, 1, 9, 9))
        check.equal(f"S={stride}", layer.output_shape((1, 1, 224, 224))[1:], (4, size, size))


@fact(TOPIC, "5 filters of 5×5×3 on 32×32×3: 380 parameters shared, 297,920 locally connected")
def _sharing(check: Check) -> None:
    for name, layer, count in (
        ("shared", Conv2d(3, 5, 5), 380),
        ("locally connected", LocallyConnected2d(3, 5, 32, 5), 297_920),
    ):
        check.equal(f"{name}, output", layer.output_shape((1, 3, 32, 32))[1:], (5, 28, 28))
        check.equal(f"{name}, parameters", sum(p.size for p in layer.parameters()), count)


@fact(TOPIC, "common: conv (F,S,P) = (3,1,1) (5,1,2) (5,2,any) (1,1,0); pool (F,S) = (2,2) (3,2)")
def _common(check: Check) -> None:
    for taps, padding in ((3, 1), (5, 2), (1, 0)):
        size = Conv2d(1, 1, taps, 1, padding).output_shape((1, 1, 32, 32))[2]
        check.equal(f"conv ({taps},1,{padding}) of 32", size, 32)
    for padding in (0, 1, 2):
        size = Conv2d(1, 1, 5, 2, padding).output_shape((1, 1, 32, 32))[2]
        check.equal(f"conv (5,2,{padding}) of 32", size, (32 + 2 * padding - 5) // 2 + 1)
    for kind in (MaxPool2d, AvgPool2d):
        check.equal(f"{kind.__name__} (2,2) of 32", kind(2).output_shape((1, 1, 32, 32))[2], 16)
        check.equal(f"{kind.__name__} (3,2) of 33", kind(3, 2).output_shape((1, 1, 33, 33))[2], 16)


@fact(TOPIC, 'padding="same" keeps the size at stride 1; an even kernel pads bottom and right more')
def _padding_same(check: Check) -> None:
    for taps in (1, 2, 3, 4, 5):
        shape = Conv2d(1, 1, taps, padding="same").output_shape((1, 1, 6, 9))
        check.equal(f"F={taps}", shape[2:], (6, 9))
    layer = Conv2d(1, 1, 2, padding="same", bias=False).to(check.device, "float64")
    layer.weight.data = np.array([[[[0.0, 0.0], [0.0, 1.0]]]])  # looks down and to the right
    x = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    check.equal("looking down right", layer(x)[0, 0], np.array([[5.0, 6, 0], [0, 0, 0]]))
