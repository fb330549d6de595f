"""Class labels and class weights: taken in, or explained."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from ..device import get_device, is_gpu_array
from ..layers.parameter import as_array, refuse_masked
from ..shapes import ShapeError

__all__ = ["as_ignored", "as_weight", "check_labels", "class_weights"]


def check_labels(
    target: Any, shape: tuple[int, ...], who: object, ignore_index: int | None = None
) -> np.ndarray:
    """Return labels as int64, one for each prediction of `shape` (N, C, ...), or explain.

    Parameters
    ----------
    target : array
        Class numbers; `ignore_index` may stand among them.
    shape : tuple of int
        Of the scores.
    who : str or Loss
        Begins the sentence.
    ignore_index : int, optional
    """
    if len(shape) < 2:
        raise ShapeError(f"{who} expects scores of shape (N, classes), got {shape}")
    refuse_masked(target, "the target of the loss")
    if is_gpu_array(target):
        raise TypeError(f"{who} takes labels from the host; it brings them to the GPU itself")
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
    if ignore_index is not None and np.count_nonzero(wrong):  # for small arrays faster than any()
        wrong &= labels != ignore_index
    if np.count_nonzero(wrong):
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{who}: label {labels[where]} at target[{', '.join(map(str, where))}] is none of the "
            f"{shape[1]} classes; the model gives {shape[1]} scores, so labels run from 0 to "
            f"{shape[1] - 1}"
        )
    return np.ascontiguousarray(labels, np.int64)


def as_ignored(ignore_index: Any, who: str) -> int:
    """Return the label that is ignored as an int, or explain."""
    if not isinstance(ignore_index, Integral) or isinstance(ignore_index, bool):
        raise TypeError(f"{who}: ignore_index must be a whole number, got {ignore_index!r}")
    if not -(2**63) <= int(ignore_index) < 2**63:
        raise ValueError(f"{who}: ignore_index must fit into 64 bits, got {ignore_index}")
    return int(ignore_index)


def as_weight(weight: Any, who: str, name: str = "weight") -> np.ndarray | None:
    """Return a copy of the weights a user gave, None for none, or explain."""
    if weight is None:
        return None
    if isinstance(weight, str):
        raise TypeError(
            f"{who}: {name} must be numbers, got {weight!r}; {name} comes before the reduction, "
            f"as in PyTorch: write {who}(reduction={weight!r})"
        )
    return np.array(as_array(weight, get_device("reference"), None, f"the {name} of {who}"))


def class_weights(weight: np.ndarray | None, classes: int, dtype: Any, who: object) -> np.ndarray:
    """Return one weight for each class: those given, or 1."""
    if weight is None:
        return np.ones(classes, dtype)
    if weight.size != classes:
        raise ShapeError(
            f"{who}: weight holds {weight.size} numbers and the scores have {classes} classes; "
            f"give one weight for each class"
        )
    return weight.astype(dtype)
