"""The cases of ``numcnn gradcheck``: every layer and every loss, with the geometries that go wrong.

They are small, since every element costs two forward passes, and crooked: no two sizes are
alike, windows overlap or leave a rest, padding differs from side to side. An index that is swapped
or off by one shows in at least one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AlphaDropout,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    CircularPad2d,
    Concat,
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNorm,
    Hardtanh,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocallyConnected2d,
    LocalResponseNorm,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    MaxPool2d,
    MaxUnpool2d,
    PixelShuffle,
    PixelUnshuffle,
    PReLU,
    ReflectionPad2d,
    ReLU,
    ReLU6,
    ReplicationPad2d,
    Residual,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Upsample,
    ZeroPad2d,
    weight_norm,
)
from .losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Loss,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    PerceptronLoss,
    SmoothL1Loss,
)
from .model import Sequential

__all__ = ["CASES", "Case"]

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _spread(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return evenly spaced numbers in random order, none at 0: no two can tie, none is a kink."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 0.5) * (4.0 / size)
    return rng.permutation(values).reshape(shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape)


def _labels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return class numbers, for scores of this shape."""
    return rng.integers(0, shape[1], (shape[0], *shape[2:]))


def _inside(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers inside (0, 1), each on its own, far enough from both ends for a step."""
    return 0.5 + 0.2 * _spread(rng, shape)


def _shares(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return probabilities that add up to 1 over the classes."""
    drawn = rng.uniform(0.1, 1, shape)
    return drawn / drawn.sum(axis=1, keepdims=True)


def _log_shares(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.log(_shares(rng, shape))


@dataclass(frozen=True)
class Case:
    """A layer or loss and the shape of what it gets.

    Attributes
    ----------
    build : callable
        Makes the layer or the loss.
    shape : tuple of int
        Of the input.
    target : callable, optional
        Draws what a loss compares with, from a generator and the shape of the input.
    x : callable
        Draws the input in the same way.
    """

    build: Callable[[], Layer | Loss]
    shape: tuple[int, ...]
    target: Draw | None = None
    x: Draw = _spread

    @property
    def name(self) -> str:
        """The class that is checked."""
        return type(self.build()).__name__


def _small_lenet() -> Sequential:
    return Sequential(
        Conv2d(1, 2, 3), ReLU(), Conv2d(2, 3, 2), MaxPool2d(2), ReLU(), Flatten(), Linear(12, 4)
    )


def _unpooling(shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> MaxUnpool2d:
    """Return an unpooling whose pooling has run, on pictures of `shape`."""
    pool = MaxPool2d(kernel, stride, padding)
    unpool = MaxUnpool2d(kernel, stride, padding, pool=pool)
    pool(_spread(np.random.Generator(np.random.Philox(1)), shape))
    return unpool


CASES = (
    Case(lambda: Conv2d(2, 3, 3), (2, 2, 5, 6)),
    Case(lambda: Conv2d(3, 2, 1), (2, 3, 3, 4)),
    Case(lambda: Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2)), (2, 2, 6, 5)),
    Case(lambda: Conv2d(1, 2, 3, stride=3), (2, 1, 7, 8)),
    Case(lambda: Conv2d(2, 2, (2, 3), padding=2, dilation=(3, 2)), (1, 2, 6, 7)),
    Case(lambda: Conv2d(2, 2, 3, stride=2, padding=1, dilation=2), (1, 2, 8, 7)),
    Case(lambda: Conv2d(4, 6, 3, padding=1, groups=2), (1, 4, 4, 5)),
    Case(lambda: Conv2d(3, 6, (2, 3), groups=3, bias=False), (1, 3, 5, 6)),
    Case(lambda: Conv2d(1, 2, (2, 4), padding="same"), (2, 1, 5, 6)),
    Case(lambda: Conv2d(1, 2, (3, 2), padding=(2, 1), padding_mode="reflect"), (1, 1, 4, 3)),
    Case(lambda: Conv2d(2, 2, 3, 2, 2, groups=2, padding_mode="replicate"), (1, 2, 3, 4)),
    Case(lambda: Conv2d(1, 2, (2, 4), padding="same", padding_mode="circular"), (1, 1, 3, 4)),
    Case(lambda: ConvTranspose2d(2, 3, (3, 2)), (2, 2, 3, 4)),
    Case(lambda: ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 2), (1, 2), 2), (1, 4, 3, 4)),
    Case(lambda: ConvTranspose2d(2, 1, 2, padding=2, dilation=(3, 2)), (2, 2, 4, 5)),
    Case(lambda: LocallyConnected2d(2, 3, (5, 4), (3, 2), (2, 1), (1, 0)), (2, 2, 5, 4)),
    Case(lambda: LocallyConnected2d(1, 2, 4, (2, 3), (2, 3), bias=False), (2, 1, 4, 4)),
    Case(lambda: ZeroPad2d((1, 0, 2, 3)), (1, 2, 3, 4)),
    Case(lambda: ConstantPad2d((1, 0, 2, 3), -2.0), (1, 2, 3, 4)),
    Case(lambda: ReflectionPad2d((2, 1, 0, 2)), (1, 2, 3, 4)),
    Case(lambda: ReplicationPad2d((4, 1, 0, 3)), (1, 2, 3, 2)),
    Case(lambda: CircularPad2d((4, 1, 0, 2)), (1, 2, 3, 4)),
    Case(lambda: MaxPool2d(2), (2, 2, 4, 6)),
    Case(lambda: MaxPool2d((3, 2), stride=1), (1, 2, 5, 6)),
    Case(lambda: MaxPool2d(3, stride=2, padding=1), (2, 1, 6, 7)),
    Case(lambda: MaxPool2d(2, stride=2, dilation=(2, 3)), (1, 2, 7, 8)),
    Case(lambda: MaxPool2d(3, stride=2, ceil_mode=True), (1, 2, 6, 8)),
    Case(lambda: AvgPool2d(2), (2, 2, 4, 6)),
    Case(lambda: AvgPool2d((2, 3), stride=1), (1, 2, 5, 6)),
    Case(lambda: AvgPool2d(3, stride=2, padding=1), (2, 1, 6, 7)),
    Case(lambda: AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (1, 2, 6, 5)),
    Case(lambda: AvgPool2d(3, stride=2, ceil_mode=True), (1, 1, 6, 8)),
    Case(lambda: AvgPool2d(2, divisor_override=3), (1, 2, 4, 6)),
    Case(lambda: AdaptiveAvgPool2d(1), (2, 3, 4, 5)),
    Case(lambda: AdaptiveAvgPool2d((3, None)), (2, 1, 7, 4)),
    Case(lambda: AdaptiveAvgPool2d((5, 2)), (1, 2, 3, 7)),
    Case(lambda: AdaptiveMaxPool2d((3, 2)), (1, 2, 7, 5)),
    Case(lambda: AdaptiveMaxPool2d((None, 5)), (2, 1, 4, 3)),
    Case(lambda: _unpooling((2, 2, 5, 6), 2, 2, 0), (2, 2, 2, 3)),
    Case(lambda: _unpooling((1, 2, 5, 6), 3, 1, 1), (1, 2, 5, 6)),
    Case(lambda: Upsample(scale_factor=2), (2, 1, 3, 4)),
    Case(lambda: Upsample(scale_factor=(1.7, 0.6)), (1, 2, 4, 6)),
    Case(lambda: Upsample(size=(7, 4), mode="bilinear"), (1, 2, 4, 7)),
    Case(lambda: Upsample(scale_factor=1.7, mode="bilinear"), (2, 1, 3, 5)),
    Case(lambda: Upsample(size=(7, 5), mode="bilinear", align_corners=True), (1, 2, 4, 6)),
    Case(lambda: PixelShuffle(2), (2, 8, 2, 3)),
    Case(lambda: PixelUnshuffle(3), (1, 2, 6, 3)),
    Case(lambda: Linear(5, 4), (3, 5)),
    Case(lambda: Linear(5, 4, bias=False), (2, 3, 5)),
    Case(lambda: BatchNorm1d(3), (5, 3)),
    Case(lambda: BatchNorm1d(2), (3, 2, 4)),
    Case(lambda: BatchNorm2d(3), (2, 3, 4, 2)),
    Case(lambda: LayerNorm(5), (3, 5)),
    Case(lambda: LayerNorm((3, 4)), (2, 3, 4)),
    Case(lambda: GroupNorm(2, 6), (2, 6, 3, 2)),
    Case(lambda: LocalResponseNorm(3, 0.5), (2, 5, 3, 2)),
    Case(lambda: LocalResponseNorm(4, 0.5, 1.2, 2.0), (1, 6, 2, 3)),
    Case(lambda: weight_norm(Conv2d(2, 3, (2, 3))), (2, 2, 4, 5)),
    Case(lambda: weight_norm(Linear(5, 4), dim=None), (3, 5)),
    Case(Flatten, (2, 3, 4, 2)),
    Case(lambda: Flatten(0, 1), (2, 3, 4)),
    Case(ReLU, (3, 7)),
    Case(Sigmoid, (3, 7)),
    Case(Tanh, (3, 7)),
    Case(LeakyReLU, (3, 7)),
    Case(lambda: LeakyReLU(-0.5), (3, 7)),
    Case(lambda: ELU(0.7), (3, 7)),
    Case(SELU, (3, 7)),
    Case(GELU, (3, 7)),
    Case(lambda: GELU("tanh"), (3, 7)),
    Case(SiLU, (3, 7)),
    Case(lambda: Softplus(2.0, 3.0), (3, 7)),
    Case(Softsign, (3, 7)),
    Case(Softmax, (3, 6)),
    Case(lambda: Softmax(dim=-1), (2, 3, 2, 4)),
    Case(lambda: LogSoftmax(dim=1), (2, 4, 3)),
    Case(lambda: Dropout(0.4), (4, 9)),
    Case(lambda: Dropout2d(0.4), (3, 4, 2, 3)),
    Case(Identity, (2, 3)),
    Case(lambda: Residual(Sequential(Conv2d(2, 2, 3, padding=1), Tanh())), (2, 2, 3, 4)),
    Case(
        lambda: Residual(Conv2d(2, 3, 3, stride=2, padding=1), Conv2d(2, 3, 1, stride=2)),
        (1, 2, 5, 4),
    ),
    Case(lambda: Concat(Identity(), Conv2d(2, 3, 1), Sequential(Tanh())), (2, 2, 3, 2)),
    Case(lambda: Dropout1d(0.4), (3, 4, 5)),
    Case(lambda: Dropout3d(0.4), (2, 5, 2, 1, 3)),
    Case(lambda: AlphaDropout(0.4), (4, 9)),
    Case(lambda: GaussianDropout(0.4), (4, 9)),
    Case(lambda: GaussianNoise(0.5), (4, 9)),
    Case(PReLU, (3, 7)),
    Case(lambda: PReLU(4, 0.6), (2, 4, 2, 3)),
    Case(lambda: Maxout(5, 3, 4), (3, 5)),
    Case(lambda: Maxout(4, 2, 3, bias=False), (2, 3, 4)),
    Case(Hardtanh, (3, 7)),
    Case(lambda: Hardtanh(-1.5, 0.5), (3, 7)),
    Case(ReLU6, (3, 7)),
    Case(LogSigmoid, (3, 7)),
    Case(_small_lenet, (2, 1, 7, 8)),
    Case(CrossEntropyLoss, (4, 5), _labels),
    Case(lambda: CrossEntropyLoss(reduction="none"), (2, 3, 2, 4), _labels),
    Case(lambda: CrossEntropyLoss([0.5, 2, 1], ignore_index=1), (5, 3, 2), _labels),
    Case(lambda: CrossEntropyLoss([0.5, 2, 1], label_smoothing=0.2), (2, 3, 4), _labels),
    Case(CrossEntropyLoss, (4, 5), _shares),
    Case(lambda: CrossEntropyLoss([0.5, 2, 1], label_smoothing=0.2), (2, 3, 4), _shares),
    Case(NLLLoss, (4, 5), _labels),
    Case(lambda: NLLLoss(reduction="sum"), (2, 3, 4), _labels),
    Case(lambda: NLLLoss([0.5, 2, 1], ignore_index=1), (5, 3, 2), _labels),
    Case(lambda: MultiMarginLoss(margin=0.9), (4, 5), _labels),
    Case(lambda: MultiMarginLoss(2, 0.7, [0.5, 2, 1], reduction="none"), (5, 3), _labels),
    Case(BCELoss, (3, 5), _inside, _inside),
    Case(lambda: BCELoss([0.5, 2, 1], reduction="sum"), (5, 3), _inside, _inside),
    Case(BCEWithLogitsLoss, (3, 5), _inside),
    Case(lambda: BCEWithLogitsLoss([0.5, 2, 1], pos_weight=[3, 1, 0.2]), (5, 3), _inside),
    Case(KLDivLoss, (4, 5), _shares),
    Case(lambda: KLDivLoss("batchmean", log_target=True), (2, 3, 4), _log_shares),
    *(
        Case(functools.partial(MSELoss, reduction), (3, 5), _normal)
        for reduction in MSELoss.reductions
    ),
    Case(L1Loss, (3, 5), _normal),
    Case(lambda: SmoothL1Loss(beta=0.6), (3, 5), _normal),
    Case(lambda: HuberLoss(delta=0.6), (3, 5), _normal),
    Case(MSLELoss, (3, 5), _inside, _inside),
    Case(PerceptronLoss, (3, 5), _signs),
)
