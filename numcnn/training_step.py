"""One step of a training; on the GPU, one that is written down once and then repeated.

What a step costs there is often not the computing but the launching of many small kernels. Steps
with batches of one shape launch the same kernels with the same arguments, so the second of them is
only written down (`numcnn.kernels.cuda._tape`), and from then on repeated as a CUDA graph. What
differs lies in the GPU's memory. Weights, losses and everything else come out as without it, bit
for bit.

Where a step needs the host in its midst, or something has changed that a repetition wouldn't
notice, every kernel is launched by itself. `Steps.eager_because` says why.
"""

from __future__ import annotations

import contextlib
import importlib
import operator
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from .clipping import clip_in_step
from .evaluation import Tally, to_device
from .layers import Layer
from .losses import Loss
from .regularization import Penalty
from .training_state import Movers

__all__ = ["Steps"]

MOST_SHAPES = 4  # of batches, each with memory of its own; others are launched kernel by kernel
MOST_STARTS = 8  # how often all is written down anew since something has changed
OURS = "numcnn."
PASSES = {"forward", "backward", "_forward", "_backward", "_forward_relu", "_backward_relu"}
RESULTS = {"divisor", "hits", "total"}  # of a loss, some of them known behind the step only
PLAIN = (bool, int, float, str)


def _modules(model: Layer, *names: str) -> list[ModuleType]:
    """Return modules of the floor of kernels that the model's device has."""
    floor = model.device.kernels.__name__
    return [importlib.import_module(f"{floor}.{name}") for name in names]


def _obstacle(model: Layer, loss: Loss, movers: Movers) -> str | None:
    """Return why the GPU can't repeat the steps of such a training by itself, or None."""
    if not getattr(model.device, "graphs", False):
        return "graphs are switched off (get_device('cuda').graphs)"
    beside = [] if movers.penalty is None else [movers.penalty]
    for each in (*model.layers(), loss, movers.optimizer, *beside):
        if not type(each).__module__.startswith(OURS):
            return f"{type(each).__name__} is a class of your own; its Python has to run each time"
    for each in (*model.layers(), *beside):
        if not PASSES.isdisjoint(vars(each)):
            return f"somebody's function stands in the place of one of {each!r}"
    for layer in model.layers():
        if layer.device is not model.device:
            return f"{layer!r} is on another device than the network"
        if (work := layer.host_work()) is not None:
            return f"{layer!r}: {work}"
    if (work := loss.host_work()) is not None:
        return f"{loss!r}: {work}"
    moved = set(map(id, movers.optimizer.params))
    if any(id(parameter) not in moved for parameter in model.parameters()):
        return "parameters that the optimizer leaves out add up their gradients from step to step"
    return _modules(model, "_graph")[0].problem()


class Steps:
    """Takes the steps of one training, in the fastest way that gives the same numbers.

    Parameters
    ----------
    model, loss, movers
        Those of the training.

    Attributes
    ----------
    eager_because : str or None
        On the GPU: why it launches each kernel by itself, where it does. None on other devices.
    """

    def __init__(self, model: Layer, loss: Loss, movers: Movers) -> None:
        self.model, self.loss, self.movers = model, loss, movers
        self.repeats = model.device.name == "cuda"
        self.eager_because: str | None = None
        self._known: dict[tuple, Any] = {}  # for each shape of batch a log, or what is repeated
        self._seen: _Seen | None = None
        self._starts = -1  # before the first
        self._value: float | None = None  # of a penalty that has a call of its own

    def take(self, tally: Tally, xb: Any, yb: Any) -> None:
        """Take a step with a batch; `tally` finishes the loss, and then `penalty` may be asked."""
        # the first time, not before: callbacks may put functions of theirs into layers
        if self.repeats and (self._starts < 0 or (self._seen and not self._seen.still())):
            self._start_anew()
        if not self.repeats or self.eager_because is not None or len(xb) == 0:
            self._eager(tally, xb, yb)
        else:
            self._with_graph(tally, xb, yb)
        if self.movers.scheduler is not None and self.movers.plateau is None:
            self.movers.scheduler.step()

    def penalty(self) -> float:
        """Return the penalty before the last step, 0 where there is none; the GPU is waited for."""
        if self.movers.penalty is None:
            return 0.0
        return self.movers.penalty.finish() if self._value is None else self._value

    def close(self) -> None:
        """Give back what the GPU keeps for repetitions."""
        for known in self._known.values():
            if isinstance(known, _Repeated):
                known.close()
        self._known.clear()

    # ---- kernel by kernel ----------------------------------------------------------------------

    def _eager(self, tally: Tally, xb: Any, yb: Any) -> None:
        model, movers, penalty = self.model, self.movers, self.movers.penalty
        own = penalty is not None and type(penalty).__call__ is not Penalty.__call__
        if penalty is not None and not own:
            penalty.begin(model)  # before the loss: the host reads both at once
        tally.begin(xb, yb)
        model.backward(self.loss.backward())
        if penalty is not None:
            self._value = penalty(model) if own else None
            penalty.backward()
        if movers.clip_norm is not None:
            clip_in_step(model.parameters(), movers.clip_norm)
        movers.optimizer.step()
        movers.optimizer.zero_grad()

    # ---- written down, and repeated ------------------------------------------------------------

    def _with_graph(self, tally: Tally, xb: Any, yb: Any) -> None:
        """Take a step, and bring the repetition of steps of its shape one stage further."""
        (recording,) = _modules(self.model, "_recording")
        if self._seen is None:
            self._seen = _Seen(self.model, self.loss, self.movers)
        labelled = self.loss.takes_labels(yb)
        key = (tuple(xb.shape), xb.dtype, np.shape(yb), labelled, self._precision())
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_SHAPES:
                self._eager(tally, xb, yb)
                return
            with recording.listening() as launched, self._seen.during():
                self._eager(tally, xb, yb)
            self._known[key] = launched
            return
        if isinstance(known, list):
            known = self._write_down(known, xb, yb, labelled)
            if known is None:
                self._eager(tally, xb, yb)
                return
            self._known[key] = known
        tally.note(len(xb), yb, labelled)
        known.run(xb, yb)
        if known.trouble is not None:
            self._give_up(f"the GPU's driver could not repeat a step: {known.trouble}")

    def _precision(self) -> bool:
        return bool(getattr(self.model.device, "allow_tf32", False))

    def _write_down(self, launched: list, xb: Any, yb: Any, labelled: bool) -> _Repeated | None:
        """Return the step as it can be repeated; None, and a reason, if it can't."""
        gradients = [(parameter, parameter.grad) for parameter in self.model.parameters()]
        try:
            assert self._seen is not None
            with self._seen.during():
                return _Repeated(self, launched, xb, yb, labelled)
        except Exception as error:  # nothing was launched: each kernel by itself comes out the same
            for parameter, gradient in gradients:
                parameter._grad = gradient
            self._give_up(str(error) or type(error).__name__)
            return None

    def _start_anew(self) -> None:
        """Forget what was written down, and ask again whether anything can be."""
        self.close()
        self._seen = None
        self._starts += 1
        self.eager_because = _obstacle(self.model, self.loss, self.movers)
        if self._starts > MOST_STARTS:
            self._give_up("layers, parameters or settings change again and again while it trains")

    def _give_up(self, reason: str) -> None:
        self.close()
        self._seen = None
        self.eager_because = reason


