"""What every optimizer shares: parameters, the arrays kept for each of them, checks."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..device import Device
from ..layers.base import Layer, Parameter
from ..shapes import as_count

__all__ = ["Optimizer", "not_negative"]


def not_negative(value: float, name: str) -> float:
    """Return `value` as a float, or say that `name` can't be below 0, infinite or NaN."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number == math.inf:
        raise ValueError(f"{name} must be a finite number, got one beyond 1e308")
    if not number >= 0:
        raise ValueError(f"{name} must be 0 or more, got {value}")
    return number


def _row(array: Any) -> Any:
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

    kernel: str
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
        self._known: list[tuple | None] = [None for _ in self.params]  # see _rows

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
        found = [i for i, parameter in enumerate(self.params) if parameter.grad is not None]
        if not found:
            raise RuntimeError(
                "no parameter has a gradient: call model.backward(loss.backward()) before step()"
            )
        together: dict[tuple[Device, int], tuple[int, list]] = {}  # who takes the same numbers
        before: tuple = ()
        for i in found:
            parameter = self.params[i]
            taken = parameter.device, self._state[i].setdefault("step", 0)
            if taken != before:  # most often it is the same for all
                _, jobs = together.setdefault(taken, (i, []))
                before = taken
            jobs.append((_row(parameter.grad), self._rows(i)))
        for (device, _), (first, jobs) in together.items():
            numbers = device.numbers(functools.partial(self._next_numbers, first))
            device.update_all(self.kernel, numbers, jobs)
        self.params[found[0]].device.repeat(functools.partial(self._count, found))

    def _next_numbers(self, i: int) -> tuple:
        """Return what the kernel takes for the i-th parameter's next step; nothing changes."""
        return self._numbers(self._state[i]["step"] + 1)

    def _count(self, moved: list[int]) -> None:
        """Count a step of the optimizer, and one of each parameter that it moved."""
        self.steps += 1
        for i in moved:
            self._state[i]["step"] += 1

    def _rows(self, i: int) -> tuple:
        """Return the i-th parameter's values and own arrays, one row each, as the kernel has them.

        They stay the same from step to step, until somebody assigns other values.
        """
        parameter, known = self.params[i], self._known[i]
        data = parameter.data
        if known is None or known[0] is not data:
            values = _row(data)
            known = self._known[i] = data, (values, *self._in_order(values, self._own(i)))
        return known[1]

    def _own(self, i: int) -> dict[str, Any]:
        """Return the arrays kept for the i-th parameter by name, made at the first step."""
        parameter, state = self.params[i], self._state[i]
        for slot in self.slots:
            if slot not in state:
                fresh = np.full(parameter.size, self.first_value, parameter.dtype)
                state[slot] = parameter.device.to_device(fresh)
        return {slot: state[slot] for slot in self.slots}

    def _numbers(self, step: int) -> tuple:
        """Return what the kernel takes between gradient and arrays; `step` counts from 1."""
        raise TypeError(f"{type(self).__name__} must define _numbers(self, step)")

    def _in_order(self, values: Any, own: dict[str, Any]) -> tuple:
        """Return what the kernel takes behind the parameter's values, in its order."""
        return tuple(own.values())

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along: no views, which would be arrays there."""
        return self.__dict__ | {"_known": [None] * len(self.params)}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what the optimizer remembers: step counts and arrays by position."""
        state: dict[str, Any] = {"steps": self.steps, "lr": self.lr}
        for i, (parameter, own) in enumerate(zip(self.params, self._state, strict=True)):
            for name, value in own.items():
                if name != "step":
                    value = np.array(parameter.device.to_host(value)).reshape(parameter.shape)
                state[f"{i}.{name}"] = value
        return state

    def misfits(self, state: Mapping[str, Any]) -> list[str]:
        """Return what keeps a state from being that of this optimizer, a sentence each."""
        if not isinstance(state, Mapping) or not {"steps", "lr"} <= state.keys():
            return ["this is no state of an optimizer: it has no 'steps' and no 'lr'"]
        problems: list[str] = []
        for name, value in state.items():
            if name in ("steps", "lr"):
                continue
            position, _, slot = str(name).partition(".")
            if not position.isdigit() or int(position) >= len(self.params):
                problems.append(f"{name}: this optimizer has {len(self.params)} parameters")
            elif slot != "step" and slot not in self.slots:
                problems.append(f"{name}: {type(self).__name__} keeps no {slot!r}")
            elif slot != "step" and np.shape(value) != (shape := self.params[int(position)].shape):
                problems.append(f"{name} has shape {np.shape(value)}, expected {shape}")
        begun = {str(name).partition(".")[0] for name in state}
        for position in (str(i) for i in range(len(self.params)) if str(i) in begun):
            names = (f"{position}.{slot}" for slot in ("step", *self.slots))
            problems += [f"missing: {name}" for name in names if name not in state]
        return problems

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned: all of it, or nothing and an error.

        Raises
        ------
        ValueError
            If something is missing, unexpected or of another shape; the text lists it all.
        """
        problems = self.misfits(state)
        if problems:
            raise ValueError(
                "the optimizer's state doesn't fit, nothing was loaded:\n  " + "\n  ".join(problems)
            )
        steps, rate = as_count(state["steps"], "steps", 0), not_negative(state["lr"], "lr")
        fresh: list[dict[str, Any]] = [{} for _ in self.params]
        for name, value in state.items():
            if name in ("steps", "lr"):
                continue
            position, _, slot = name.partition(".")
            if slot == "step":
                fresh[int(position)][slot] = as_count(value, name, 0)
                continue
            parameter = self.params[int(position)]
            array = np.array(value, parameter.dtype).reshape(-1)
            fresh[int(position)][slot] = parameter.device.to_device(array)
        self.steps, self.lr, self._state = steps, rate, fresh
        self._known = [None for _ in self.params]

    def settings(self) -> dict[str, Any]:
        """Return the numbers that decide a step, by name: `lr`, momentum and the like."""
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name not in ("params", "steps", "slots")
        }
