"""What all losses share: one number out of many, and the gradients of the many out of one."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from ..device import get_device, is_gpu_array
from ..layers.parameter import as_array, is_ready
from ..shapes import ShapeError

__all__ = ["Loss"]


class Loss:
    """Base class: turns losses per element into one number, and that into their gradients.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Average the losses, add them up, or return them all as an array.

    Attributes
    ----------
    total : float
        Sum of the losses of the last `forward`, before any averaging.
    divisor : float
        What the reduction divided `total` by: the number of losses, or the sum of their weights
        (an ignored label has none); 1 where nothing is averaged. The mean over several batches
        is the sum of their totals by the sum of their divisors.
    hits : int
        Labels of the last `begin` whose class had the highest score.
    ignore_index : int or None
        Label of the rows that take no part, for losses that have such a label.
    """

    reductions: tuple[str, ...] = ("mean", "sum", "none")
    ignore_index: int | None = None

    def __init__(self, reduction: str = "mean") -> None:
        if not isinstance(reduction, str) or reduction not in self.reductions:
            choices = ", ".join(map(repr, self.reductions))
            raise ValueError(f"reduction must be one of {choices}, got {reduction!r}")
        self.reduction = reduction
        self.device = get_device("cpu")
        self.total = 0.0
        self.divisor = 1.0
        self.hits = 0
        self._saved: tuple | None = None
        self._shape: tuple[int, ...] = ()
        self._begun: Any = None  # what the device is adding up

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray):
                shown.append(f"{name}={np.array2string(value, threshold=6, edgeitems=2)}")
            elif value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def to(self, device: str) -> Loss:
        """Move to another device, and return self."""
        self.device = get_device(device)
        self._saved = None
        return self

    def takes_labels(self, target: Any) -> bool:
        """Return whether this loss takes `target` as class numbers, so that hits can be counted."""
        return False

    def check_target(self, target: Any, shape: tuple[int, ...]) -> None:
        """Raise what `forward` would raise of this target for predictions of this shape.

        Only what is quickly seen: shapes and labels.
        """

    def __call__(self, pred: Any, target: Any) -> Any:
        """Return ``self.forward(pred, target)``."""
        return self.forward(pred, target)

    def forward(self, pred: Any, target: Any) -> Any:
        """Return the loss of a prediction.

        Parameters
        ----------
        pred : array
            What the model put out.
        target : array
            What it should have been; the class says in which form.

        Returns
        -------
        float, or array with ``reduction="none"``

        Raises
        ------
        ShapeError
            If the two don't fit each other.
        ValueError, TypeError
            If the target can't be meant, for example a label that isn't one of the classes.
        """
        losses = self.begin(pred, target)
        value = self.finish()
        return self.device.to_host(losses) if self.reduction == "none" else value

    def begin(self, pred: Any, target: Any, count_hits: bool = False) -> Any:
        """Compute the losses as `forward` does, and return them as an array of the device.

        On the GPU nothing is waited for: `backward` may follow at once, and `finish` whenever the
        host wants to know the loss.

        Parameters
        ----------
        pred, target : array
            As for `forward`.
        count_hits : bool
            Have `hits` counted; only where `takes_labels`.
        """
        self._saved = None
        if is_gpu_array(pred) and self.device.name != "cuda":
            self.device = get_device("cuda")
        if not is_ready(pred, self.device, None):
            what = f"the prediction given to {type(self).__name__}"
            pred = as_array(pred, self.device, None, what)
        if 0 in pred.shape:
            raise ShapeError(f"{self!r}: the prediction is empty: shape {tuple(pred.shape)}")
        losses = self._losses(pred, target)
        self._shape = tuple(losses.shape)
        counted = self._scored(pred, target) if count_hits else ()
        self._begun = self.device.begin_figures(losses, *counted)
        if self.device.name != "cuda":
            self._know()
        self.divisor = self._divisor()
        return losses

    def finish(self) -> float:
        """Return the loss that `begin` began, reduced to one number ("none": their sum).

        Raises
        ------
        RuntimeError
            If no `begin` went before.
        ValueError
            If the arrays can't be meant; on the GPU that is seen only now.
        """
        self._know()
        return float(self._divided(self.total))

    def _know(self) -> None:
        """Take what the device has added up."""
        if self._begun is None:
            return
        begun, self._begun = self._begun, None
        self.total, self.hits = self.device.end_figures(begun)
        if not math.isfinite(self.total):
            saved, self._saved = self._saved, None
            self._explain(saved)
            self._saved = saved

    def _scored(self, pred: Any, target: Any) -> tuple[Any, ...]:
        """Return scores (N, C, P), labels (N, P) and the label to ignore, for counting hits."""
        count, classes, *rest = pred.shape
        return pred.reshape(count, classes, math.prod(rest)), self._place(target), self.ignore_index

    def _place(self, labels: Any) -> Any:
        """Return labels as an array (N, P) of the device."""
        rows = np.reshape(labels, (len(labels), -1))
        return self.device.receive(self.device.send(rows, np.int64))

    def backward(self, upstream: Any = 1.0) -> Any:
        """Return the gradient of the last `forward` with respect to its prediction.

        Parameters
        ----------
        upstream : float or array
            Gradient of what follows the loss; with ``reduction="none"`` an array of the losses'
            shape may be given.

        Raises
        ------
        RuntimeError
            If no `forward` went before.
        """
        if self._saved is None:
            raise RuntimeError(f"{self!r}: backward was called before the loss was computed")
        if not isinstance(upstream, float):
            upstream = self._checked_upstream(upstream)
        if np.ndim(upstream) == 0:  # the divisor may be another one in the next step
            (share,) = self.device.numbers(lambda: (float(self._divided(upstream)),))
            return self._backward(share)
        return self._backward(self._divided(upstream))

    def _upstream(self, dlosses: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return the gradients of the losses as an array of the device, of `shape`.

        Parameters
        ----------
        dlosses : float or ndarray
            One number for all, or an array that can be repeated to the losses' own shape.
        """
        if np.ndim(dlosses) == 0:
            return self.device.filled(dlosses, shape, dtype)
        whole = np.empty(self._shape, dtype)
        whole[...] = dlosses
        return self.device.to_device(whole.reshape(shape))

    def _checked_upstream(self, upstream: Any) -> Any:
        """Return `upstream` as an array: a number, or with "none" one for each loss."""
        what = f"the gradient given to {self!r}"
        array = as_array(upstream, get_device("reference"), np.dtype(np.float64), what)
        if array.size != 1 and (self.reduction != "none" or array.shape != self._shape):
            takes = "one number" if self.reduction != "none" else f"a number or shape {self._shape}"
            raise ShapeError(f"{self!r}: backward takes {takes}, got shape {array.shape}")
        return array.reshape(()) if array.size == 1 else array

    def kept(self) -> tuple:
        """Return what `again` needs, behind the first pass of a step that will be repeated."""
        return self._saved, self._shape

    def again(self, kept: tuple, target: Any) -> None:
        """Be as after a pass against `target` that is the GPU's to make.

        Parameters
        ----------
        kept : tuple
            What `kept` returned behind a pass with arrays of the same shapes.
        target : array or None
            Labels; None where the target is an array of numbers, which only the GPU looks at.

        Raises
        ------
        ValueError, TypeError
            If the target can't be meant.
        """
        self._saved, self._shape = kept
        self._take(target)
        self.divisor = self._divisor()

    def expect(self, begun: Any) -> None:
        """Take the loss from what the GPU is adding up, as `begin` does."""
        self._begun = begun

    def host_work(self) -> str | None:
        """Return what the host does in every pass, in words, if the GPU can't repeat one alone."""
        return None

    def _take(self, target: Any) -> None:
        """Check and keep what the host has to know of a target; here, nothing."""

    def _divided(self, value: Any) -> Any:
        """Return a number or an array by the divisor; that is 0 where every label is ignored."""
        if self.divisor:
            return value / self.divisor
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.divide(value, self.divisor)

    def _divisor(self) -> float:
        """Return what the sum of the last losses is divided by."""
        return self._count() if self.reduction == "mean" else 1.0

    def _count(self) -> float:
        """Return how many losses there were, each counted with its weight."""
        return float(math.prod(self._shape))

    def _explain(self, saved: Any) -> None:
        """Raise ValueError if the losses are no finite numbers since the arrays can't be meant.

        `saved` is what `_losses` kept. That the losses show it spares a look at every array.
        """

    def _losses(self, pred: Any, target: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _losses(self, pred, target)")

    def _backward(self, dlosses: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _backward(self, dlosses)")
