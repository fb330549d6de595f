"""Activations: functions applied to every number, or normalised along one axis."""

from __future__ import annotations

import math
from typing import Any

from ..kernels.order import flat
from ..shapes import ShapeError, as_axis
from .base import Layer, Shape

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


class _Elementwise(Layer):
    """An activation of every number by itself; what its slope follows from is kept."""

    op: str
    slope_of_input = False  # most slopes follow from the output
    either_order = True

    def _numbers(self) -> tuple[float, ...]:
        """Return what the kernels take between the arrays."""
        return ()

    def _forward(self, x: Any) -> Any:
        y = self.device.like(x)
        forward = getattr(self.kernels, f"{self.op}_forward")
        forward(flat(x), *self._numbers(), flat(y))
        self.save_for_backward(x if self.slope_of_input else y)
        return y

    def _backward(self, dy: Any) -> Any:
        (kept,) = self._saved
        dx = self.device.like(kept)
        backward = getattr(self.kernels, f"{self.op}_backward_input")
        backward(flat(self.device.match(dy, kept)), flat(kept), *self._numbers(), flat(dx))
        return dx


class ReLU(_Elementwise):
    """Rectified linear unit, max(x, 0); the slope at 0 is taken as 0 (Nair and Hinton, 2010).

    Parameters
    ----------
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "relu"

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def take_output(self, y: Any) -> None:
        """Keep `y`, which the layer before has computed for this one, as `forward` would."""
        self.save_for_backward(y)
        if not self._lent():
            self._output = tuple(y.shape), y.dtype


class Sigmoid(_Elementwise):
    """Logistic sigmoid 1 / (1 + exp(-x)), between 0 and 1."""

    op = "sigmoid"


class Tanh(_Elementwise):
    """Hyperbolic tangent, between -1 and 1."""

    op = "tanh"


class LeakyReLU(_Elementwise):
    """x where x > 0, else ``negative_slope * x``; at 0 the left side counts.

    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Parameters
    ----------
    negative_slope : float
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "leaky_relu"
    slope_of_input = True

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = float(negative_slope)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"negative_slope={self.negative_slope:g}"

    def _numbers(self) -> tuple[float, ...]:
        return (self.negative_slope,)


class ELU(_Elementwise):
    """Exponential linear unit: x where x > 0, else ``alpha * (exp(x) - 1)``.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", 2016.

    Parameters
    ----------
    alpha : float
        What it comes down to, with its sign turned.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "elu"
    slope_of_input = True

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = float(alpha)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"alpha={self.alpha:g}"

    def _numbers(self) -> tuple[float, ...]:
        return self.alpha, 1.0


class SELU(_Elementwise):
    """ELU with the two numbers that keep mean 0 and variance 1 from layer to layer.

    ``1.0507 * x`` where x > 0, else ``1.0507 * 1.6733 * (exp(x) - 1)``. Klambauer et al.,
    "Self-normalizing neural networks", 2017.

    Parameters
    ----------
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "elu"
    slope_of_input = True
    ALPHA = 1.6732632423543772848170429916717
    SCALE = 1.0507009873554804934193349852946

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def _numbers(self) -> tuple[float, ...]:
        return self.ALPHA, self.SCALE


class GELU(_Elementwise):
    """Gaussian error linear unit: x times the probability that a normal number is below x.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Compute the probability exactly, or by a formula with tanh.

    Raises
    ------
    ValueError
        If `approximate` is something else.
    """

    op = "gelu"
    slope_of_input = True

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"approximate={self.approximate!r}"

    def _numbers(self) -> tuple[float, ...]:
        return (int(self.approximate == "tanh"),)