class _Repeated:
    """A step with batches of one shape, written down; `run` takes it with another batch."""

    def __init__(self, steps: Steps, launched: list, xb: Any, yb: Any, labelled: bool) -> None:
        self.model, self.loss, self.labelled = steps.model, steps.loss, labelled
        self.penalty = steps.movers.penalty
        device = self.model.device
        names = "_cuda", "_graph", "_memory", "_recording", "_tape"
        cuda, graph, memory, recording, tape = _modules(self.model, *names)
        self._stream, self._reading = cuda.stream, memory.Reading
        self._x = device.empty(tuple(xb.shape), xb.dtype)
        self._y = None if labelled else device.empty(np.shape(yb), self.model.dtype or np.float32)
        self._tape = tape.Tape()
        with recording.writing(self._tape):
            steps._eager(Tally(self.model, self.loss), self._x, yb if labelled else self._y)
        self._tape.check(launched)
        self._kept = self.loss.kept()
        self._sums = None if self.penalty is None else self.penalty.kept()
        launches, cut = self._tape.launches, self._tape.cut
        self._parts = [graph.Graph(launches[:cut]), graph.Graph(launches[cut:])]

    @property
    def trouble(self) -> str | None:
        """What kept the driver from making or starting a graph."""
        return self._parts[0].trouble or self._parts[1].trouble

    def run(self, xb: Any, yb: Any) -> None:
        """Take the step with another batch."""
        self.loss.again(self._kept, yb if self.labelled else None)
        self._x.copy_to_device(xb, stream=self._stream())
        if self._y is not None:
            self._y.copy_to_device(to_device(self.model, yb), stream=self._stream())
        self._tape.fill()
        self._parts[0].run()
        *sums, figures = map(self._reading, self._tape.reads)
        self.loss.expect(figures)
        if self.penalty is not None and self._sums is not None:
            self.penalty.expect(self._sums, sums)
        self._parts[1].run()
        self._tape.finish()
        if hasattr(self.model, "input_shape"):
            self.model.input_shape = tuple(xb.shape)

    def close(self) -> None:
        """Give the graphs back to the driver."""
        for part in self._parts:
            part.close()


class _Seen:
    """What a written step takes for granted, to be compared before each repetition."""

    def __init__(self, model: Layer, loss: Loss, movers: Movers) -> None:
        self.model, self.loss, self.optimizer = model, loss, movers.optimizer
        self.penalty = [] if movers.penalty is None else [movers.penalty]
        self._own: set[tuple[int, str]] = set()  # attributes that a step itself sets
        self._look()

    def _look(self) -> None:
        self._layers, self._parameters = list(self.model.layers()), list(self.model.parameters())
        self._arrays = [parameter._data for parameter in self._parameters]
        self._state = self.optimizer._state
        self._held = [vars(each) for each in (*self._layers, self.loss, *self.penalty)]
        self._sizes = list(map(len, self._held))
        self._settings = [
            (held, name, value)
            for place, held in enumerate(self._held)
            for name, value in held.items()
            if name[0] != "_" and name not in RESULTS and (place, name) not in self._own
        ]

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Take a step; what it changes by itself needn't be the same the next time."""
        before = [dict(held) for held in self._held]
        yield
        for place, held in enumerate(self._held):
            for name, value in held.items():
                if name[0] != "_" and not _same(before[place].get(name, _Seen), value):
                    self._own.add((place, name))
        self._look()

    def still(self) -> bool:
        """Return whether all else is as it was."""
        return (
            self.optimizer._state is self._state
            and list(map(len, self._held)) == self._sizes  # nobody put in a function
            and all(_same(value, held.get(name, _Seen)) for held, name, value in self._settings)
            and list(self.model.layers()) == self._layers
            and list(self.model.parameters()) == self._parameters
            and all(map(operator.is_, (p._data for p in self._parameters), self._arrays))
        )


def _same(old: Any, new: Any) -> bool:
    """Return whether two settings are one; two arrays are only if they are the same object."""
    if old is new or type(old) is not type(new):
        return old is new
    if isinstance(new, tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(new) in PLAIN and old == new
