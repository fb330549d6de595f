"""Layers: what a network is built from, with the names and arguments of ``torch.nn``."""

from .activation import (
    ELU,
    GELU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .adaptive_pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d
from .base import Layer, Parameter, is_grad_enabled, no_grad
from .batch_norm import BatchNorm1d, BatchNorm2d
from .branches import Concat, Identity, Residual
from .chain import Chain
from .conv import Conv2d
from .conv_transpose import ConvTranspose2d
from .dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    GaussianDropout,
    GaussianNoise,
)
from .linear import Flatten, Linear
from .locally_connected import LocallyConnected2d
from .norm import GroupNorm, LayerNorm, LocalResponseNorm
from .padding import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from .pool import AvgPool2d, MaxPool2d
from .units import Maxout, PReLU, Step
from .unpool import MaxUnpool2d
from .upsample import PixelShuffle, PixelUnshuffle, Upsample
from .weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AlphaDropout",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Chain",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNorm",
    "Hardtanh",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2d",
    "MaxUnpool2d",
    "Maxout",
    "PReLU",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Tanh",
    "Upsample",
    "ZeroPad2d",
    "is_grad_enabled",
    "no_grad",
    "remove_weight_norm",
    "weight_norm",
]
