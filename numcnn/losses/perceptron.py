"""The perceptron's loss: what makes a step of gradient descent Rosenblatt's learning rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers.parameter import as_array
from ..layers.units import low_answer
from ..shapes import ShapeError
from .base import Loss

__all__ = ["PerceptronLoss"]


class PerceptronLoss(Loss):
    """The criterion that the perceptron rule goes down: 0 for a right answer, |a| for a wrong one.

    A threshold unit with the weighted sum a answers ``y = step(a)``, where t was wanted. Its loss
    is ``(y - t) a``, never below 0, and the gradient with respect to a is ``y - t``. So a `Linear`
    layer, this loss and `SGD` make up Rosenblatt's rule, ``w += lr (t - y) x``: only examples
    answered wrongly move the weights (Rosenblatt, "The perceptron", 1958).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        With "sum", and with one example of one unit at a time whatever it is, the rule holds to
        the letter; "mean" divides the step by the number of answers.
    convention : {"signed", "binary"}
        Whether a unit that is off answers -1 or 0, as for `Step`. Signed, the loss is
        ``2 max(0, -t a)``; binary, with targets 0 and 1, half of that.

    Raises
    ------
    ValueError
        If `reduction` or `convention` is something else.

    Notes
    -----
    `pred` holds weighted sums, before any Step, in any shape; `target` has the same shape and
    holds answers of the convention. With a = 0 the unit is off. If some line (plane, ...) through
    the origin parts the examples with a margin γ and none is further than R from the origin, the
    rule, starting from zero, errs (R / γ)² times at most (Novikoff, "On convergence proofs for
    perceptrons", 1962); for one that needn't go through the origin, count the bias as a weight of
    an input that is always 1. If there is none, as for XOR, it never comes to rest (Minsky and
    Papert, "Perceptrons", 1969).

    Examples
    --------
    >>> import numpy as np
    >>> from numcnn import PerceptronLoss
    >>> loss = PerceptronLoss("sum")
    >>> loss(np.array([2.0, -3.0]), np.array([1.0, 1.0]))
    6.0
    >>> loss.backward()
    array([ 0., -2.])
    """

    def __init__(self, reduction: str = "mean", convention: str = "signed") -> None:
        super().__init__(reduction)
        self.low = low_answer(convention)
        self.convention = convention

    def __repr__(self) -> str:
        own = [] if self.reduction == "mean" else [f"reduction={self.reduction!r}"]
        own += [] if self.convention == "signed" else [f"convention={self.convention!r}"]
        return f"{type(self).__name__}({', '.join(own)})"

    def host_work(self) -> str | None:
        """Return that the targets are looked at."""
        return "its targets are checked on the host"

    def _losses(self, pred: Any, target: Any) -> Any:
        target = as_array(target, self.device, np.dtype(pred.dtype), f"the target of {self!r}")
        if tuple(target.shape) != tuple(pred.shape):
            raise ShapeError(
                f"{self!r}: prediction and target must have one shape, got {tuple(pred.shape)} "
                f"and {tuple(target.shape)}"
            )
        self._check_answers(self.device.to_host(target))
        losses = self.device.empty(tuple(pred.shape), pred.dtype)
        self.device.kernels.perceptron_forward(
            pred.reshape(-1), target.reshape(-1), self.low, losses.reshape(-1)
        )
        self._saved = (pred, target)
        return losses

    def _check_answers(self, target: np.ndarray) -> None:
        wrong = target[(target != 1) & (target != self.low)]
        if wrong.size:
            other = "binary" if self.convention == "signed" else "signed"
            hint = f"; for these say convention={other!r}" if wrong[0] == -1 - self.low else ""
            raise ValueError(f"{self!r} expects targets {self.low:g} and 1, got {wrong[0]:g}{hint}")

    def _backward(self, dlosses: Any) -> Any:
        pred, target = self._saved  # type: ignore[misc]
        dpred = self.device.empty(tuple(pred.shape), pred.dtype)
        upstream = self._upstream(dlosses, tuple(pred.shape), pred.dtype)
        self.device.kernels.perceptron_backward_input(
            pred.reshape(-1), target.reshape(-1), self.low, upstream.reshape(-1), dpred.reshape(-1)
        )
        return dpred
