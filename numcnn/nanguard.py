"""Find the first number of a training that is none: which layer, which pass, which array."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .callbacks import Callback, Figures
from .layers import Layer

__all__ = ["NaNGuard"]

Arrays = Sequence[tuple[str, Any]]

# What it means that nothing was found before.
DATA = "No layer before made it, so it came in with the data"
SET = "No step of the optimizer made it: it was there before, or was set by hand"
MADE = "All that it was computed from was finite, so the layer's own arithmetic overflowed"
LOSS = "No layer after it made it, so it came from the loss"
STEP = "The gradient was finite, so the step was too large: use a smaller learning rate"


class NaNGuard(Callback):
    """End the training at the first NaN or infinity, and say where it arose.

    One NaN makes all that follow from it NaN, so by the time the loss shows it, nobody knows
    where it came from. This looks at every input, parameter, output and gradient of every layer
    as soon as it is computed, and at every parameter after each step of the optimizer. That
    takes time, on a GPU a lot: use it when a training has gone wrong. Without it, nothing is
    looked at and nothing is slower.

    Raises
    ------
    FloatingPointError
        From ``fit``. The text names the pass, the epoch and batch, the layer by its place (as in
        the state dict's keys, ``3.branch.0``) and what it is, the array and the first index,
        and what that means.

    Examples
    --------
    ``model.fit(x, y, callbacks=[NaNGuard()])``
    """

    def __init__(self) -> None:
        self._model: Layer | None = None
        self._names: dict[int, str] = {}
        self._watched: list[_Watched] = []
        self._epoch = self._batch = 1

    def on_train_begin(self, model: Layer) -> None:
        """Begin to watch every layer."""
        self._model = model
        self._epoch = self._batch = 1
        for name, layer in _named_layers(model):
            self._names[id(layer)] = name
            self._watched.append(_Watched(layer, "_forward", self._after_forward))
            self._watched.append(_Watched(layer, "_backward", self._after_backward))

    def state_dict(self) -> Figures:
        """Return the numbers of the next epoch and batch."""
        return {"epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Figures) -> None:
        """Take over what `state_dict` returned."""
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])

    def on_train_end(self) -> None:
        """Leave every layer as it was."""
        while self._watched:
            self._watched.pop().release()
        self._names = {}
        self._model = None

    def on_batch_end(self, batch: int, figures: Figures) -> None:
        """Look at the loss and at what the optimizer's step made of the parameters."""
        assert self._model is not None
        place = f"epoch {self._epoch}, batch {self._batch}"
        nothing_counted = math.isnan(figures.get("accuracy", 0.0))  # all labels were ignored
        if not math.isfinite(figures["loss"]) and not nothing_counted:
            raise FloatingPointError(
                f"the loss of {place} is {figures['loss']}, while every output and gradient of "
                f"the network was finite: the loss itself overflowed; are the targets sound?"
            )
        for _, layer, own in self._model._named_state():
            cause = DATA if own in layer._buffers else STEP
            self._look(layer, f"the update after {place}", own, layer._read(own), cause)
        self._batch += 1

    def on_epoch_end(self, epoch: int, figures: Figures) -> None:
        """Count."""
        self._epoch += 1
        self._batch = 1

    def _after_forward(self, layer: Layer, x: Any, y: Any) -> None:
        place = self._during("forward")
        self._look(layer, place, "the input", x, DATA)
        for name, values in _parameters(layer):
            self._look(layer, place, name, values, SET)
        used = [("the input", x), *_parameters(layer)]
        self._look(layer, place, "the output", y, MADE, used)

    def _after_backward(self, layer: Layer, dy: Any, dx: Any) -> None:
        place = self._during("backward")
        self._look(layer, place, "the gradient of the output", dy, LOSS)
        used = [("the gradient of the output", dy), *_parameters(layer)]
        for name, parameter in layer._parameters.items():
            self._look(layer, place, f"the gradient of {name}", parameter.grad, MADE, used)
        self._look(layer, place, "the gradient of the input", dx, MADE, used)

    def _during(self, which: str) -> str:
        """Return which pass this is, and when."""
        assert self._model is not None
        if not self._model.training:
            return f"the evaluation after epoch {self._epoch - (self._batch == 1)}"
        return f"the {which} pass of epoch {self._epoch}, batch {self._batch}"

    def _look(
        self, layer: Layer, place: str, what: str, values: Any, cause: str, used: Arrays = ()
    ) -> None:
        """Raise if an array holds a number that is none; `used` is what it was computed from."""
        if values is None:
            return
        host = layer.device.to_host(values)
        finite = np.isfinite(host)
        if finite.all():
            return
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        kind = "NaN" if np.isnan(host[where]) else "infinity"
        name = self._names[id(layer)]
        shown = f"layer {name}, {layer!r}" if name else f"the network, {type(layer).__name__}"
        sizes = [
            f"{array} up to {np.abs(layer.device.to_host(numbers)).max(initial=0):.3g}"
            for array, numbers in used
        ]
        raise FloatingPointError(
            f"{kind} in {place}: {what} of {shown}, at [{', '.join(map(str, where))}], the first "
            f"of {host.size - int(finite.sum())} among {host.size} numbers of shape {host.shape}. "
            f"{cause}{'; magnitudes: ' * bool(sizes)}{', '.join(sizes)}."
        )


class _Watched:
    """Stands in for a layer's `_forward` or `_backward`, and shows what came in and went out."""

    def __init__(self, layer: Layer, method: str, look: Callable[[Layer, Any, Any], None]) -> None:
        self.layer, self.method, self.look = layer, method, look
        self.plain = getattr(layer, method)
        self.before = layer.__dict__.get(method)
        setattr(layer, method, self)

    def __call__(self, given: Any) -> Any:
        made = self.plain(given)
        self.look(self.layer, given, made)
        return made

    def __reduce__(self) -> tuple:
        return getattr, (self.layer, self.method)  # a copy of the layer isn't watched

    def release(self) -> None:
        """Put back what was there."""
        if self.before is None:
            delattr(self.layer, self.method)
        else:
            setattr(self.layer, self.method, self.before)


def _named_layers(layer: Layer, name: str = "") -> Iterator[tuple[str, Layer]]:
    """Iterate over a layer and all inside it, with the names of the state dict's keys."""
    yield name, layer
    for own, child in layer.children():
        yield from _named_layers(child, f"{name}.{own}".strip("."))


def _parameters(layer: Layer) -> list[tuple[str, Any]]:
    return [(name, parameter.data) for name, parameter in layer._parameters.items()]
