"""How far a layer in float32 may be from the same layer in float64: bounds derived from its sums.

Let eps be the spacing of float32 at 1. A sum of K terms, however it is ordered, with or without
fused multiply-adds, is within (K + 1) eps/2 M of the exact one, where M is the same sum over
absolute values (Higham, "Accuracy and stability of numerical algorithms", 2002, chapter 3). Here
twice that is allowed, as everywhere in numcnn (``error_bounds.py``). K and M are not written down
for each layer: the layer itself computes both, in float64. Fed with ones, and with ones for
weights, it counts its terms; fed with absolute values, it adds up absolute values. Its backward
pass, given the same, does so for the gradients.

Where other functions take part: exp, log, tanh and powers are given 4 units in the last place;
what else is rounded stands beside each bound. A backward pass that starts from the rounded output
of the forward pass has that one's error in its bound too.

Every function below takes a `Passes` and returns {array: (K, bound)}, the bound for each number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .error_bounds import EPS, conv2d_bound
from .kernels.cpu import conv2d, conv2d_winograd
from .layers import BatchNorm1d, BatchNorm2d, Conv2d, GroupNorm, Layer, LayerNorm, Linear
from .norm_bounds import BATCH, GROUPS, ROWS, magnitudes
from .norm_bounds import bound as norm_bound

__all__ = ["Bounds", "Passes", "both_passes"]

Array = np.ndarray
Bounds = dict[str, tuple[int, Any]]


class Passes(NamedTuple):
    """A layer's way forward and back in float64.

    Attributes
    ----------
    build : callable
        Makes the layer, in float32.
    layer : Layer
        In float64, with the weights of the layer that is judged.
    x, dy : array
        What both passes get.
    found : dict of str to array
        The output "y", the input's gradient "dx" and the parameters' gradients, "dweight" and so
        on: what is exact but for float64's own rounding.
    length : int or None
        K, for layers that don't count their terms when fed with ones: means.
    """

    build: Callable[[], Layer]
    layer: Layer
    x: Array
    dy: Array
    found: dict[str, Array]
    length: int | None = None


def both_passes(layer: Layer, x: Array, dy: Array) -> dict[str, Array]:
    """Return output and gradients of a layer by name."""
    layer.zero_grad()
    found = {"y": layer(x), "dx": layer.backward(dy)}
    return found | {f"d{name}": each.grad for name, each in layer.named_parameters()}


def twin(passes: Passes, change: Callable[[Array], Array]) -> Layer:
    """Return the layer in float64 with changed weights."""
    layer = passes.build().to("float64")
    layer.load_state_dict({k: change(v) for k, v in passes.layer.state_dict().items()})
    return layer


def sums(passes: Passes) -> Bounds:
    """Return the bounds of a layer whose output is a sum of products of input and weights."""
    ones = both_passes(twin(passes, np.ones_like), 1.0 * (passes.x != 0), 1.0 * (passes.dy != 0))
    sizes = both_passes(twin(passes, np.abs), np.abs(passes.x), np.abs(passes.dy))
    bounds = {}
    for name, size in sizes.items():
        terms = passes.length or math.ceil(ones[name].max(initial=1))
        bounds[name] = terms, (terms + 1) * EPS * size
    return bounds


def means(passes: Passes) -> Bounds:
    """Return the bounds of a mean of K pixels, which is rounded once more by its division."""
    return {
        name: (terms, size * (terms + 2) / (terms + 1))
        for name, (terms, size) in sums(passes).items()
    }


def pieces(passes: Passes) -> Bounds:
    """Return the bounds of `Maxout`: those of the linear pieces, the gradient being the winners'.

    The largest of several numbers is off by as much as the one that is off most.
    """
    layer: Any = passes.layer
    rows = layer.out_features * layer.num_pieces
    layer.forward(passes.x)
    winners = layer._saved[0][..., None] == np.arange(layer.num_pieces)
    dy = (passes.dy[..., None] * winners).reshape(len(passes.x), rows)
    inner = sums(
        Passes(lambda: Linear(layer.in_features, rows), layer._linear, passes.x, dy, passes.found)
    )
    terms, off = inner.pop("y")
    worst = off.reshape(*passes.dy.shape, layer.num_pieces).max(axis=-1)
    return inner | {"y": (terms, worst)}


def convolution(passes: Passes) -> Bounds:
    """Return the bounds of a convolution, by the algorithm that is chosen for its shape."""
    bounds = sums(passes)
    layer = passes.layer
    assert isinstance(layer, Conv2d)
    geometry = layer._geometry(passes.x.shape)
    weight = layer.weight.data.astype(np.float32)
    steps = (*geometry[:2], *geometry[4:])
    bias = np.zeros(layer.out_channels) if layer.bias is None else layer.bias.data
    if conv2d.choose(weight, passes.dy.shape, *steps) is not conv2d_winograd:
        return bounds
    for operation, name, arrays in (
        ("forward", "y", (passes.x, weight, bias)),
        ("backward_input", "dx", (passes.dy, weight)),
        ("backward_weight", "dweight", (passes.dy, passes.x)),
    ):
        shape = passes.found[name].shape
        size = conv2d_bound("winograd", operation, arrays, geometry, shape)
        bounds[name] = bounds[name][0], size
    return bounds


def chosen(passes: Passes) -> Bounds:
    """Return the bounds of a layer that passes numbers on as they are; only gradients add up."""
    layer = twin(passes, np.array)
    terms = math.ceil(both_passes(layer, passes.x, np.ones_like(passes.dy))["dx"].max(initial=1))
    size = both_passes(layer, passes.x, np.abs(passes.dy))["dx"]
    exact = np.zeros_like(passes.found["y"])  # not 0 * y, which can be -0
    return {"y": (1, exact), "dx": (terms, EPS * size * (terms + 1) * (terms > 1))}


def factors(passes: Passes) -> Bounds:
    """Return the bounds of one product for each number, of a factor that is itself rounded."""
    return {name: (1, 2 * EPS * np.abs(passes.found[name])) for name in ("y", "dx")}


def moved(passes: Passes) -> Bounds:
    """Return the bounds of a product and a sum, x a + b, with rounded a and b below 4 in size."""
    size = np.abs(passes.found["y"]) + np.abs(passes.x) + 4
    return {"y": (2, 3 * EPS * size), "dx": (1, 2 * EPS * np.abs(passes.found["dx"]))}


def slopes(passes: Passes) -> Bounds:
    """Return the bounds of `PReLU`: a product each, and the sum that is the slope's gradient."""
    layer = twin(passes, np.ones_like)
    left = -np.abs(passes.x)  # every number takes part
    terms = int(
        np.abs(both_passes(layer, -np.ones_like(left), np.ones_like(left))["dweight"]).max()
    )
    size = np.abs(both_passes(layer, left, np.abs(passes.dy))["dweight"])
    return factors(passes) | {"dweight": (terms, (terms + 1) * EPS * size)}


