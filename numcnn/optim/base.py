"""What every optimizer shares: parameters, the arrays kept for each of them, checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..layers.base import Layer, Parameter
from ..shapes import as_count

__all__ = ["Optimizer", "not_negative", "row"]


def not_negative(value: float, name: str) -> float:
    """Return `value`, or say that `name` can't be below 0."""
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more, got {value}")
    return float(value)


def row(array: Any) -> Any:
    """Return all numbers of `array` in one row; nothing is copied."""
    return array if array.ndim == 1 else array.reshape(-1)


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
    first_value = 0.0  # of every number in the slots

    def __init__(self, params: Iterable[Parameter], lr: float) -> None:
        if isinstance(params, Layer):
            raise TypeError("give the optimizer the model's parameters: model.parameters()")
        self.params = list(params)
        for parameter in self.params:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"an optimizer takes Parameters, got {type(parameter).__name__}")
        if not self.params:
            raise ValueError("the optimizer got no parameters; nothing would ever be learned")
        self.lr = not_negative(lr, "lr")
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
        found = [
            pair for pair in zip(self.params, self._state, strict=True) if pair[0].grad is not None
        ]
        if not found:
            raise RuntimeError(
                "no parameter has a gradient: call model.backward(loss.backward()) before step()"
            )
        self.steps += 1
        for parameter, state in found:
            self._update(parameter, self._arrays(parameter, state), state)

    def _arrays(self, parameter: Parameter, state: dict[str, Any]) -> list[Any]:
        """Return the parameter's own arrays, one row each, made at the first step."""
        state["step"] = state.get("step", 0) + 1
        for slot in self.slots:
            if slot not in state:
                fresh = np.full(parameter.size, self.first_value, parameter.dtype)
                state[slot] = parameter.device.to_device(fresh)
        return [state[slot] for slot in self.slots]

    def _update(self, parameter: Parameter, arrays: list[Any], state: dict[str, Any]) -> None:
        raise TypeError(f"{type(self).__name__} must define _update")

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what the optimizer remembers: step counts and arrays by position."""
        state: dict[str, Any] = {"steps": self.steps, "lr": self.lr}
        for i, (parameter, own) in enumerate(zip(self.params, self._state, strict=True)):
            for name, value in own.items():
                if name != "step":
                    value = np.array(parameter.device.to_host(value)).reshape(parameter.shape)
                state[f"{i}.{name}"] = value
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
            fresh[int(position)][slot] = parameter.device.to_device(array.reshape(-1).copy())
        self.steps, self.lr, self._state = int(state["steps"]), float(state["lr"]), fresh
