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
from .base import Layer, Parameter, no_grad
from .chain import Chain
from .conv import Conv2d
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
from .pool import AvgPool2d, MaxPool2d
from .units import Maxout, PReLU, Step

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AlphaDropout",
    "AvgPool2d",
    "Chain",
    "Conv2d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Hardtanh",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2d",
    "Maxout",
    "PReLU",
    "Parameter",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Tanh",
    "no_grad",
]
