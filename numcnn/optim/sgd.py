"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..layers.base import Parameter
from .base import Optimizer, not_negative, row

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Learning rate.
    momentum : float
        Share of the last step that is kept (Polyak, 1964).
    dampening : float
        Share of the gradient that the momentum leaves out.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    nesterov : bool
        Nesterov's momentum (Sutskever et al., 2013).
    """

    slots: tuple[str, ...] = ("velocity",)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = not_negative(momentum, "momentum")
        self.dampening = float(dampening)
        self.weight_decay = not_negative(weight_decay, "weight_decay")
        self.nesterov = bool(nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov=True needs a momentum above 0 and dampening=0")
        if self.momentum == 0:
            self.slots = ()

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        param = row(parameter.data)
        grad = row(parameter.grad)
        parameter.device.kernels.sgd_update(
            grad,
            float(self.lr),
            self.momentum,
            self.dampening,
            self.weight_decay,
            int(self.nesterov),
            int(state["step"] == 1),
            param,
            arrays[0] if arrays else param,  # without momentum the kernel doesn't touch it
        )
