"""Seeing: filters made by hand, and pictures that a network asks for."""

from __future__ import annotations

import functools

import numpy as np

from ..data import digits
from ..layers import Conv2d
from ..model import Sequential
from ..models import lenet5
from ..pictures import (
    activation_maximization,
    deep_dream,
    filter_bank,
    gabor,
    gaussian,
    receptive_field,
    tuning_curves,
)
from .check import Check, fact

TOPIC = "Seeing"
ANGLES = (0, 30, 60, 90, 120, 150)


@fact(TOPIC, "Gaussian blur is a convolution with fixed weights; the Gaussian sums to 1")
def _blur(check: Check) -> None:
    check.near("sum", float(gaussian(7, 1.5).sum()), 1.0, 1e-15)
    blur = Conv2d(1, 1, 7, bias=False).to(check.device, "float64")
    blur.weight.data = filter_bank([gaussian(7, 1.5)])
    noise = np.random.default_rng(1).normal(size=(1, 1, 40, 40))
    check.near(
        "an even grey stays", blur(np.full((1, 1, 9, 9), 0.3))[0, 0], np.full((3, 3), 0.3), 1e-15
    )
    kept = float(blur(noise).std() / noise.std())
    # independent pixels: the deviation shrinks by the root of the sum of the squared weights
    check.near("noise is left", kept, float(np.sqrt(np.square(gaussian(7, 1.5)).sum())), 0.03)


@fact(TOPIC, "a Gabor filter answers strongest at its own angle")
def _gabor(check: Check) -> None:
    bank = filter_bank([gabor(15, 5, angle) for angle in ANGLES])
    curves = tuning_curves(bank, 5, ANGLES)
    check.equal("best angles", np.asarray(curves.preferred, float), np.array(ANGLES, float))
    if check.pictures:
        curves.plot(check.pictures / "tuning.png")


@functools.cache
def _trained(device: str) -> Sequential:
    (x, y), _ = digits()
    model = lenet5(seed=0, device=device)
    model.fit(x[:2000], y[:2000], epochs=2, verbose=False)
    return model


@fact(TOPIC, "activation maximisation is gradient ascent: the activation rises", shown=True)
def _maximum(check: Check) -> None:
    found = activation_maximization(_trained(check.device), 3, steps=30)
    told = f"{found.activations[0]:.2f} to {found.activations[-1]:.2f}"
    steps = np.diff(found.activations)
    check.holds("score of the three", told, found.activations[-1] > found.activations[0], "rises")
    check.holds("smallest step", float(steps.min()), bool((steps > 0).all()), "always up")
    if check.pictures:
        found.plot(check.pictures / "maximum.png")


@fact(TOPIC, "Deep Dream is ascent too: what a layer sees a little of, it sees more of", shown=True)
def _dream(check: Check) -> None:
    (x, _), _ = digits()
    dream = deep_dream(_trained(check.device), x[0], layer=3, octaves=1, steps=8)
    norms = dream.norms[-1]
    told = f"{norms[0]:.4g} to {norms[-1]:.4g}"
    check.holds("‖activation‖²", told, bool((np.diff(norms) > 0).all()), "rises with each step")
    if check.pictures:
        dream.plot(check.pictures / "dream.png")


@fact(TOPIC, "receptive field: the formula agrees with where the input's gradient isn't 0")
def _field(check: Check) -> None:
    model = Sequential(Conv2d(1, 2, 3), Conv2d(2, 2, 5, stride=2), Conv2d(2, 1, 3, dilation=2))
    field = receptive_field(model.to(check.device), -1, (1, 33, 33))
    check.equal("3×3, then 5×5 of stride 2, then 3×3 two apart", field.size, (15, 15))
    rows, columns = (int(field.mask.any(axis=axis).sum()) for axis in (1, 0))
    check.equal("rows and columns with a gradient", (rows, columns), (15, 15))
