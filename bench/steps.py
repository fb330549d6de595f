"""A training step of a network by name, on any device; and the first step of a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from numcnn.evaluation import Tally
from numcnn.losses import CrossEntropyLoss
from numcnn.optim import Adam
from numcnn.training_state import Movers
from numcnn.training_step import Steps

from . import networks
from .side import HOME

__all__ = ["Step", "first_step"]


class Step:
    """A training step by Adam on cross-entropy, as `fit` takes it.

    Parameters
    ----------
    name : str
        One of `networks.NETWORKS`.
    batch_size : int
    device : str
    """

    def __init__(self, name: str, batch_size: int, device: str) -> None:
        self.model = networks.build(name).to(device).train()
        self.device = self.model.device
        self.loss = CrossEntropyLoss().to(device)
        self.optimizer = Adam(self.model.parameters(), lr=1e-3)
        assert self.model.input_shape is not None
        shape = (batch_size, *self.model.input_shape[1:])
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal(shape, dtype=np.float32)
        classes = self.model.output_shape(shape)[-1]
        self.y = rng.integers(0, classes, batch_size)

    def start(self, x: Any = None) -> None:
        """Begin a step; on the GPU it goes on when this has returned."""
        if x is None:
            x = self.device.receive(self.device.send(self.x, np.float32))
        with self.model.without_input_gradient():
            self.loss.begin(self.model(x), self.y)
            self.model.backward(self.loss.backward())
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run(self) -> float:
        """Take a step, and wait for its loss."""
        self.start()
        return self.loss.finish()

    def repeated(self, x: Any = None) -> Callable[[], float]:
        """Return a function that takes a step as `fit` does: on the GPU one repeated as a graph.

        `x` may be the batch as an array of the device, which then isn't copied there each time.

        Raises
        ------
        RuntimeError
            If the GPU can't repeat it; the text says why.
        """
        steps = Steps(self.model, self.loss, Movers(self.optimizer))

        def take() -> float:
            tally = Tally(self.model, self.loss)
            batch = self.device.receive(self.device.send(self.x if x is None else x, np.float32))
            with self.model.without_input_gradient():
                steps.take(tally, batch, self.y)
            value = tally.finish()
            if steps.eager_because is not None:
                raise RuntimeError(f"the step is not repeated: {steps.eager_because}")
            return value

        return take

    def results(self) -> dict[str, np.ndarray]:
        """Return loss, outputs and gradients by name, on the host; nothing is learned."""
        scores = self.model(self.device.receive(self.device.send(self.x, np.float32)))
        loss = self.loss(scores, self.y)
        found = {"output": np.array(self.device.to_host(scores)), "loss": np.array(loss)}
        self.model.backward(self.loss.backward())
        for name, parameter in self.model.named_parameters():
            found[name] = np.array(self.device.to_host(parameter.grad))
        self.model.zero_grad()
        return found


def first_step(name: str, batch_size: int, device: str, cache: str | None = None) -> dict[str, Any]:
    """Return seconds of the first and of the third step of a fresh process.

    Parameters
    ----------
    cache : path, optional
        Where compiled kernels are kept, instead of the usual place.

    Raises
    ------
    RuntimeError
        If the process fails; the text is the end of what it said.
    """
    environment = os.environ | ({} if cache is None else {"NUMCNN_CACHE_DIR": cache})
    code = f"import sys; sys.path.insert(0, {str(HOME)!r}); from numcnn.bench.steps import _report"
    command = [sys.executable, "-c", f"{code}; _report({name!r}, {batch_size}, {device!r})"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the first step of {name} on {device} failed: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _report(name: str, batch_size: int, device: str) -> None:
    """Print what `first_step` returns."""
    step = Step(name, batch_size, device)
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        step.run()
        took.append(time.perf_counter() - begin)
    print(json.dumps({"first_s": took[0], "third_s": took[2]}))
