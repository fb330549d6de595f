"""Batch normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.order import flat, is_last
from ..shapes import ShapeError, as_count
from .base import Shape
from .conv import need_pictures
from .norm import Normalisation, need_channels

__all__ = ["BatchNorm1d", "BatchNorm2d"]


def _by_channel(array: Any) -> Any:
    """Return an array (N, C, ...), in whatever order it lies, as (N, C, S)."""
    n, c, *rest = array.shape
    if is_last(array):
        return array.transpose(0, 2, 3, 1).reshape(n, math.prod(rest), c).transpose(0, 2, 1)
    return array.reshape(n, c, math.prod(rest))


class _BatchNorm(Normalisation):
    """All of batch normalisation but the number of axes."""

    either_order = True
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str = "cpu",
        dtype: Any = "float32",
        *,
        bias: bool = True,
    ) -> None:
        channels = as_count(num_features, "num_features")
        super().__init__((channels,), eps, affine, bool(affine and bias), device, dtype)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(
                f"momentum must lie between 0 and 1, or be None for the mean over all batches, "
                f"got {momentum}"
            )
        self.num_features = channels
        self.momentum = None if momentum is None else float(momentum)
        self.track_running_stats = bool(track_running_stats)
        for name, values in self._fresh_statistics().items():
            if self.track_running_stats:
                self.register_buffer(name, values)
            else:
                setattr(self, name, None)

    def _fresh_statistics(self) -> dict[str, Any]:
        return {
            "running_mean": self.device.to_device(np.zeros(self.num_features, self.dtype)),
            "running_var": self.device.to_device(np.ones(self.num_features, self.dtype)),
            "num_batches_tracked": np.zeros((), np.int64),
        }

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            for name, values in self._fresh_statistics().items():
                setattr(self, name, values)

    def _reseed_own(self, root: np.random.SeedSequence) -> None:
        super()._reseed_own(root)
        self.reset_running_stats()  # they came from weights that are forgotten now

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"{self.num_features}{self._extras('affine')}"
        text += "" if self.momentum == 0.1 else f", momentum={self.momentum}"
        return text + ("" if self.track_running_stats else ", track_running_stats=False")

    def fuses_relu(self) -> bool:
        """Return whether a `ReLU` that follows this layer can be computed in the same pass."""
        ours = type(self) in (BatchNorm1d, BatchNorm2d)
        return ours and self.training and self.device.name != "reference"

    def folds(self) -> bool:
        """Return whether a convolution before this layer can take it into its weights."""
        tracks = type(self) is BatchNorm2d and self.track_running_stats
        return tracks and not self.training and self.device.name == "cpu"

    def as_affine(self) -> tuple[Any, Any]:
        """Return factors and shifts, float64: in evaluation the layer is factor * x + shift."""
        weight, bias = self._affine(np.float64)
        factor = weight / np.sqrt(np.asarray(self.running_var, np.float64) + self.eps)
        return factor, bias - self.running_mean * factor

    def _forward(self, x: Any) -> Any:
        return self._normalise(x, self.kernels.batch_norm_forward, False)

    def _forward_relu(self, x: Any) -> Any:
        return self._normalise(x, self.kernels.batch_norm_relu_forward, True)

    def _normalise(self, x: Any, forward: Any, keeps_output: bool) -> Any:
        shape = tuple(x.shape)
        y = self.device.like(x)
        views = _by_channel(x), _by_channel(y)
        factors = self._affine(x.dtype)
        count = shape[0] * math.prod(shape[2:])
        # a batch without examples has no statistics; it passes as in evaluation
        of_batch = count > 0 and (self.training or not self.track_running_stats)
        if of_batch:
            if count == 1:
                raise ShapeError(
                    f"{self!r} expects more than 1 value per channel when training, got 1: input "
                    f"of shape {shape}; one value has no spread. Use a larger batch, "
                    f"DataLoader(drop_last=True) where the last one is small, or eval()"
                )
            mean, var = (self.device.empty((self.num_features,), np.float64) for _ in range(2))
            forward(views[0], *factors, self.eps, mean, var, views[1])
        else:
            mean, var = self._running(x.dtype)
            self.kernels.batch_norm_eval_forward(views[0], *factors, mean, var, self.eps, views[1])
        self.save_for_backward(x, mean, var, of_batch, y if keeps_output else None)
        if self.training and self.track_running_stats:
            self._follow(mean, var, count)
        return y

    def _running(self, dtype: Any) -> tuple[Any, Any]:
        """Return the running statistics; for an empty batch of a layer without any, these."""
        if self.track_running_stats:
            return self.running_mean, self.running_var
        size = self.num_features
        device = self.device
        return device.to_device(np.zeros(size, dtype)), device.to_device(np.ones(size, dtype))

    def _follow(self, mean: Any, var: Any, count: int) -> None:
        """Move the running statistics towards those of a batch with `count` numbers each."""
        self.device.repeat(self._count)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / int(self.num_batches_tracked)
        if count > 0:
            self.kernels.batch_norm_update(
                mean, var, count, momentum, self.running_mean, self.running_var
            )

    def host_work(self) -> str | None:
        """Return what of a mean over all batches so far the host has to count."""
        if self.momentum is not None or not self.track_running_stats:
            return None
        return "with momentum=None the share of a batch is another one in every step"

    def _count(self) -> None:
        self.num_batches_tracked += 1

    def _backward_relu(self, dy: Any) -> Any:
        x, mean, var, of_batch, y = self._saved
        dy = self.device.match(dy, x)
        if of_batch and self.input_gradient:
            weight, _ = self._affine(dy.dtype)
            dweight, dbias = (self.device.empty((self.num_features,), dy.dtype) for _ in range(2))
            dx = self.device.like(x)
            views = _by_channel(dy), _by_channel(y), _by_channel(x), weight
            outputs = dweight, dbias, _by_channel(dx)
            self.kernels.batch_norm_relu_backward_input(*views, mean, var, self.eps, *outputs)
            self._add_grads(dweight, dbias)
            return dx
        dz = self.device.like(dy)
        self.kernels.relu_backward_input(flat(dy), flat(y), flat(dz))
        return self._backward(dz)

    def _backward(self, dy: Any) -> Any:
        x, mean, var, of_batch, _ = self._saved
        values, dy = _by_channel(x), _by_channel(self.device.match(dy, x))
        weight, _ = self._affine(dy.dtype)
        dweight, dbias = (self.device.empty((self.num_features,), dy.dtype) for _ in range(2))
        dx = self.device.like(x) if self.input_gradient else None
        statistics = (mean, var, self.eps)
        if of_batch and self.input_gradient:
            self.kernels.batch_norm_backward_input(
                dy, values, weight, *statistics, dweight, dbias, _by_channel(dx)
            )
        else:
            if self.weight is not None:
                self.kernels.batch_norm_backward_weight(dy, values, *statistics, dweight)
            if self.bias is not None:
                self.kernels.batch_norm_backward_bias(dy, dbias)
            if self.input_gradient:
                self.kernels.batch_norm_eval_backward_input(
                    dy, weight, var, self.eps, _by_channel(dx)
                )
        self._add_grads(dweight, dbias)
        return dx


class BatchNorm1d(_BatchNorm):
    """Give every feature mean 0 and variance 1 over the batch; then scale and shift.

    ``y = weight[c] * (x - mean[c]) / sqrt(var[c] + eps) + bias[c]``. In training, mean and
    variance are those of the batch (of all places too, where there are any), the variance divided
    by the number of values; the gradient flows through both. In evaluation they are the running
    ones, and count as constants (Ioffe and Szegedy, "Batch normalization: accelerating deep
    network training by reducing internal covariate shift", 2015).

    Parameters
    ----------
    num_features : int
        Size C of an input (N, C) or (N, C, L).
    eps : float
        Added to the variance, so that equal numbers aren't divided by 0.
    momentum : float or None
        Share of the newest batch in the running statistics,
        ``running = (1 - momentum) * running + momentum * new``, where the new variance is divided
        by the number of values less 1. None: the mean over all batches so far.
    affine : bool
        Whether each feature has a learnable weight (at first 1) and bias (at first 0).
    track_running_stats : bool
        Keep running statistics. Without them, evaluation takes the batch's, as training does.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}
    bias : bool
        Whether there is a bias beside the weight.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
    running_mean, running_var : array, shape (num_features,), or None
        At first 0 and 1; part of the state dict.
    num_batches_tracked : ndarray, shape (), int64, or None
        Training batches seen.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no such layer.

    Notes
    -----
    Training needs more than one value per feature, or `ShapeError` is raised. Sums, and a batch's
    mean and variance, are float64 in float32 layers too.

    Examples
    --------
    >>> BatchNorm1d(3).output_shape((8, 3))
    (8, 3)
    """

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be (N, num_features) or (N, num_features, L)."""
        if len(shape) not in (2, 3):
            raise ShapeError(
                f"{self!r} expects (N, C) or (N, C, L), 2 or 3 axes, got {len(shape)} "
                f"{'axis' if len(shape) == 1 else 'axes'}: {shape}"
                + ("; pictures need BatchNorm2d" if len(shape) == 4 else "")
            )
        need_channels(self, shape, self.num_features)
        return shape


class BatchNorm2d(_BatchNorm):
    """Give every channel of a batch of pictures mean 0 and variance 1; then scale and shift.

    ``y = weight[c] * (x - mean[c]) / sqrt(var[c] + eps) + bias[c]``. In training, mean and
    variance are those of the batch, over all its examples and pixels, the variance divided by
    their number; the gradient flows through both. In evaluation they are the running ones, and
    count as constants (Ioffe and Szegedy, "Batch normalization: accelerating deep network
    training by reducing internal covariate shift", 2015).

    Parameters
    ----------
    num_features : int
        Channels C of an input (N, C, H, W).
    eps : float
        Added to the variance, so that equal numbers aren't divided by 0.
    momentum : float or None
        Share of the newest batch in the running statistics,
        ``running = (1 - momentum) * running + momentum * new``, where the new variance is divided
        by the number of values less 1. None: the mean over all batches so far.
    affine : bool
        Whether each channel has a learnable weight (at first 1) and bias (at first 0).
    track_running_stats : bool
        Keep running statistics. Without them, evaluation takes the batch's, as training does.
    device : {"cpu", "cuda", "reference"}
    dtype : {"float32", "float64"}
    bias : bool
        Whether there is a bias beside the weight.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
    running_mean, running_var : array, shape (num_features,), or None
        At first 0 and 1; part of the state dict.
    num_batches_tracked : ndarray, shape (), int64, or None
        Training batches seen.

    Raises
    ------
    TypeError, ValueError
        For arguments that make no such layer.

    Notes
    -----
    Training needs more than one value per channel, or `ShapeError` is raised. Sums, and a batch's
    mean and variance, are float64 in float32 layers too.

    Examples
    --------
    >>> BatchNorm2d(3).output_shape((8, 3, 5, 6))
    (8, 3, 5, 6)
    """

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`, which must be (N, num_features, H, W)."""
        need_pictures(self, shape)
        need_channels(self, shape, self.num_features)
        return shape
