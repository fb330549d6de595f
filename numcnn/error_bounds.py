"""How far a convolution in float32 may be from the exact one: bounds derived, not measured.

Let eps be the spacing of float32 at 1 and K the number of products of a sum. However a sum is
ordered, with or without fused multiply-adds, it is within (K + 1) eps/2 M of the exact one, where
M is the same sum over absolute values. Here twice that is allowed. An algorithm that turns its
numbers first has sums, and an M, of its own:

Winograd
    M is what its three steps give with the absolute values of every matrix and every number.
FFT
    A transform of P numbers makes errors of about eps log₂ P relative to their Euclidean norm, and
    so the products of two transforms, turned back, are wrong by a part of the product of the
    norms: M is ‖x‖ ‖w‖, summed over the channels (Higham, "Accuracy and stability of numerical
    algorithms", 2002, chapter 24).

Tests assert these bounds, and ``numcnn bench conv2d`` prints them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .kernels.cpu import conv2d_loops
from .kernels.cpu._winograd import POINTS, outputs_matrix, weights_matrix

__all__ = ["OPERATIONS", "conv2d_bound", "conv2d_exact", "conv2d_terms"]

Array = np.ndarray
Geometry = tuple[int, ...]  # stride, padding, dilation (two each), groups

EPS = float(np.finfo(np.float32).eps)
OPERATIONS = ("forward", "backward_input", "backward_weight")

# |Bᵀ| of Winograd: the coefficients of the polynomials that are 0 at all other points
INPUT = np.zeros((6, 6))
for _row, _point in enumerate(POINTS):
    INPUT[_row, :5] = np.abs(np.poly([other for other in POINTS if other != _point]))[::-1]
INPUT[5] = np.abs(np.poly(POINTS))[::-1]
STEPS = 40  # roundings of one number outside the sums: two axes, two turns, at most 8 each
BUTTERFLY = 4.0  # eps of one level of a transform, with its rounded sines (Higham: about 3.5)


def conv2d_exact(operation: str, arrays: tuple[Array, ...], geometry: Geometry, shape: Any) -> Any:
    """Return what an operation of conv2d gives in float64, by the plain loops.

    Parameters
    ----------
    operation : {"forward", "backward_input", "backward_weight"}
    arrays : tuple of array
        (x, weight, bias), (dy, weight) or (dy, x), as the kernel takes them.
    geometry : tuple of int
        The kernel's plain numbers, from stride_h to groups.
    shape : tuple of int
        Of the output.
    """
    out = np.empty(shape)
    wide = [np.ascontiguousarray(array, np.float64) for array in arrays]
    getattr(conv2d_loops, f"conv2d_{operation}")(*wide, *geometry, out)
    return out


def conv2d_terms(operation: str, weight: tuple[int, ...], y: tuple[int, ...], groups: int) -> int:
    """Return K, the number of products that are added up for one number.

    Parameters
    ----------
    operation : {"forward", "backward_input", "backward_weight"}
    weight, y : tuple of int
        Shapes of the weights and of the output.
    groups : int
    """
    taps = math.prod(weight[2:])
    if operation == "backward_weight":
        return math.prod(y) // y[1]
    return taps * (weight[1] if operation == "forward" else weight[0] // groups)


def conv2d_bound(
    algorithm: str, operation: str, arrays: tuple[Array, ...], geometry: Geometry, shape: Any
) -> Any:
    """Return for each number of the output how far it may be from `conv2d_exact`.

    Parameters
    ----------
    algorithm : str
        "winograd" and "fft" have bounds of their own; whatever else adds up products as they are.
    operation, arrays, geometry, shape
        As for `conv2d_exact`.
    """
    weight = shape if operation == "backward_weight" else arrays[1].shape
    y = shape if operation == "forward" else arrays[0].shape
    terms = conv2d_terms(operation, weight, y, geometry[-1])
    if algorithm == "winograd":
        return _winograd(operation, arrays, geometry, shape)
    if algorithm == "fft":
        return _fft(operation, arrays, geometry, shape, terms)
    sizes = tuple(np.abs(array) for array in arrays)
    extra = 2 if operation == "forward" else 1  # the bias is one term more
    return (terms + extra) * EPS * conv2d_exact(operation, sizes, geometry, shape)


# ---- Winograd ----------------------------------------------------------------------------------


def _tiles(x: Array, pad: tuple[int, int], reach: int, step: int, out: Any) -> Array:
    """Return |x| of one picture cut into tiles, `step` apart: (TH, TW, C, reach, reach)."""
    down, across = (-(-size // step) * step + reach for size in out)
    framed = np.zeros((len(x), max(down, x.shape[1] + pad[0]), across + x.shape[2] + pad[1]))
    framed[:, pad[0] : pad[0] + x.shape[1], pad[1] : pad[1] + x.shape[2]] = np.abs(x)
    windows = np.lib.stride_tricks.sliding_window_view(framed, (reach, reach), (1, 2))
    return windows[:, : out[0] : step, : out[1] : step].transpose(1, 2, 0, 3, 4)


def _positions(turned: Array) -> Array:
    """Return (TH, TW, C, 6, 6) as (36, tiles, C): a matrix for each position."""
    th, tw, channels = turned.shape[:3]
    return np.ascontiguousarray(turned.reshape(th * tw, channels, 36).transpose(2, 0, 1))


def winograd_forward(x: Array, weight: Array, pad: tuple[int, int], out: Any) -> Array:
    """Return the sum of the absolute values that meet in each output (N, K, *out)."""
    taps = weight.shape[2]
    step = 7 - taps
    g, a = np.abs(weights_matrix(taps)), np.abs(outputs_matrix(step))
    factors = (g @ np.abs(weight) @ g.T).reshape(*weight.shape[:2], 36).transpose(2, 1, 0)
    sums = np.zeros((len(x), len(weight), *out))
    for picture, target in zip(x, sums, strict=True):
        turned = INPUT @ _tiles(picture, pad, 6, step, out) @ INPUT.T
        th, tw = turned.shape[:2]
        products = (_positions(turned) @ factors).transpose(1, 2, 0).reshape(th, tw, -1, 6, 6)
        y = a @ products @ a.T
        whole = y.transpose(2, 0, 3, 1, 4).reshape(len(weight), th * step, tw * step)
        target[...] = whole[:, : out[0], : out[1]]
    return sums


def winograd_weight(x: Array, dy: Array, pad: tuple[int, int], taps: int) -> Array:
    """Return the sum of the absolute values that meet in each weight's gradient."""
    out, step = dy.shape[2:], 7 - taps
    g, a = np.abs(weights_matrix(taps)), np.abs(outputs_matrix(step))
    total = np.zeros((36, dy.shape[1], x.shape[1]))
    for picture, gradient in zip(x, dy, strict=True):
        turned = _positions(INPUT @ _tiles(picture, pad, 6, step, out) @ INPUT.T)
        back = _positions(a.T @ _tiles(gradient, (0, 0), step, step, out) @ a)
        total += back.transpose(0, 2, 1) @ turned
    return g.T @ total.transpose(1, 2, 0).reshape(*total.shape[1:], 6, 6) @ g


