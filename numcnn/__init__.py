"""numcnn: convolutional networks whose every gradient is a loop nest you can read.

>>> from numcnn import Conv2d, Flatten, Linear, ReLU, Sequential
>>> model = Sequential(Conv2d(1, 8, 3), ReLU(), Flatten(), Linear(8 * 26 * 26, 10))

`Sequential` trains, evaluates, predicts, describes and saves a network; `numcnn.data` brings
data, `numcnn.models` known networks, `numcnn.kernels` the loops themselves.
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from pathlib import Path as _Path

# In a checkout, kernels/ and bench/ lie beside this folder; installed, they lie inside it. Python
# started in a checkout imports this folder whatever is installed, so it has to find them there.
if not _Path(__file__).with_name("kernels").is_dir():
    __path__.append(str(_Path(__file__).parent.parent))

from . import data, init, losses, metrics, models, optim
from .callbacks import BestCheckpoint, Callback, CSVLogger, EarlyStopping
from .checkpoint import load_weights, save_weights, weights_hash
from .clipping import clip_grad_norm, clip_grad_norm_, clip_grad_value, clip_grad_value_
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
    Parameter,
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
    Step,
    Tanh,
    Upsample,
    ZeroPad2d,
    is_grad_enabled,
    no_grad,
    remove_weight_norm,
    weight_norm,
)
from .losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    PerceptronLoss,
    SmoothL1Loss,
)
from .memory import TooLargeError
from .model import Sequential
from .nanguard import NaNGuard
from .optim import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
from .regularization import L1, L2
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
    "L1",
    "L2",
    "SELU",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AlphaDropout",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BestCheckpoint",
    "CSVLogger",
    "Callback",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Conv2d",
    "ConvTranspose2d",
    "CosineAnnealingLR",
    "CrossEntropyLoss",
    "DataLoader",
    "DeviceError",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "EarlyStopping",
    "ExponentialLR",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNorm",
    "Hardtanh",
    "History",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MSLELoss",
    "MaxPool2d",
    "MaxUnpool2d",
    "Maxout",
    "MultiMarginLoss",
    "MultiStepLR",
    "NLLLoss",
    "NaNGuard",
    "OneCycleLR",
    "PReLU",
    "Parameter",
    "PerceptronLoss",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSprop",
    "ReLU",
    "ReLU6",
    "ReduceLROnPlateau",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Residual",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "StepLR",
    "Tanh",
    "TooLargeError",
    "Upsample",
    "ZeroPad2d",
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value",
    "clip_grad_value_",
    "conv_output_size",
    "data",
    "diagnose",
    "get_device",
    "gradcheck",
    "init",
    "is_grad_enabled",
    "load_weights",
    "losses",
    "manual_seed",
    "metrics",
    "models",
    "no_grad",
    "optim",
    "record_dead",
    "remove_weight_norm",
    "save_weights",
    "weight_norm",
    "weights_hash",
]

_LATER = ("callbacks", "gallery", "lectures", "metrics", "pictures", "schedulers")


def __getattr__(name: str) -> object:
    """Import what one looks at only when it is asked for."""
    if name in _LATER:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
