"""Max unpooling: put numbers back where max pooling found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..shapes import ShapeError, as_count, as_pair
from .base import Layer, Shape
from .conv import need_pictures, need_pixels
from .pool import MaxPool2d

__all__ = ["MaxUnpool2d"]

Size = tuple[int, int]


class MaxUnpool2d(Layer):
    """Put each number back where a `MaxPool2d` found the largest; everything else is 0.

    Where the indices come from: either they are given to `forward`, as PyTorch does it ::

        pool, unpool = MaxPool2d(2, return_indices=True), MaxUnpool2d(2)
        y, indices = pool(x)
        back = unpool(y, indices)

    or, in a `Sequential`, whose layers hand on one array only, the layer that is undone is named ::

        pool = MaxPool2d(2)
        autoencoder = Sequential(
            Conv2d(1, 8, 3, padding=1), pool, Conv2d(8, 8, 3, padding=1), MaxUnpool2d(2, pool=pool)
        )

    Then the indices are those of that layer's last forward pass, whichever batch that was of; and
    the output has the size of the pictures that it pooled.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        Those of the pooling that is undone; stride is by default the window's size.
    pool : MaxPool2d, optional
        The layer that is undone. It keeps the indices of each forward pass from now on.

    Raises
    ------
    TypeError
        If `pool` is no `MaxPool2d`.
    ValueError
        If it has another kernel_size, stride or padding.

    Notes
    -----
    Without `output_size` or `pool` the output's height is ``(H - 1) stride - 2 padding +
    kernel_size``, and likewise its width: what pooling left over at the edge is not restored.

    Windows that overlap can name one place twice. The last of them in row-major order wins, on
    every device, and only its number receives a gradient (in PyTorch it is undefined which wins).

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        *,
        pool: MaxPool2d | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = as_pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else as_pair(stride, "stride")
        self.padding = as_pair(padding, "padding", 0)
        self._given: tuple[Any, Any] = (None, None)
        self.pool: MaxPool2d | None
        # not by assignment, which would make the pooling a layer inside this one
        object.__setattr__(self, "pool", pool)
        if pool is None:
            return
        if not isinstance(pool, MaxPool2d):
            raise TypeError(f"pool must be the MaxPool2d layer that is undone, got {pool!r}")
        for name in ("kernel_size", "stride", "padding"):
            own, other = getattr(self, name), getattr(pool, name)
            if own != other:
                raise ValueError(
                    f"{self!r} can't undo {pool!r}: {name} is {own} here, {other} there"
                )
        pool.keep_indices = True

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults."""
        text = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return text + (f", padding={self.padding}" if any(self.padding) else "")

    def __call__(self, x: Any, indices: Any = None, output_size: Any = None) -> Any:
        """Return ``self.forward(x, indices, output_size)``."""
        return self.forward(x, indices, output_size)

    def forward(self, x: Any, indices: Any = None, output_size: Any = None) -> Any:
        """Return the unpooled pictures, and keep what `backward` will need.

        Parameters
        ----------
        x : array, shape (N, C, H, W)
        indices : array of whole numbers, shape (N, C, H, W), optional
            Place of each number in the output's plane, ``oh * OW + ow``; -1, for a window that saw
            no pixel, puts it nowhere. Without them those of `pool` are taken. On the GPU they are
            copied to the host to be checked.
        output_size : (int, int) or (int, int, int, int), optional
            (OH, OW) or (N, C, OH, OW): the size before pooling, where that isn't the least one
            with this output. It must be less than one stride away.

        Raises
        ------
        ShapeError
            If `x`, `indices` or `output_size` don't fit each other.
        TypeError
            If there are no indices, or they are no whole numbers.
        ValueError
            If an index lies outside the output's plane.
        RuntimeError
            If `pool` has seen no picture yet.
        """
        self._given = indices, output_size
        try:
            return super().forward(x)
        finally:
            self._given = None, None

    def output_shape(self, shape: Shape) -> Shape:
        """Return (N, C, OH, OW) for an input of `shape` (N, C, H, W)."""
        need_pictures(self, shape)
        indices, size = self._given
        pool = self.pool
        if indices is None and size is None and pool is not None and pool.asked is not None:
            pooled = pool.asked
            if pool.output_shape(pooled)[2:] == tuple(shape[2:]):
                return (*shape[:2], *pooled[2:])
        default = self._default_size(shape)
        return (*shape[:2], *(default if size is None else self._asked_size(size, shape, default)))

    def _default_size(self, shape: Shape) -> Size:
        sizes = []
        for axis, word in enumerate(("height", "width")):
            size, stride = shape[2 + axis], self.stride[axis]
            pad, kernel = self.padding[axis], self.kernel_size[axis]
            try:
                need_pixels(size)
            except ShapeError as error:
                raise ShapeError(f"{self!r}, {word}: {error}") from None
            sizes.append((size - 1) * stride - 2 * pad + kernel)
            if sizes[-1] < 1:
                raise ShapeError(
                    f"{self!r}, {word}: ({size} - 1)*{stride} - 2*{pad} + {kernel} = {sizes[-1]} "
                    f"is less than 1; use less padding"
                )
        return sizes[0], sizes[1]

    def _asked_size(self, output_size: Any, shape: Shape, default: Size) -> Size:
        """Return `output_size` as (OH, OW), if pooling pictures of that size gives `shape`."""
        if not isinstance(output_size, Sequence) or len(output_size) not in (2, 4):
            raise ShapeError(
                f"{self!r}: output_size must be (height, width) or (N, C, height, width), "
                f"got {output_size!r}"
            )
        if len(output_size) == 4 and tuple(output_size[:2]) != tuple(shape[:2]):
            raise ShapeError(
                f"{self!r}: output_size {tuple(output_size)} begins with other sizes than the "
                f"input's shape {shape}"
            )
        height, width = (as_count(size, "output_size") for size in output_size[-2:])
        for size, usual, step in zip((height, width), default, self.stride, strict=True):
            if not usual - step < size < usual + step:
                raise ShapeError(
                    f"{self!r}: output_size {(height, width)} is too far from {default}; "
                    f"{size} must be more than {usual - step} and less than {usual + step}"
                )
        return height, width

    def _pooled(self, shape: Shape) -> tuple[Any, Size]:
        """Return indices and picture size of the last forward pass of `pool`."""
        pool = self.pool
        if pool is None:
            raise TypeError(
                f"{self!r} needs indices: layer(x, indices), with the indices of "
                f"MaxPool2d(..., return_indices=True); in a Sequential make it with "
                f"MaxUnpool2d(..., pool=the MaxPool2d layer)"
            )
        if pool.indices is None:
            raise RuntimeError(
                f"{self!r} takes the indices of {pool!r}, which has kept none yet: it must run "
                f"first, once this layer is made and both are on their device"
            )
        if not self.device.owns(pool.indices):
            raise TypeError(
                f"{self!r} is on the {self.device.name} and {pool!r} on the {pool.device.name}"
            )
        if tuple(pool.indices.shape) != shape:
            raise ShapeError(
                f"{self!r} got an input of shape {shape}, but {pool!r} made an output of shape "
                f"{tuple(pool.indices.shape)}: the layers between must keep the shape"
            )
        return self.device.planes(pool.indices), (pool.pooled[2], pool.pooled[3])

    def _checked(self, indices: Any, shape: Shape, size: Size) -> Any:
        """Return the user's indices as an array of this device; refuse what can't be right."""
        on_gpu = self.device.name == "cuda"
        if on_gpu and not self.device.owns(indices):
            raise TypeError(f"{self!r} is on the GPU and the indices are not; copy them first")
        host = np.asarray(self.device.to_host(indices) if on_gpu else indices)
        if host.dtype.kind not in "iu":
            raise TypeError(f"{self!r}: indices must be whole numbers, got dtype {host.dtype}")
        if host.shape != shape:
            raise ShapeError(
                f"{self!r}: the indices have shape {host.shape} and the input {shape}; each "
                f"number needs its place"
            )
        places = size[0] * size[1]
        wrong = host[(host < -1) | (host >= places)]
        if wrong.size:
            raise ValueError(
                f"{self!r}: index {wrong[0]} lies outside the output of {size[0]}×{size[1]} "
                f"pixels, whose places are 0 to {places - 1}; if the pooled pictures were larger, "
                f"give their size as output_size"
            )
        return indices if on_gpu else np.ascontiguousarray(host, np.int64)

    def _forward(self, x: Any) -> Any:
        shape = tuple(x.shape)
        indices, output_size = self._given
        size: Size = self.output_shape(shape)[2:]  # type: ignore[assignment]
        if indices is not None:
            indices = self._checked(indices, shape, size)
        else:
            indices, pooled = self._pooled(shape)
            if output_size is not None and size != pooled:
                raise ShapeError(
                    f"{self!r}: output_size is {size}, but pool saw pictures of {pooled}"
                )
            size = pooled
        y = self.device.empty((*shape[:2], *size), x.dtype)
        winner = self.device.empty((*shape[:2], *size), np.int32)
        self.kernels.max_unpool2d_forward(x, indices, y, winner)
        self.save_for_backward(indices, winner, shape, x.dtype)
        return y

    def _backward(self, dy: Any) -> Any:
        indices, winner, shape, dtype = self._saved
        dx = self.device.empty(shape, dtype)
        self.kernels.max_unpool2d_backward_input(dy, indices, winner, dx)
        return dx