def _winograd(
    operation: str, arrays: tuple[Array, ...], geometry: Geometry, shape: tuple[int, ...]
) -> Array:
    pad = (geometry[2], geometry[3])
    if operation == "forward":
        x, weight, bias = arrays
        sums = winograd_forward(x, weight, pad, shape[2:]) + np.abs(bias)[:, None, None]
        return (weight.shape[1] + STEPS) * EPS * sums
    if operation == "backward_input":
        dy, weight = arrays
        turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        # where the padding is more than a window less one, the first outputs see nothing but it
        reach = weight.shape[2] - 1
        cut = dy[:, :, max(0, pad[0] - reach) :, max(0, pad[1] - reach) :]
        frame = (max(0, reach - pad[0]), max(0, reach - pad[1]))
        sums = winograd_forward(cut, turned, frame, shape[2:])
        return (weight.shape[0] + STEPS) * EPS * sums
    dy, x = arrays
    places = math.prod(dy.shape) // dy.shape[1]
    return (places + STEPS) * EPS * winograd_weight(x, dy, pad, shape[2])


# ---- FFT ---------------------------------------------------------------------------------------


def _norms(array: Array) -> Array:
    """Return the Euclidean norm of each plane."""
    return np.sqrt(np.square(array, dtype=np.float64).sum((2, 3)))


def _fft(
    operation: str,
    arrays: tuple[Array, ...],
    geometry: Geometry,
    shape: tuple[int, ...],
    terms: int,
) -> Array:
    groups = geometry[-1]
    planes = arrays[1] if operation == "backward_weight" else arrays[0]
    weight = shape if operation == "backward_weight" else arrays[1].shape
    # at most so many numbers are transformed at once: the padded plane and a filter's reach
    sides = [
        size + 2 * pad + reach * step
        for size, pad, reach, step in zip(
            planes.shape[2:], geometry[2:4], weight[2:], geometry[4:6], strict=True
        )
    ]
    levels = sum(math.ceil(math.log2(side)) + 1 for side in sides)
    left, right = _norms(arrays[0]), _norms(arrays[1])
    per_group = len(right) // groups
    if operation == "forward":
        parts = left.reshape(len(left), groups, -1)
        sums = np.einsum("ngc,gkc->ngk", parts, right.reshape(groups, per_group, -1))
        sizes = sums.reshape(len(left), -1) + np.abs(arrays[2])
    elif operation == "backward_input":
        parts = left.reshape(len(left), groups, per_group)
        sums = np.einsum("ngk,gkc->ngc", parts, right.reshape(groups, per_group, -1))
        sizes = sums.reshape(len(left), -1)
    else:
        batch = len(left)
        parts, others = left.reshape(batch, groups, -1), right.reshape(batch, groups, -1)
        sizes = np.einsum("ngk,ngc->gkc", parts, others).reshape(shape[:2])
    # pieces of a plane that overlap hold each number up to four times: twice the norms
    share = (3 * BUTTERFLY * levels + terms / math.prod(weight[2:]) + 2) * EPS * 2
    return np.broadcast_to(share * sizes[:, :, None, None], shape)
