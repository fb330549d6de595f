"""Layers: what a network is built from, with the names and arguments of ``torch.nn``."""

from .activation import (
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .adaptive_pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d
from .base import Layer, Parameter, no_grad
from .chain import Chain
from .conv import Conv2d
from .dropout import Dropout, Dropout2d
from .linear import Flatten, Linear
from .pool import AvgPool2d, MaxPool2d
from .unpool import MaxUnpool2d
from .upsample import PixelShuffle, PixelUnshuffle, Upsample

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "Chain",
    "Conv2d",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "MaxUnpool2d",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Upsample",
    "no_grad",
]
