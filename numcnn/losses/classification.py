"""Losses against classes: their numbers, or for cross-entropy also their probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..device import is_gpu_array
from ..layers.parameter import as_array
from ..shapes import ShapeError
from .base import Loss
from .labels import as_ignored, as_weight, check_labels, class_weights

__all__ = ["CrossEntropyLoss", "MultiMarginLoss", "NLLLoss"]


def _columns(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (N, C, P) for (N, C, ...): P predictions of C numbers in each of N examples."""
    return shape[0], shape[1], math.prod(shape[2:])


class _LabelLoss(Loss):
    """A loss against integer labels; arrays are seen as (N, C, everything else)."""

    def __init__(self, weight: Any, reduction: str) -> None:
        super().__init__(reduction)
        self.weight = as_weight(weight, type(self).__name__)
        if self.weight is not None and self.weight.ndim != 1:
            raise ShapeError(
                f"{type(self).__name__}: weight must be a row of numbers, one for each class, "
                f"got shape {self.weight.shape}"
            )
        self._labels: np.ndarray = np.empty(0, np.int64)
        self._expected: tuple[int, ...] = ()  # shape of the scores that the labels are for
        self._placed: Any = None  # the labels as an array of the device
        self._made: Any = None  # the weights as an array of the device
        self._made_for: tuple | None = None  # and for which classes, dtype and device

    def takes_labels(self, target: Any) -> bool:
        """Return True: these losses take nothing else."""
        return True

    def check_target(self, target: Any, shape: tuple[int, ...]) -> None:
        """Raise what is wrong with labels for scores of this shape."""
        self._checked(target, shape)

    def _checked(self, target: Any, shape: tuple[int, ...]) -> np.ndarray:
        return check_labels(target, shape, self, self.ignore_index)

    def _labels_taken(self, target: Any, shape: tuple[int, ...]) -> Any:
        """Check the labels, keep them, and return them as (N, P) on the device."""
        self._expected = shape
        self._take(target)
        self._placed = self.device.feed(self._rows, np.int64)
        return self._placed

    def _take(self, target: Any) -> None:
        if target is not None:
            self._labels = self._checked(target, self._expected)

    def _rows(self) -> np.ndarray:
        """Return the labels as (N, P), on the host."""
        return self._labels.reshape(len(self._labels), -1)

    def kept(self) -> tuple:
        """Return what `again` needs; the labels' array is that of the step."""
        return (*super().kept(), self._expected, self._placed)

    def again(self, kept: tuple, target: Any) -> None:
        """Be as after a pass against `target`, as `Loss.again` describes it."""
        self._expected, self._placed = kept[2:]
        super().again(kept[:2], target)

    def _weights(self, pred: Any) -> Any:
        """Return one weight for each class, on the device; they are the same at every call."""
        wanted = pred.shape[1], pred.dtype, self.device
        if self._made_for != wanted:
            weights = class_weights(self.weight, pred.shape[1], pred.dtype, self)
            self._made = self.device.to_device(weights)
            self._made_for = wanted
        return self._made

    def _scored(self, pred: Any, target: Any) -> tuple[Any, ...]:
        return pred.reshape(*_columns(tuple(pred.shape))), self._placed, self.ignore_index

    def _weight_of_labels(self) -> float:
        """Return the sum of the weights of the labels, the ignored ones left out."""
        counted = self._labels != self.ignore_index
        if self.weight is None:
            return float(np.count_nonzero(counted))
        return float(self.weight[self._labels[counted]].sum(dtype=np.float64))


