"""Optimizers that scale each element by the gradients it has seen: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..layers.base import Parameter
from .base import Optimizer, not_negative, row

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of the squared gradient.

    Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Learning rate.
    alpha : float
        How slowly the running mean forgets.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    momentum : float
        Share of the last step that is kept.
    centered : bool
        Divide by the root of the variance: the square of the mean is subtracted (Graves, 2013).
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.alpha = not_negative(alpha, "alpha")
        self.eps = not_negative(eps, "eps")
        self.weight_decay = not_negative(weight_decay, "weight_decay")
        self.momentum = not_negative(momentum, "momentum")
        self.centered = bool(centered)
        wanted = (True, self.centered, self.momentum > 0)
        names = ("square", "mean", "velocity")
        self.slots = tuple(name for name, used in zip(names, wanted, strict=True) if used)

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        own = dict(zip(self.slots, arrays, strict=True))
        square = own["square"]  # also in the place of what the kernel won't touch
        parameter.device.kernels.rmsprop_update(
            row(parameter.grad),
            float(self.lr),
            self.alpha,
            self.eps,
            self.weight_decay,
            self.momentum,
            int(self.centered),
            row(parameter.data),
            square,
            own.get("mean", square),
            own.get("velocity", square),
        )


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Learning rate.
    lr_decay : float
        The rate of step t is ``lr / (1 + (t - 1) * lr_decay)``.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    initial_accumulator_value : float
        Where the sums begin.
    eps : float
        Keeps the division finite.
    """

    slots = ("total",)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr)
        self.lr_decay = not_negative(lr_decay, "lr_decay")
        self.weight_decay = not_negative(weight_decay, "weight_decay")
        self.first_value = not_negative(initial_accumulator_value, "initial_accumulator_value")
        self.eps = not_negative(eps, "eps")

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        parameter.device.kernels.adagrad_update(
            row(parameter.grad),
            float(self.lr),
            self.lr_decay,
            self.weight_decay,
            self.eps,
            state["step"],
            row(parameter.data),
            *arrays,
        )


class Adadelta(Optimizer):
    """Steps as large as recent steps were, relative to recent gradients.

    Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Factor of each step.
    rho : float
        How slowly the running means forget.
    eps : float
        Keeps the division finite, and the first steps above 0.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    """

    slots = ("square", "moved")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.rho = not_negative(rho, "rho")
        if self.rho > 1:
            raise ValueError(f"rho must be between 0 and 1, got {rho}")
        self.eps = not_negative(eps, "eps")
        self.weight_decay = not_negative(weight_decay, "weight_decay")

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        parameter.device.kernels.adadelta_update(
            row(parameter.grad),
            float(self.lr),
            self.rho,
            self.eps,
            self.weight_decay,
            row(parameter.data),
            *arrays,
        )
