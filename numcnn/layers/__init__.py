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
from .base import Layer, Parameter, no_grad
from .batch_norm import BatchNorm1d, BatchNorm2d
from .chain import Chain
from .conv import Conv2d
from .dropout import Dropout, Dropout2d
from .linear import Flatten, Linear
from .norm import GroupNorm, LayerNorm, LocalResponseNorm
from .pool import AvgPool2d, MaxPool2d
from .weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Chain",
    "Conv2d",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "no_grad",
    "remove_weight_norm",
    "weight_norm",
]
