"""numcnn: convolutional networks whose every gradient is a loop nest you can read.

>>> from numcnn import Conv2d, Flatten, Linear, ReLU, Sequential
>>> model = Sequential(Conv2d(1, 8, 3), ReLU(), Flatten(), Linear(8 * 26 * 26, 10))

`Sequential` trains, evaluates, predicts, describes and saves a network; `numcnn.data` brings
data, `numcnn.models` known networks, `numcnn.kernels` the loops themselves.
"""

from importlib.metadata import version as _version
from pathlib import Path as _Path

# In a checkout, kernels/ and bench/ lie beside this folder; installed, they lie inside it. Python
# started in a checkout imports this folder whatever is installed, so it has to find them there.
if not _Path(__file__).with_name("kernels").is_dir():
    __path__.append(str(_Path(__file__).parent.parent))

from . import data, init, losses, models, optim
from .checkpoint import load_weights, save_weights
from .curves import record_dead
from .data import DataLoader
from .device import DeviceError, get_device
from .diagnose import diagnose
from .gradcheck import gradcheck
from .history import History
from .init import manual_seed
from .layers import (
    ELU,
    GELU,
    SELU,
    AvgPool2d,
    Conv2d,
    Dropout,
    Dropout2d,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    Parameter,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    no_grad,
)
from .losses import CrossEntropyLoss, MSELoss, NLLLoss
from .model import Sequential
from .optim import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
from .schedulers import (
    CosineAnnealingLR,
    ExponentialLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from .shapes import ShapeError, conv_output_size

__version__ = _version("numcnn")

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "Conv2d",
    "CosineAnnealingLR",
    "CrossEntropyLoss",
    "DataLoader",
    "DeviceError",
    "Dropout",
    "Dropout2d",
    "ExponentialLR",
    "Flatten",
    "History",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "MultiStepLR",
    "NLLLoss",
    "OneCycleLR",
    "Parameter",
    "RMSprop",
    "ReLU",
    "ReduceLROnPlateau",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "StepLR",
    "Tanh",
    "conv_output_size",
    "data",
    "diagnose",
    "get_device",
    "gradcheck",
    "init",
    "load_weights",
    "losses",
    "manual_seed",
    "models",
    "no_grad",
    "optim",
    "record_dead",
    "save_weights",
]
