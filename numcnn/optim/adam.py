"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..layers.base import Parameter
from .base import Optimizer, not_negative, row

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps scaled by a running mean of each gradient and of its square.

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, Algorithm 1.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Learning rate, about the size of a step.
    betas : (float, float)
        How slowly the two running means forget.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    amsgrad : bool
        Divide by the largest running mean of squares so far, so that steps can't grow again
        (Reddi, Kale and Kumar, 2018).
    """

    slots: tuple[str, ...] = ("mean", "square")
    decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr)
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{i}] must be at least 0 and below 1, got {beta}")
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = not_negative(eps, "eps")
        self.weight_decay = not_negative(weight_decay, "weight_decay")
        self.amsgrad = bool(amsgrad)
        if self.amsgrad:
            self.slots = ("mean", "square", "largest")

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        beta1, beta2 = self.betas
        parameter.device.kernels.adam_update(
            row(parameter.grad),
            float(self.lr),
            beta1,
            beta2,
            self.eps,
            self.weight_decay,
            int(self.decoupled),
            int(self.amsgrad),
            state["step"],
            row(parameter.data),
            arrays[0],
            arrays[1],
            arrays[-1],  # without amsgrad the kernel doesn't touch it
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: ``param *= 1 - lr * weight_decay`` before each step.

    In `Adam` the decay is a part of the gradient, and weights with large gradients decay less.
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Learning rate, about the size of a step.
    betas : (float, float)
        How slowly the two running means forget.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Share by which a parameter shrinks, in units of `lr`.
    amsgrad : bool
        As for `Adam`.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
