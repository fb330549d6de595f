"""Whether there is room for what a layer is about to make, and what to say if not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..memory import LARGE, TooLargeError, need_memory
from .parameter import Parameter, Shape

__all__ = ["need_room", "too_large"]

MANY = LARGE // 8  # numbers of an output; fewer are no cause to ask for memory


def need_room(layer: Any, parameters: Iterable[Parameter], shape: Shape) -> None:
    """Raise `TooLargeError` if a layer's parameters or its output would be too large.

    Parameters
    ----------
    layer : Layer
    parameters : iterable of Parameter
        Those of the layer itself.
    shape : tuple of int
        Of the input; `ShapeError` if it doesn't fit.
    """
    out = layer.output_shape(shape)
    for parameter in parameters:
        if not parameter.drawn:
            try:
                parameter.need_memory()
            except TooLargeError as error:
                raise TooLargeError(f"{layer!r}: {error}") from None
    count = math.prod(out)
    if count > MANY:
        size = count * (4 if layer.dtype is None else layer.dtype.itemsize)
        what = f"{layer!r}: the output of shape {out}"
        need_memory(size, what, "give fewer or smaller examples at a time")


def too_large(layer: Any, error: MemoryError, x: Any) -> TooLargeError:
    """Return what to say of memory that the system refused in spite of `need_room`."""
    return TooLargeError(
        f"{layer!r} found no memory for an array of shape {tuple(x.shape)} and what follows from "
        f"it ({error}); give fewer examples at a time"
    )
