"""Optimizers: how a gradient becomes a step, with the names and defaults of ``torch.optim``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .layers.base import Layer, Parameter
from .shapes import as_count

__all__ = ["SGD", "Adam", "Optimizer"]


def _not_negative(value: float, name: str) -> float:
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more, got {value}")
    return float(value)


class Optimizer:
    """Base class: holds parameters, and the arrays that an optimizer keeps for each of them.

    Parameters
    ----------
    params : iterable of Parameter
        As ``model.parameters()`` gives them.
    lr : float
        Learning rate; may be changed between steps through the attribute ``lr``.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Parameter], lr: float) -> None:
        if isinstance(params, Layer):
            raise TypeError("give the optimizer the model's parameters: model.parameters()")
        self.params = list(params)
        for parameter in self.params:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"an optimizer takes Parameters, got {type(parameter).__name__}")
        if not self.params:
            raise ValueError("the optimizer got no parameters; nothing would ever be learned")
        self.lr = _not_negative(lr, "lr")
        self.steps = 0
        self._state: list[dict[str, Any]] = [{} for _ in self.params]

    def zero_grad(self) -> None:
        """Forget every gradient."""
        for parameter in self.params:
            parameter.zero_grad()

    def step(self) -> None:
        """Move every parameter that has a gradient.

        Raises
        ------
        RuntimeError
            If no parameter has a gradient, because ``backward`` wasn't called.
        """
        if all(parameter.grad is None for parameter in self.params):
            raise RuntimeError(
                "no parameter has a gradient: call model.backward(loss.backward()) before step()"
            )
        self.steps += 1
        for parameter, state in zip(self.params, self._state, strict=True):
            if parameter.grad is not None:
                self._update(parameter, self._arrays(parameter, state), state)

    def _arrays(self, parameter: Parameter, state: dict[str, Any]) -> list[Any]:
        """Return the parameter's own arrays as 1-D views, made of zeros at the first step."""
        state.setdefault("step", 0)
        state["step"] += 1
        for slot in self.slots:
            if slot not in state:
                zeros = np.zeros(parameter.shape, parameter.dtype)
                state[slot] = parameter.device.to_device(zeros)
        return [state[slot].reshape(-1) for slot in self.slots]

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        raise TypeError(f"{type(self).__name__} must define _update")

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what the optimizer remembers: step counts and arrays by position."""
        state: dict[str, Any] = {"steps": self.steps, "lr": self.lr}
        for i, (parameter, own) in enumerate(zip(self.params, self._state, strict=True)):
            for name, value in own.items():
                host = value if name == "step" else np.array(parameter.device.to_host(value))
                state[f"{i}.{name}"] = host
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned: all of it, or nothing and an error."""
        fresh: list[dict[str, Any]] = [{} for _ in self.params]
        for name, value in state.items():
            if name in ("steps", "lr"):
                continue
            position, _, slot = name.partition(".")
            if not position.isdigit() or int(position) >= len(self.params):
                raise ValueError(f"{name}: this optimizer has {len(self.params)} parameters")
            if slot != "step" and slot not in self.slots:
                raise ValueError(f"{name}: {type(self).__name__} keeps no {slot!r}")
            parameter = self.params[int(position)]
            if slot == "step":
                fresh[int(position)][slot] = as_count(int(value), name, 0)
                continue
            array = np.asarray(value, parameter.dtype)
            if array.shape != parameter.shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {parameter.shape}")
            fresh[int(position)][slot] = parameter.device.to_device(array.copy())
        self.steps, self.lr, self._state = int(state["steps"]), float(state["lr"]), fresh


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
        self.momentum = _not_negative(momentum, "momentum")
        self.dampening = float(dampening)
        self.weight_decay = _not_negative(weight_decay, "weight_decay")
        self.nesterov = bool(nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov=True needs a momentum above 0 and dampening=0")
        if self.momentum == 0:
            self.slots = ()

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        param = parameter.data.reshape(-1)
        grad = parameter.grad.reshape(-1)
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
    """

    slots = ("mean", "square")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{i}] must be at least 0 and below 1, got {beta}")
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = _not_negative(eps, "eps")
        self.weight_decay = _not_negative(weight_decay, "weight_decay")

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        parameter.device.kernels.adam_update(
            parameter.grad.reshape(-1),
            float(self.lr),
            *self.betas,
            self.eps,
            self.weight_decay,
            state["step"],
            parameter.data.reshape(-1),
            *arrays,
        )