def curves(passes: Passes) -> Bounds:
    """Return the bounds of a function of each number, its slope being at most |x| + 1.

    The functions and their slopes are sums and products of at most six numbers that are no larger
    than |x| + 2: ten roundings of that, those inside exp and erf included.
    """
    size = np.abs(passes.x) + 2.0
    return {"y": (1, 10 * EPS * size), "dx": (1, 10 * EPS * size * np.abs(passes.dy))}


def sigmoid(passes: Passes) -> Bounds:
    """Return the bounds of 1 / (1 + exp(-x)), 6 units; dy y (1 - y) has them, and three more."""
    y = passes.found["y"]
    return {"y": (1, 6 * EPS * y), "dx": (1, 9 * EPS * np.abs(passes.dy) * y)}


def tanh(passes: Passes) -> Bounds:
    """Return the bounds of tanh, 4 units; 1 - y² has twice those relative to 1, and three more."""
    y = np.abs(passes.found["y"])
    return {"y": (1, 4 * EPS * y), "dx": (1, 11 * EPS * np.abs(passes.dy))}


def _apart(x: Array) -> tuple[Array, int]:
    """Return how far each score is below the largest, exp's argument, and how many there are."""
    return x.max(axis=1, keepdims=True) - x.astype(np.float64), x.shape[1]


