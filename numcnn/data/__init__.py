"""Data sets, file formats, downloads and batches."""

from numcnn.data.augment import (
    color_jitter,
    cutout,
    random_affine,
    random_crop,
    random_horizontal_flip,
    random_shift,
)
from numcnn.data.cifar import read_cifar10
from numcnn.data.datasets import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    cifar10,
    digits,
    fashion_mnist,
    mnist,
)
from numcnn.data.download import DownloadError, fetch
from numcnn.data.idx import read_idx, write_idx
from numcnn.data.loader import DataLoader
from numcnn.data.transforms import compose, normalize, one_hot
from numcnn.data.whitening import Whitening, zca_whitening

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "DataLoader",
    "DownloadError",
    "Whitening",
    "cifar10",
    "color_jitter",
    "compose",
    "cutout",
    "digits",
    "fashion_mnist",
    "fetch",
    "mnist",
    "normalize",
    "one_hot",
    "random_affine",
    "random_crop",
    "random_horizontal_flip",
    "random_shift",
    "read_cifar10",
    "read_idx",
    "write_idx",
    "zca_whitening",
]
