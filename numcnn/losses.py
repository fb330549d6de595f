"""Losses: one number that says how wrong a prediction is, and its gradient.

``loss(pred, target)`` returns the number; ``loss.backward()`` then returns its gradient with
respect to `pred`, to be handed to the model's ``backward``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .device import get_device, is_gpu_array
from .layers.parameter import as_array
from .shapes import ShapeError

__all__ = ["CrossEntropyLoss", "Loss", "MSELoss", "NLLLoss"]


class Loss:
    """Base class: turns losses per element into one number, and that into their gradients.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Average the losses, add them up, or return them all as an array.
    """

    reductions: tuple[str, ...] = ("mean", "sum", "none")
    takes_labels = False

    def __init__(self, reduction: str = "mean") -> None:
        if not isinstance(reduction, str) or reduction not in self.reductions:
            choices = ", ".join(map(repr, self.reductions))
            raise ValueError(f"reduction must be one of {choices}, got {reduction!r}")
        self.reduction = reduction
        self.device = get_device("cpu")
        self._saved: tuple | None = None
        self._shape: tuple[int, ...] = ()

    def __repr__(self) -> str:
        other = "" if self.reduction == "mean" else f"reduction={self.reduction!r}"
        return f"{type(self).__name__}({other})"

    def to(self, device: str) -> Loss:
        """Move to another device, and return self."""
        self.device = get_device(device)
        self._saved = None
        return self

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
        self._saved = None
        if is_gpu_array(pred) and self.device.name != "cuda":
            self.device = get_device("cuda")
        pred = as_array(pred, self.device, None, f"the prediction given to {self!r}")
        if 0 in pred.shape:
            raise ShapeError(f"{self!r}: the prediction is empty: shape {tuple(pred.shape)}")
        losses = self.device.to_host(self._losses(pred, target))
        self._shape = losses.shape
        if self.reduction == "none":
            return losses
        return float(losses.sum(dtype=np.float64) * self._scale())

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
        scale = 1.0 if self.reduction == "none" else self._scale()
        dlosses = np.array(np.broadcast_to(np.asarray(upstream, np.float64) * scale, self._shape))
        return self._backward(dlosses)

    def _scale(self) -> float:
        """Return what the sum of all losses is multiplied by."""
        return 1.0 / math.prod(self._shape) if self.reduction == "mean" else 1.0

    def _losses(self, pred: Any, target: Any) -> Any:
        raise TypeError(f"{type(self).__name__} must define _losses(self, pred, target)")

    def _backward(self, dlosses: np.ndarray) -> Any:
        raise TypeError(f"{type(self).__name__} must define _backward(self, dlosses)")


def check_labels(target: Any, shape: tuple[int, ...], who: str) -> np.ndarray:
    """Return labels as int64, one for each prediction of `shape` (N, C, ...), or explain."""
    if len(shape) < 2:
        raise ShapeError(f"{who} expects scores of shape (N, classes), got {shape}")
    labels = np.asarray(target)
    expected = (shape[0], *shape[2:])
    if labels.dtype.kind not in "iu":
        hint = ""
        if labels.shape == shape:
            hint = "; these look like one row of numbers per class: use target.argmax(axis=1)"
        elif labels.dtype.kind == "f":
            hint = "; use target.astype('int64')"
        raise TypeError(
            f"{who} expects class numbers (integers) of shape {expected}, "
            f"got {labels.dtype} of shape {labels.shape}{hint}"
        )
    if labels.shape != expected:
        hint = "; one-hot rows become labels with target.argmax(axis=1)" * (labels.shape == shape)
        raise ShapeError(
            f"{who}: scores of shape {shape} need labels of shape {expected}, "
            f"got {labels.shape}{hint}"
        )
    wrong = (labels < 0) | (labels >= shape[1])
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{who}: label {labels[where]} at target[{', '.join(map(str, where))}] is none of the "
            f"{shape[1]} classes; the model gives {shape[1]} scores, so labels run from 0 to "
            f"{shape[1] - 1}"
        )
    return np.ascontiguousarray(labels, np.int64)


class _LabelLoss(Loss):
    """A loss against integer labels; arrays are seen as (N, C, everything else)."""

    takes_labels = True

    def _views(self, pred: Any, target: Any) -> tuple[Any, Any, tuple[int, int]]:
        shape = tuple(pred.shape)
        labels = check_labels(target, shape, repr(self))
        rows = (shape[0], math.prod(shape[2:]))
        view = pred.reshape(shape[0], shape[1], rows[1])
        return view, self.device.to_device(labels.reshape(rows)), rows

    def _upstream(self, dlosses: np.ndarray, shape: tuple[int, ...], dtype: Any) -> Any:
        rows = (shape[0], math.prod(shape[2:]))
        return self.device.to_device(np.ascontiguousarray(dlosses.reshape(rows), dtype))


class CrossEntropyLoss(_LabelLoss):
    """Cross-entropy of raw scores against class labels; the softmax is inside.

    ``-log softmax(pred)[target]``, averaged over the batch.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    `pred` is (N, C) or (N, C, ...) raw scores, `target` the class numbers (N,) or (N, ...).
    A model trained with this loss doesn't end in Softmax. The gradient is
    ``softmax(pred) - one_hot(target)``, divided by N (Bridle, 1990).
    """

    def _losses(self, pred: Any, target: Any) -> Any:
        scores, labels, rows = self._views(pred, target)
        losses = self.device.empty(rows, pred.dtype)
        probabilities = self.device.empty(tuple(scores.shape), pred.dtype)
        self.device.kernels.softmax_cross_entropy_forward(scores, labels, losses, probabilities)
        self._saved = (probabilities, labels, tuple(pred.shape))
        return losses.reshape(pred.shape[0], *pred.shape[2:])

    def _backward(self, dlosses: np.ndarray) -> Any:
        probabilities, labels, shape = self._saved  # type: ignore[misc]
        dscores = self.device.empty(tuple(probabilities.shape), probabilities.dtype)
        upstream = self._upstream(dlosses, shape, probabilities.dtype)
        self.device.kernels.softmax_cross_entropy_backward_input(
            probabilities, labels, upstream, dscores
        )
        return dscores.reshape(*shape)


class NLLLoss(_LabelLoss):
    """Negative log-likelihood: what `CrossEntropyLoss` is, for a model that ends in LogSoftmax.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    `pred` is (N, C) or (N, C, ...) log-probabilities, `target` the class numbers.
    """

    def _losses(self, pred: Any, target: Any) -> Any:
        logp, labels, rows = self._views(pred, target)
        losses = self.device.empty(rows, pred.dtype)
        self.device.kernels.nll_forward(logp, labels, losses)
        self._saved = (labels, tuple(pred.shape), tuple(logp.shape), pred.dtype)
        return losses.reshape(pred.shape[0], *pred.shape[2:])

    def _backward(self, dlosses: np.ndarray) -> Any:
        labels, shape, view, dtype = self._saved  # type: ignore[misc]
        dlogp = self.device.empty(view, dtype)
        upstream = self._upstream(dlosses, shape, dtype)
        self.device.kernels.nll_backward_input(labels, upstream, dlogp)
        return dlogp.reshape(*shape)


class MSELoss(Loss):
    """Squared error between two arrays of one shape.

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "half_sum", "batch_mean"}
        Average over every number (PyTorch's default), their sum, all of them; half the sum
        (½ Σ (pred - target)², whose gradient is pred - target), or the sum divided by the
        batch's size.
    """

    reductions = ("mean", "sum", "none", "half_sum", "batch_mean")

    def _scale(self) -> float:
        if self.reduction == "half_sum":
            return 0.5
        if self.reduction == "batch_mean":
            return 1.0 / self._shape[0]
        return super()._scale()

    def _losses(self, pred: Any, target: Any) -> Any:
        target = as_array(target, self.device, np.dtype(pred.dtype), f"the target of {self!r}")
        if tuple(target.shape) != tuple(pred.shape):
            raise ShapeError(
                f"{self!r}: prediction and target must have one shape, got {tuple(pred.shape)} "
                f"and {tuple(target.shape)}"
            )
        losses = self.device.empty(tuple(pred.shape), pred.dtype)
        self.device.kernels.mse_forward(pred.reshape(-1), target.reshape(-1), losses.reshape(-1))
        self._saved = (pred, target)
        return losses

    def _backward(self, dlosses: np.ndarray) -> Any:
        pred, target = self._saved  # type: ignore[misc]
        dpred = self.device.empty(tuple(pred.shape), pred.dtype)
        upstream = self.device.to_device(np.ascontiguousarray(dlosses, pred.dtype))
        self.device.kernels.mse_backward_input(
            pred.reshape(-1), target.reshape(-1), upstream.reshape(-1), dpred.reshape(-1)
        )
        return dpred


def as_loss(loss: Any) -> Loss:
    """Return a `Loss` from one, or from its short name."""
    names = {"cross_entropy": CrossEntropyLoss, "nll": NLLLoss, "mse": MSELoss}
    if isinstance(loss, str):
        if loss not in names:
            raise ValueError(f"there is no loss {loss!r}; choose one of {', '.join(names)}")
        return names[loss]()
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a Loss or one of {', '.join(names)}, got {loss!r}")
    return loss