class CrossEntropyLoss(_LabelLoss):
    """Cross-entropy of raw scores against classes; the softmax is inside.

    ``-log softmax(pred)[target]``, averaged over the batch.

    Parameters
    ----------
    weight : array, shape (C,), optional
        How much each class counts; by default all count 1.
    ignore_index : int
        Label of rows that take no part: their loss and gradient are 0.
    reduction : {"mean", "sum", "none"}
        With labels, "mean" divides by the sum of the weights of the labels, ignored ones left
        out (so it is nan where all are ignored); with probabilities, by the number of rows.
    label_smoothing : float
        From 0 to 1: this share of every target is spread evenly over all classes (Szegedy et
        al., 2016).

    Notes
    -----
    `pred` is (N, C) or (N, C, ...) raw scores, `target` either class numbers (N,) or (N, ...), or
    an array of floats of the shape of `pred`: the probability of every class, for which the loss
    is ``-sum(weight * target * log softmax(pred))``. They may be any numbers; that they add up to
    1 isn't asked.

    A model trained with this loss doesn't end in Softmax. The gradient is
    ``softmax(pred) - one_hot(target)``, divided by N (Bridle, 1990). Names and order of the
    arguments are PyTorch's; all but the first are given by name.

    Raises
    ------
    ShapeError, TypeError, ValueError
        If target or weight can't belong to the scores.
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index: int = as_ignored(ignore_index, "CrossEntropyLoss")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be from 0 to 1, got {label_smoothing!r}"
            )
        self.label_smoothing = float(label_smoothing)

    def takes_labels(self, target: Any) -> bool:
        """Return whether the target holds class numbers; an array of floats: probabilities."""
        if is_gpu_array(target):
            return False
        return np.asarray(target).dtype.kind != "f"

    def check_target(self, target: Any, shape: tuple[int, ...]) -> None:
        """Raise what is wrong with labels or probabilities for scores of this shape."""
        if self.takes_labels(target) or np.shape(target) != shape:
            super().check_target(target, shape)
        else:
            self._check_soft(shape)

    def _check_soft(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise ShapeError(f"{self!r} expects scores of shape (N, classes), got {shape}")
        if self.ignore_index >= 0:
            raise ValueError(
                f"{self!r}: ignore_index names a label, and these targets are probabilities; "
                f"leave it out, or give labels"
            )

    def _losses(self, pred: Any, target: Any) -> Any:
        shape = tuple(pred.shape)
        soft = not self.takes_labels(target) and tuple(np.shape(target)) == shape
        if soft:
            self._check_soft(shape)
            dtype = np.dtype(pred.dtype)
            shares = as_array(target, self.device, dtype, "the target of CrossEntropyLoss")
            shares = shares.reshape(_columns(shape))
            forward = self.device.kernels.soft_target_cross_entropy_forward
            given: tuple = (shares, self._weights(pred), self.label_smoothing)
        else:
            labels = self._labels_taken(target, shape)
            forward = self.device.kernels.softmax_cross_entropy_forward
            given = (labels, self._weights(pred), self.ignore_index, self.label_smoothing)
        scores = pred.reshape(_columns(shape))
        losses = self.device.empty((shape[0], scores.shape[2]), pred.dtype)
        probabilities = self.device.empty(_columns(shape), pred.dtype)
        forward(scores, *given, losses, probabilities)
        self._saved = (soft, probabilities, given, shape)
        return losses.reshape(shape[0], *shape[2:])

    def _count(self) -> float:
        soft = self._saved is not None and self._saved[0]
        return super()._count() if soft else self._weight_of_labels()

    def _backward(self, dlosses: Any) -> Any:
        soft, probabilities, given, shape = self._saved  # type: ignore[misc]
        dscores = self.device.empty(tuple(probabilities.shape), probabilities.dtype)
        rows = (shape[0], probabilities.shape[2])
        upstream = self._upstream(dlosses, rows, probabilities.dtype)
        kernels = self.device.kernels
        backward = kernels.softmax_cross_entropy_backward_input
        if soft:
            backward = kernels.soft_target_cross_entropy_backward_input
        backward(probabilities, *given, upstream, dscores)
        return dscores.reshape(*shape)


class NLLLoss(_LabelLoss):
    """Negative log-likelihood: what `CrossEntropyLoss` is, for a model that ends in LogSoftmax.

    Parameters
    ----------
    weight : array, shape (C,), optional
        How much each class counts; by default all count 1.
    ignore_index : int
        Label of rows that take no part: their loss and gradient are 0.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the sum of the weights of the labels, ignored ones left out.

    Notes
    -----
    `pred` is (N, C) or (N, C, ...) log-probabilities, `target` the class numbers. All arguments
    but the first are given by name.
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index: int = as_ignored(ignore_index, "NLLLoss")

    def _losses(self, pred: Any, target: Any) -> Any:
        shape = tuple(pred.shape)
        labels, weight = self._labels_taken(target, shape), self._weights(pred)
        losses = self.device.empty(tuple(labels.shape), pred.dtype)
        logp = pred.reshape(_columns(shape))
        self.device.kernels.nll_forward(logp, labels, weight, self.ignore_index, losses)
        self._saved = (labels, weight, shape)
        return losses.reshape(shape[0], *shape[2:])

    def _count(self) -> float:
        return self._weight_of_labels()

    def _backward(self, dlosses: Any) -> Any:
        labels, weight, shape = self._saved  # type: ignore[misc]
        dlogp = self.device.empty(_columns(shape), weight.dtype)
        upstream = self._upstream(dlosses, tuple(labels.shape), weight.dtype)
        self.device.kernels.nll_backward_input(labels, weight, self.ignore_index, upstream, dlogp)
        return dlogp.reshape(*shape)


class MultiMarginLoss(_LabelLoss):
    """Multi-class hinge loss: the right class should lead every other by a margin.

    For one row, ``weight[t] / C * sum(max(0, margin - pred[t] + pred[c])**p for c != t)``
    (Weston and Watkins, 1999), t being the label.

    Parameters
    ----------
    p : {1, 2}
        Power of what is missing to the margin.
    margin : float
    weight : array, shape (C,), optional
        How much each class counts; by default all count 1.
    reduction : {"mean", "sum", "none"}
        "mean" divides by N, whatever the weights. To be given by name.

    Notes
    -----
    `pred` is (N, C) scores, `target` the class numbers (N,). NaN among the scores makes the loss
    NaN (PyTorch leaves such terms out).
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        self.p = int(p)
        self.margin = float(margin)

    def _checked(self, target: Any, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeError(f"{self!r} expects scores of shape (N, classes), got {shape}")
        return super()._checked(target, shape)

    def _losses(self, pred: Any, target: Any) -> Any:
        labels = self._labels_taken(target, tuple(pred.shape)).reshape(-1)
        losses = self.device.empty((pred.shape[0],), pred.dtype)
        given = (pred, labels, self.p, self.margin, self._weights(pred))
        self.device.kernels.multi_margin_forward(*given, losses)
        self._saved = given
        return losses

    def _backward(self, dlosses: Any) -> Any:
        given = self._saved
        assert given is not None
        dscores = self.device.empty(tuple(given[0].shape), given[0].dtype)
        upstream = self._upstream(dlosses, self._shape, given[0].dtype)
        self.device.kernels.multi_margin_backward_input(*given, upstream, dscores)
        return dscores
