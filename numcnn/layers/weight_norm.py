"""Weight normalisation: a layer's weight as a length times a direction, learned apart."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from ..device import Device
from .base import Layer, Parameter, Shape

__all__ = ["remove_weight_norm", "weight_norm"]

AnyLayer = TypeVar("AnyLayer", bound=Layer)


def _slices(shape: Shape, dim: int | None) -> tuple[int, int, int]:
    """Return `shape` as (before, slices, behind), where each slice has a length of its own."""
    if dim is None:
        return 1, 1, math.prod(shape)
    return math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])


def _lengths(values: np.ndarray, dim: int | None) -> np.ndarray:
    """Return the length of each slice, in an array with as many axes as `values`."""
    squares = np.square(values, dtype=np.float64)
    if dim is None:
        return np.sqrt(squares.sum())
    axes = tuple(axis for axis in range(values.ndim) if axis != dim)
    return np.sqrt(squares.sum(axis=axes, keepdims=True))


class _FirstLengths:
    """Initial values of g: the lengths of v's, so that at first the weight is v itself."""

    def __init__(self, v: Parameter, dim: int | None) -> None:
        self.v = v
        self.dim = dim

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return an array of `shape`, float64."""
        return _lengths(self.v.initial(), self.dim).reshape(shape)


class NormedWeight:
    """Stands in for a layer's weight: its data follows from g and v, its gradient goes to them.

    A layer reads ``weight.data`` and hands over ``weight.add_grad(dweight)``, so it needs to know
    nothing of this.

    Attributes
    ----------
    g, v : Parameter
        Lengths and direction.
    dim : int or None
    """

    grad = None  # g and v have it

    def __init__(self, g: Parameter, v: Parameter, dim: int | None) -> None:
        self.g = g
        self.v = v
        self.dim = dim

    def __repr__(self) -> str:
        return f"NormedWeight(shape={self.shape}, dim={self.dim})"

    @property
    def shape(self) -> Shape:
        """That of v."""
        return self.v.shape

    @property
    def size(self) -> int:
        """Number of values."""
        return self.v.size

    @property
    def dtype(self) -> np.dtype:
        """That of v."""
        return self.v.dtype

    @property
    def device(self) -> Device:
        """That of v."""
        return self.v.device

    @property
    def data(self) -> Any:
        """The weight g v / ‖v‖, computed anew; assigning to it sets v, and g to its lengths."""
        view = _slices(self.shape, self.dim)
        weight = self.device.empty(view, self.dtype)
        self.device.kernels.weight_norm_forward(
            self.v.data.reshape(*view), self.g.data.reshape(view[1]), weight
        )
        return weight.reshape(*self.shape)

    @data.setter
    def data(self, values: Any) -> None:
        self.v.data = values
        self.g.data = _lengths(self.device.to_host(self.v.data), self.dim)

    def add_grad(self, grad: Any) -> None:
        """Turn the gradient of the weight into those of g and v, and add it to theirs."""
        view = _slices(self.shape, self.dim)
        dw, v = grad.reshape(*view), self.v.data.reshape(*view)
        dg = self.device.empty((view[1],), self.dtype)
        dv = self.device.empty(view, self.dtype)
        self.device.kernels.weight_norm_backward_weight(dw, v, dg)
        self.device.kernels.weight_norm_backward_input(dw, v, self.g.data.reshape(view[1]), dv)
        self.g.add_grad(dg.reshape(self.g.shape))
        self.v.add_grad(dv.reshape(*self.shape))


def weight_norm(layer: AnyLayer, name: str = "weight", dim: int | None = 0) -> AnyLayer:
    """Replace a layer's weight by a length and a direction, which are learned instead.

    ``weight = g * v / ‖v‖``: `layer` gets the parameters ``weight_g``, the length of each slice
    along `dim`, and ``weight_v``, of the weight's shape; its output stays what it was. How far a
    weight points and where it points are then moved apart from each other (Salimans and Kingma,
    "Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks", 2016). Call it before an optimizer is given the parameters.

    Parameters
    ----------
    layer : Layer
        It is changed, and returned.
    name : str
        Of the parameter.
    dim : int or None
        The axis whose slices have lengths of their own: 0 is one length per output channel. None:
        one length for the whole.

    Returns
    -------
    Layer
        `layer`.

    Raises
    ------
    TypeError, ValueError
        If `layer` is none, or has no such parameter or axis, or the parameter is normalised
        already.

    Examples
    --------
    >>> from numcnn import Conv2d
    >>> {name: p.shape for name, p in weight_norm(Conv2d(2, 3, 5)).named_parameters()}
    {'bias': (3,), 'weight_g': (3, 1, 1, 1), 'weight_v': (3, 2, 5, 5)}
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"weight_norm takes a layer, got {layer!r}")
    if isinstance(getattr(layer, name, None), NormedWeight):
        raise ValueError(f"{name} of {layer!r} is normalised already; remove_weight_norm undoes it")
    if name not in layer._parameters:
        own = ", ".join(layer._parameters) or "none"
        raise ValueError(f"{layer!r} has no parameter {name!r} of its own; it has {own}")
    v = layer._parameters[name]
    if dim is not None and dim not in range(len(v.shape)):
        raise ValueError(
            f"dim must be an axis of {name}, 0 to {len(v.shape) - 1}, or None for one length in "
            f"all, got {dim}: {name} has shape {v.shape}"
        )
    shape = () if dim is None else tuple(k if i == dim else 1 for i, k in enumerate(v.shape))
    g = Parameter(shape, _FirstLengths(v, dim), v.device, v.dtype)
    if v.drawn:
        g.data = _lengths(v.device.to_host(v.data), dim)
    v.zero_grad()
    del layer._parameters[name]
    setattr(layer, f"{name}_g", g)
    setattr(layer, f"{name}_v", v)
    setattr(layer, name, NormedWeight(g, v, dim))
    return layer


def remove_weight_norm(layer: AnyLayer, name: str = "weight") -> AnyLayer:
    """Undo `weight_norm`: the weight is a parameter again, with the values it had last.

    Parameters
    ----------
    layer : Layer
        It is changed, and returned.
    name : str
        Of the parameter.

    Returns
    -------
    Layer
        `layer`.

    Raises
    ------
    ValueError
        If the layer's parameter isn't normalised.
    """
    normed = getattr(layer, name, None)
    if not isinstance(normed, NormedWeight):
        raise ValueError(f"{name} of {layer!r} has no weight normalisation to remove")
    weight = normed.v
    weight.data = normed.data
    weight.zero_grad()
    for own in (f"{name}_g", f"{name}_v"):
        del layer._parameters[own]
        delattr(layer, own)
    others = dict(layer._parameters)
    layer._parameters.clear()  # the weight goes back to its place before the bias
    setattr(layer, name, weight)
    layer._parameters.update(others)
    return layer
