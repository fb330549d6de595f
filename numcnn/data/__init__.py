"""Data sets, file formats, downloads and batches."""

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
from numcnn.data.transforms import normalize, random_shift

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "DataLoader",
    "DownloadError",
    "cifar10",
    "digits",
    "fashion_mnist",
    "fetch",
    "mnist",
    "normalize",
    "random_shift",
    "read_cifar10",
    "read_idx",
    "write_idx",
]