def softmax(passes: Passes) -> Bounds:
    """Return the bounds of exp(x) / sum(exp(x)): the argument d is off by d eps/2, K terms."""
    apart, terms = _apart(passes.x)
    y, dy = passes.found["y"], np.abs(passes.dy)
    relative = (2 * apart + 10 + terms) * EPS
    size = y * (dy + (dy * y).sum(axis=1, keepdims=True))
    worst = 2 * relative.max(axis=1, keepdims=True) + (terms + 3) * EPS
    return {"y": (terms, relative * y), "dx": (terms, worst * size)}


def log_softmax(passes: Passes) -> Bounds:
    """Return the bounds of -d - log(sum(exp(-d))); dx = dy - exp(y) sum(dy) has y's error too."""
    apart, terms = _apart(passes.x)
    y, dy = passes.found["y"], np.abs(passes.dy)
    off = (terms + 12) * EPS * (1 + math.log(terms)) + 2 * EPS * apart
    size = dy + np.exp(y) * dy.sum(axis=1, keepdims=True)
    return {"y": (terms, off), "dx": (terms, (off + (terms + 8) * EPS) * size)}


def bilinear(passes: Passes) -> Bounds:
    """Return the bounds of resizing: a position of up to H pixels is rounded three times.

    A weight is then off by 3 eps H at most, and a mean by that times the difference of two pixels;
    there are two axes, and a few roundings for the mean itself. K is a side of the picture.
    """
    terms = max(passes.x.shape[2:])
    unit = (8 + 6 * sum(passes.x.shape[2:])) * EPS
    shares = np.abs(passes.dy).sum((2, 3), keepdims=True)
    sizes = {"y": np.abs(passes.x).max(), "dx": shares}
    return {
        name: (terms, np.broadcast_to(unit * size, passes.found[name].shape))
        for name, size in sizes.items()
    }


def neighbours(passes: Passes) -> Bounds:
    """Return the bounds of `LocalResponseNorm`: sums of K squares, and a power of each.

    The sum s is off by (K + 4) eps of itself, so s^-beta by beta times that, and 4 units more. dx
    has y and s in its terms, and a sum of K of those.
    """
    layer: Any = passes.layer
    terms, beta = layer.size, layer.beta
    y = ((terms + 4) * beta + 6) * EPS * np.abs(passes.found["y"])
    # dx is a - b, with both above 0 where x and dy are; a + b is at most 2 a + |a - b|
    apart = np.abs(both_passes(twin(passes, np.array), np.abs(passes.x), np.abs(passes.dy))["dx"])
    # where x is 0, so is b
    x, upper = np.abs(passes.x), np.abs(passes.dy * passes.found["y"])
    size = 2 * np.divide(upper, x, out=apart.copy(), where=x > 0) + apart
    roundings = terms + 12 + (terms + 4) * (2 * beta + 2) + 8
    return {"y": (terms, y), "dx": (terms, roundings * EPS * size)}


def normalised(passes: Passes) -> Bounds:
    """Return the bounds of a normalisation (``norm_bounds.py``)."""
    layer: Any = passes.layer
    x, dy = passes.x, passes.dy
    weight, bias = (np.asarray(each.data) for each in (layer.weight, layer.bias))
    view: tuple[int, ...]
    own: tuple[int, ...]
    if isinstance(layer, BatchNorm1d | BatchNorm2d):
        plan, view, own = BATCH, (*x.shape[:2], -1), (1, -1, 1)
    elif isinstance(layer, LayerNorm):
        plan, view, own = ROWS, (-1, weight.size), (1, -1)
    else:
        assert isinstance(layer, GroupNorm)
        groups = layer.num_groups
        each = x.shape[1] // groups
        plan, view, own = (
            GROUPS,
            (len(x), groups, each, math.prod(x.shape[2:])),
            (1, groups, each, 1),
        )
    seen, given = x.reshape(view), dy.reshape(view)
    parts = (weight.reshape(own), bias.reshape(own))
    sizes = magnitudes(seen, given, *parts, plan, layer.eps, np.float32)
    bounds: Bounds = {}
    for name, size in sizes.items():
        axes = plan.shared if name in ("dweight", "dbias") else plan.together
        terms = math.prod(seen.shape[axis] for axis in axes)
        whole = norm_bound(terms, np.float32, size).reshape(passes.found[name].shape)
        bounds[name] = terms, whole
    return bounds
