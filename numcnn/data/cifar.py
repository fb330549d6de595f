"""The binary version of CIFAR-10: records of one label byte and 3 x 32 x 32 pixel bytes.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from numcnn.data.streams import open_plain_or_gzip, read_at_most

IMAGE_SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = 10
# The format declares no length. All of CIFAR-10 is 60,000 records, so a gzip file that unpacks
# to more than this is not CIFAR-10, and reading stops before it fills the memory.
MAX_RECORDS = 100_000


def read_cifar10(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of CIFAR-10 records, plain or gzipped (told apart by content).

    Parameters
    ----------
    path : path-like
        Such as ``data_batch_1.bin``; any number of records from 1 to 100,000.

    Returns
    -------
    images : ndarray of uint8, shape (N, 3, 32, 32)
        Red, green and blue planes.
    labels : ndarray of uint8, shape (N,)
        0 to 9.

    Raises
    ------
    ValueError
        If the size is not a multiple of 3,073 bytes, a label is above 9, or the gzip stream is
        damaged. The sentence names the file and the arithmetic or the record.
    OSError
        If the file cannot be read.
    """
    with open_plain_or_gzip(path) as (stream, _):
        data = read_at_most(stream, MAX_RECORDS * RECORD + 1, path)
    return _parse(data, path)


def read_cifar10_archive(
    path: str | os.PathLike, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Read record files straight out of ``cifar-10-binary.tar.gz``, unpacking nothing to disk.

    Parameters
    ----------
    path : path-like
        The archive.
    names : sequence of str
        The files wanted, such as ``["test_batch.bin"]``, in the order to join them. The folder
        they lie in inside the archive does not matter.

    Returns
    -------
    images : ndarray of uint8, shape (N, 3, 32, 32)
    labels : ndarray of uint8, shape (N,)

    Raises
    ------
    ValueError
        If the archive is damaged, lacks a file, or a file is not as `read_cifar10` wants it.
    OSError
        If the archive cannot be read.
    """
    parts = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in names:
                    stream = archive.extractfile(member)
                    assert stream is not None  # only for members that are no files
                    data = stream.read(MAX_RECORDS * RECORD + 1)
                    parts[name] = _parse(data, f"{path} ({member.name})")
                if len(parts) == len(names):
                    break
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: the tar.gz archive is cut off or damaged: expected {', '.join(names)}, "
            f"found {', '.join(parts) or 'none of them'} before the fault ({error})"
        ) from error
    missing = [name for name in names if name not in parts]
    if missing:
        raise ValueError(f"{path}: expected {', '.join(names)}; lacks {', '.join(missing)}")
    images, labels = zip(*(parts[name] for name in names), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _parse(data, path):
    size = len(data)
    if size > MAX_RECORDS * RECORD:
        raise ValueError(
            f"{path}: expected at most {MAX_RECORDS:,} records of {RECORD:,} bytes, "
            f"{MAX_RECORDS * RECORD:,} bytes; found more"
        )
    count, rest = divmod(size, RECORD)
    if rest or not count:
        raise ValueError(
            f"{path}: expected one or more records of {RECORD:,} bytes "
            f"(1 label + 3 x 32 x 32 pixels); found {size:,} bytes "
            f"= {count:,} x {RECORD:,} + {rest:,}"
        )
    records = np.frombuffer(data, np.uint8).reshape(count, RECORD)
    labels = records[:, 0].copy()
    if labels.max() >= CLASSES:
        bad = int(np.argmax(labels >= CLASSES))
        raise ValueError(
            f"{path}: expected labels 0 to {CLASSES - 1}; record {bad:,} "
            f"(at byte {bad * RECORD:,}) has label {labels[bad]}"
        )
    return np.ascontiguousarray(records[:, 1:]).reshape(count, *IMAGE_SHAPE), labels
