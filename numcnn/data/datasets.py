"""The data sets, as arrays ready for training.

Every function returns ``(x_train, y_train), (x_test, y_test)``, or one of the two pairs with
``split="train"`` or ``split="test"``.
"""

import os
from importlib import resources

import numpy as np

from numcnn.data.cifar import read_cifar10, read_cifar10_archive
from numcnn.data.download import fetch
from numcnn.data.idx import read_idx
from numcnn.data.locate import (
    cache_folder,
    candidate_folders,
    data_folder_is_fashion,
    find_together,
)
from numcnn.data.sources import CIFAR10_ARCHIVE, CIFAR10_BATCHES, FASHION_MNIST, MNIST

Pair = tuple[np.ndarray, np.ndarray]

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def digits(*, split: str | None = None) -> tuple[Pair, Pair] | Pair:
    """Load 14,000 handwritten digits that come with numcnn: no network, no download.

    A subset of MNIST with 1,200 training and 200 test images of each digit; see
    ``numcnn/data/bundled/README.md``.

    Parameters
    ----------
    split : {None, "train", "test"}
        Return both pairs, or one.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        `x` float32 in [0, 1] of shape (12000, 1, 28, 28) and (2000, 1, 28, 28); `y` int64 of
        shape (12000,) and (2000,).

    Raises
    ------
    ValueError
        If `split` is something else.
    """
    return _splits(_bundled_digits, split)


def mnist(*, split: str | None = None) -> tuple[Pair, Pair] | Pair:
    """Load MNIST: 60,000 + 10,000 handwritten digits.

    The four IDX files, plain or gzipped, are looked for in ``NUMCNN_DATA_DIR`` and its folders
    ``mnist`` and ``MNIST/raw``, then in the cache, then downloaded (11 MB). Files in
    ``NUMCNN_DATA_DIR`` may be a subset: their structure is checked, not their hash.

    Parameters
    ----------
    split : {None, "train", "test"}
        Return both pairs, or one.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        `x` float32 in [0, 1] of shape (N, 1, 28, 28), `y` int64 of shape (N,).

    Raises
    ------
    DownloadError
        If the files are not on this machine and cannot be downloaded.
    FileNotFoundError
        If a folder of ``NUMCNN_DATA_DIR`` holds some of a split's files, but not all.
    ValueError
        If a file is damaged, or `split` is something else.
    """
    return _splits(_mnist, split)


def fashion_mnist(*, split: str | None = None) -> tuple[Pair, Pair] | Pair:
    """Load Fashion-MNIST: 60,000 + 10,000 pictures of clothes in 10 classes.

    As `mnist`, in the folders ``fashion-mnist``, ``fashion_mnist`` and ``FashionMNIST/raw`` of
    ``NUMCNN_DATA_DIR``; in ``NUMCNN_DATA_DIR`` itself only if its name contains "fashion", since
    the files of MNIST have the same names. The download is 31 MB. The classes' names are
    `FASHION_MNIST_CLASSES`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747.

    Parameters
    ----------
    split : {None, "train", "test"}
        Return both pairs, or one.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        `x` float32 in [0, 1] of shape (N, 1, 28, 28), `y` int64 of shape (N,).

    Raises
    ------
    DownloadError, FileNotFoundError, ValueError
        As `mnist`.
    """
    return _splits(_fashion_mnist, split)


def cifar10(*, split: str | None = None) -> tuple[Pair, Pair] | Pair:
    """Load CIFAR-10: 50,000 + 10,000 colour pictures in 10 classes.

    ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, plain or gzipped, are
    looked for in ``NUMCNN_DATA_DIR`` and its folders ``cifar10``, ``cifar-10-batches-bin`` and
    ``cifar10-subset``; then ``cifar-10-binary.tar.gz`` in the same places, then in the cache;
    then it is downloaded (170 MB). The classes' names are `CIFAR10_CLASSES`.

    Parameters
    ----------
    split : {None, "train", "test"}
        Return both pairs, or one.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        `x` float32 in [0, 1] of shape (N, 3, 32, 32), `y` int64 of shape (N,).

    Raises
    ------
    DownloadError, FileNotFoundError, ValueError
        As `mnist`.
    """
    return _splits(_cifar10, split)


def _splits(load, split):
    if split is None:
        return load("train"), load("test")
    if split not in ("train", "test"):
        raise ValueError(f'split must be None, "train" or "test"; got {split!r}')
    return load(split)


def _bundled_digits(split):
    folder = resources.files(__package__) / "bundled"
    images, labels = (folder / remote.name for remote in MNIST[split])
    # as_file: an installed package may be a zip file.
    with resources.as_file(images) as images_path, resources.as_file(labels) as labels_path:
        return _read_idx_pair(images_path, labels_path)


def _mnist(split):
    folders = candidate_folders(("mnist", "MNIST/raw"), itself=not data_folder_is_fashion())
    return _idx_split(MNIST[split], folders, "mnist")


def _fashion_mnist(split):
    folders = candidate_folders(
        ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"), itself=data_folder_is_fashion()
    )
    return _idx_split(FASHION_MNIST[split], folders, "fashion-mnist")


def _cifar10(split):
    folders = candidate_folders(("cifar10", "cifar-10-batches-bin", "cifar10-subset"))
    names = CIFAR10_BATCHES[split]
    paths = find_together(names, folders)
    if paths:
        parts = [read_cifar10(path) for path in paths]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _as_training_arrays(images, labels)
    archive = next(
        (path for folder in folders if (path := folder / CIFAR10_ARCHIVE.name).is_file()), None
    )
    if archive is None:
        archive = _fetch(CIFAR10_ARCHIVE, "cifar10")
    return _as_training_arrays(*read_cifar10_archive(archive, names))


def _idx_split(remotes, folders, dataset):
    paths = find_together([remote.name.removesuffix(".gz") for remote in remotes], folders)
    return _read_idx_pair(*(paths or [_fetch(remote, dataset) for remote in remotes]))


def _fetch(remote, dataset):
    return fetch(remote.name, remote.urls, remote.sha256, cache_folder(dataset))


def _read_idx_pair(images_path: str | os.PathLike, labels_path: str | os.PathLike) -> Pair:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(
            f"{images_path}: expected uint8 images of shape (N, 28, 28), N at least 1; "
            f"found {images.dtype} {images.shape}"
        )
    if labels.dtype != np.uint8 or labels.shape != (len(images),):
        raise ValueError(
            f"{labels_path}: expected {len(images)} uint8 labels, one for each image of "
            f"{images_path}; found {labels.dtype} {labels.shape}"
        )
    if labels.max() > 9:
        bad = int(np.argmax(labels > 9))
        raise ValueError(f"{labels_path}: expected labels 0 to 9; label {bad} is {labels[bad]}")
    return _as_training_arrays(images[:, np.newaxis], labels)


def _as_training_arrays(images, labels):
    # Divided, not multiplied by a rounded 1/255: 255 becomes exactly 1.
    return np.divide(images, 255, dtype=np.float32), labels.astype(np.int64)