class SiLU(_Elementwise):
    """Sigmoid linear unit ``x * sigmoid(x)``, also called swish (Elfwing, Uchibe and Doya, 2018).

    Parameters
    ----------
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    op = "silu"
    slope_of_input = True

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class Softplus(_Elementwise):
    """A smooth ReLU, ``log(1 + exp(beta * x)) / beta`` (Dugas et al., 2001).

    Parameters
    ----------
    beta : float
        The larger, the sharper its bend. Not 0.
    threshold : float
        Where ``beta * x`` is above it, x itself is returned.

    Raises
    ------
    ValueError
        If beta is 0.
    """

    op = "softplus"
    slope_of_input = True

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        if not beta:
            raise ValueError("Softplus divides by beta, which must not be 0")
        self.beta, self.threshold = float(beta), float(threshold)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"beta={self.beta:g}, threshold={self.threshold:g}"

    def _numbers(self) -> tuple[float, ...]:
        return self.beta, self.threshold


class Softsign(_Elementwise):
    """``x / (1 + |x|)``, between -1 and 1 (Turian, Bergstra and Bengio, 2009)."""

    op = "softsign"
    slope_of_input = True


class LogSigmoid(_Elementwise):
    """Logarithm of the logistic sigmoid, ``-log(1 + exp(-x))``, without loss of precision."""

    op = "softplus"  # softplus with beta = -1 is this very function
    slope_of_input = True

    def _numbers(self) -> tuple[float, ...]:
        return -1.0, math.inf


class Hardtanh(_Elementwise):
    """x between two limits, the nearer limit outside; slope 0 at the limits and beyond.

    Collobert, "Large scale machine learning", 2004.

    Parameters
    ----------
    min_val, max_val : float
        The limits; the second must be above the first.
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.

    Raises
    ------
    ValueError
        If `max_val` isn't above `min_val`.
    """

    op = "hardtanh"
    slope_of_input = True

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"max_val must be above min_val, got {min_val} to {max_val}")
        self.min_val, self.max_val = float(min_val), float(max_val)

    def extra_repr(self) -> str:
        """Return the limits."""
        return f"min_val={self.min_val:g}, max_val={self.max_val:g}"

    def _numbers(self) -> tuple[float, ...]:
        return self.min_val, self.max_val


class ReLU6(Hardtanh):
    """ReLU that stops at 6: ``min(max(x, 0), 6)``.

    Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    Parameters
    ----------
    inplace : bool
        Accepted for PyTorch's sake. The input is never overwritten.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0)

    def extra_repr(self) -> str:
        """Return nothing: the limits are in the name."""
        return ""


class _AlongAxis(Layer):
    """An activation normalised along one axis, seen as the middle one of three."""

    op: str

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else as_axis(dim, "dim")

    def extra_repr(self) -> str:
        """Return the axis."""
        return "" if self.dim is None else f"dim={self.dim}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must have the axis and something on it."""
        if self.dim is None and len(shape) == 3:
            raise ShapeError(
                f"{self!r}: along which axis of shape {shape}? PyTorch would take axis 0 here; "
                f"say dim=0, dim=1 or dim=2"
            )
        axis = 1 if self.dim is None else self.dim
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"{self!r} works along axis {axis}, which shape {shape} doesn't have")
        if shape[axis] == 0:
            raise ShapeError(f"{self!r}: axis {axis} of shape {shape} is empty")
        return shape

    def _view(self, shape: Shape) -> Shape:
        axis = (1 if self.dim is None else self.dim) % len(shape)
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    def _forward(self, x: Any) -> Any:
        y = self.device.empty(tuple(x.shape), x.dtype)
        view = self._view(tuple(x.shape))
        getattr(self.kernels, f"{self.op}_forward")(x.reshape(*view), y.reshape(*view))
        self.save_for_backward(y)
        return y

    def _backward(self, dy: Any) -> Any:
        (y,) = self._saved
        dx = self.device.empty(tuple(y.shape), y.dtype)
        view = self._view(tuple(y.shape))
        backward = getattr(self.kernels, f"{self.op}_backward_input")
        backward(dy.reshape(*view), y.reshape(*view), dx.reshape(*view))
        return dx


class Softmax(_AlongAxis):
    """Turn scores into probabilities that add up to 1: exp(x) / sum(exp(x)).

    Parameters
    ----------
    dim : int, optional
        Axis of the classes; by default 1, the one after the batch (3-D input needs it said).

    Notes
    -----
    `CrossEntropyLoss` takes raw scores and applies the softmax itself; a model that is trained
    with it doesn't end in Softmax.
    """

    op = "softmax"


class LogSoftmax(_AlongAxis):
    """Logarithm of the softmax, without loss of precision; what `NLLLoss` takes.

    Parameters
    ----------
    dim : int, optional
        Axis of the classes; by default 1, the one after the batch (3-D input needs it said).
    """

    op = "log_softmax"
