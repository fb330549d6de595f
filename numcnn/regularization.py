"""Penalties for large weights, added to the loss while training.

Three things go by the name of weight decay:

- `L2` adds ``strength Σ w²`` to what is minimised, so ``2 strength w`` to each gradient; the
  optimizer treats it like the rest of the gradient.
- The ``weight_decay`` of `SGD` and `Adam` adds ``weight_decay w`` to each gradient. That is
  `L2` with ``strength = weight_decay / 2``, except that it takes in biases and that no loss
  shows it.
- The ``weight_decay`` of `AdamW` is decoupled: it shrinks each weight by a share of the learning
  rate, past the gradient. `Adam` divides gradients by their size, a penalty's included, so that
  weights with large gradients hardly decay; `AdamW` decays all alike (Loshchilov and Hutter,
  "Decoupled weight decay regularization", 2019). With plain `SGD` the two are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .layers.base import Layer, Parameter
from .optim.base import not_negative

__all__ = ["L1", "L2", "Penalty"]


class Penalty:
    """Base class: ``strength`` times the sum of each weight's size, raised to a power.

    Parameters
    ----------
    strength : float
        0 or more; often written λ.
    biases : bool
        Take in parameters of one axis too: biases, slopes, the scales of normalisations.
        By default only weights of two axes or more are held down; a bias has no influence on
        how strongly an output follows its inputs.

    Raises
    ------
    ValueError
        If `strength` is below 0.
    """

    power: int

    def __init__(self, strength: float, biases: bool = False) -> None:
        self.strength = not_negative(strength, "strength")
        self.biases = bool(biases)
        self._held: list[Parameter] | None = None
        self._begun: Any = None  # what the devices are adding up

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strength:g}{', biases=True' * self.biases})"

    def __call__(self, model: Layer) -> float:
        """Return the penalty of a model's weights, and keep them for `backward`.

        Parameters
        ----------
        model : Layer
            A network, or one layer.

        Returns
        -------
        float

        Raises
        ------
        TypeError
            If `model` is no Layer.
        """
        self.begin(model)
        return self.finish()

    def begin(self, model: Layer) -> None:
        """Have the penalty of a model's weights computed, without waiting for it on the GPU.

        `backward` may follow at once, and `finish` whenever the host wants to know the penalty.

        Raises
        ------
        TypeError
            If `model` is no Layer.
        """
        if not isinstance(model, Layer):
            raise TypeError(f"{self!r} is called on a model, got {type(model).__name__}")
        self._held = [p for p in model.parameters() if self.biases or len(p.shape) > 1]
        self._begun = _begin_sums([(p.device, p.data) for p in self._held], self.power)

    def finish(self) -> float:
        """Return the penalty that `begin` began.

        Raises
        ------
        RuntimeError
            If no `begin` went before.
        """
        if self._begun is None:
            raise RuntimeError(f"{self!r}: finish was called before begin")
        begun, self._begun = self._begun, None
        return self.strength * sum(_end_sums(begun))

    def kept(self) -> tuple[list[Parameter] | None, Any]:
        """Return what `expect` needs, behind the `begin` of a step that will be repeated."""
        return self._held, self._begun

    def expect(self, kept: tuple, sent: list) -> None:
        """Take the sums from what devices are sending in such a step, as `begin` does."""
        self._held, (devices, begun) = kept
        self._begun = devices, dict(zip(begun, sent, strict=True))

    def backward(self) -> None:
        """Add the penalty's gradient to the ``grad`` of each parameter that it holds down.

        Raises
        ------
        RuntimeError
            If the penalty wasn't called on a model before.
        """
        if self._held is None:
            raise RuntimeError(f"{self!r}: backward was called before the penalty was computed")
        for p in self._held:
            grad = p.device.empty(p.shape, p.dtype)
            p.device.kernels.power_sum_backward_input(
                p.data.reshape(-1), self.power, self.strength, grad.reshape(-1)
            )
            p.add_grad(grad)


class L1(Penalty):
    """``strength Σ |w|``: the gradient is ``strength sign(w)``, the same push for all weights.

    Small weights are pushed across 0 and back; what a loss doesn't need stays near it (Tibshirani,
    "Regression shrinkage and selection via the lasso", 1996). At exactly 0 the gradient is 0.

    Parameters
    ----------
    strength : float
        0 or more.
    biases : bool
        Take in parameters of one axis too.

    Examples
    --------
    >>> from numcnn import L1, Linear
    >>> penalty = L1(0.5)
    >>> layer = Linear(2, 1)
    >>> layer.weight.data = [[3.0, -1.0]]
    >>> penalty(layer)
    2.0
    >>> penalty.backward()
    >>> layer.weight.grad
    array([[ 0.5, -0.5]], dtype=float32)
    """

    power = 1


class L2(Penalty):
    """``strength Σ w²``: the gradient is ``2 strength w``, a push in proportion to the weight.

    Hoerl and Kennard, "Ridge regression", 1970; for networks Krogh and Hertz, "A simple weight
    decay can improve generalization", 1992.

    Parameters
    ----------
    strength : float
        0 or more. An optimizer's ``weight_decay`` is twice this number, there being no square.
    biases : bool
        Take in parameters of one axis too.
    """

    power = 2


def power_sums(arrays: list[tuple[Any, Any]], power: float) -> list[float]:
    """Return Σ |x|**power of each (device, array); for an infinite power the largest |x|."""
    return _end_sums(_begin_sums(arrays, power))


def _begin_sums(arrays: list[tuple[Any, Any]], power: float) -> tuple[list, dict]:
    """Return what `_end_sums` makes the sums of: whose each is, and what each device is sending."""
    rows: dict[Any, list] = {}
    for device, array in arrays:
        rows.setdefault(device, []).append(array.reshape(-1))
    begun = {}
    for device, own in rows.items():
        sums = device.empty((len(own),), np.float64)
        for n, row in enumerate(own):
            device.kernels.power_sum_forward(row, power, sums[n : n + 1])
        begun[device] = device.begin_reading(sums)
    return [device for device, _ in arrays], begun


def _end_sums(begun: tuple[list, dict]) -> list[float]:
    """Return the sums in the order of their arrays."""
    devices, sent = begun
    found = {device: iter(device.end_reading(each)) for device, each in sent.items()}
    return [next(found[device]) for device in devices]
