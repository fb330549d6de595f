"""The IDX format of the MNIST files: an array with a small big-endian header.

Two zero bytes, a type code, the number of dimensions, one unsigned 32-bit size for each
dimension, then the values in row-major order, all big-endian.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np

from numcnn.data.streams import open_plain_or_gzip, read_at_most
from numcnn.memory import need_memory

DTYPE_OF_CODE: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
CODE_OF_DTYPE = {dtype.newbyteorder("="): code for code, dtype in DTYPE_OF_CODE.items()}
# NumPy 1.x arrays have at most 32 dimensions.
MAX_RANK = 32
MAX_SIZE = 2**32 - 1


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file, plain or gzipped (told apart by content, not by name).

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ndarray
        A new C-contiguous array in native byte order: uint8, int8, int16, int32, float32 or
        float64.

    Raises
    ------
    ValueError
        If the file is not IDX, is cut off, or holds bytes after the last value. The sentence
        names the file, what was expected and what was found.
    OSError
        If the file cannot be read.
    """
    with open_plain_or_gzip(path) as (stream, size):
        dtype, shape = _read_header(stream, path)
        header = 4 + 4 * len(shape)
        expected = math.prod(shape) * dtype.itemsize
        # A plain file's size is known, so a false header costs no memory at all.
        if size is not None and size != header + expected:
            raise _wrong_length(path, dtype, shape, header, f"{size - header:,}")
        shown = " × ".join(map(str, shape))
        need_memory(expected, f"{path}: {shown} values", "check the file, or split it")
        data = read_at_most(stream, expected, path)
        if len(data) < expected:
            raise _wrong_length(path, dtype, shape, header, f"{len(data):,}")
        # Asking for one byte more finds surplus data without unpacking all of it, and reaching
        # the end is what makes gzip verify its checksum.
        if read_at_most(stream, 1, path):
            raise _wrong_length(path, dtype, shape, header, f"more than {expected:,}")
    values = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    try:
        return values.reshape(shape)
    except ValueError as error:
        # Such as 0 x (2**32 - 1) x (2**32 - 1) x (2**32 - 1): no data, but beyond NumPy's index.
        raise ValueError(f"{path}: cannot make an array of shape {shape} ({error})") from error


def write_idx(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write an array as an IDX file, gzipped if the name ends in ``.gz``.

    The same array always gives the same bytes: the gzip header carries no time and no name.

    Parameters
    ----------
    path : path-like
        The file to write; an existing one is overwritten.
    array : array_like
        Values of type uint8, int8, int16, int32, float32 or float64 (any byte order), with 1 to
        32 dimensions.

    Raises
    ------
    ValueError
        If IDX has no code for the type, or the shape does not fit the header.
    OSError
        If the file cannot be written.
    """
    array = np.asarray(array)
    code = CODE_OF_DTYPE.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in CODE_OF_DTYPE)
        raise ValueError(f"{path}: IDX holds {known}; got {array.dtype}")
    if not 1 <= array.ndim <= MAX_RANK:
        raise ValueError(f"{path}: IDX here needs 1 to {MAX_RANK} dimensions; got {array.ndim}")
    if max(array.shape) > MAX_SIZE:
        raise ValueError(f"{path}: IDX sizes are at most {MAX_SIZE:,}; got shape {array.shape}")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    values = array.astype(DTYPE_OF_CODE[code], copy=False).tobytes()
    with Path(path).open("wb") as raw:
        if not os.fspath(path).endswith(".gz"):
            raw.write(header + values)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            packed.write(header + values)


def _read_header(stream, path):
    magic = bytes(read_at_most(stream, 4, path))
    if len(magic) < 4:
        raise ValueError(
            f"{path}: expected an IDX file, which starts with 4 bytes 00 00 type rank; "
            f"found {len(magic)} bytes ({magic.hex(' ') or 'none'})"
        )
    code, rank = magic[2], magic[3]
    if magic[:2] != b"\0\0" or code not in DTYPE_OF_CODE:
        known = ", ".join(f"{code:02x}" for code in DTYPE_OF_CODE)
        raise ValueError(
            f"{path}: expected an IDX file, which starts with 4 bytes 00 00 type rank, "
            f"type one of {known}; found {magic.hex(' ')}"
        )
    if not 1 <= rank <= MAX_RANK:
        raise ValueError(f"{path}: expected 1 to {MAX_RANK} dimensions, found {rank} (IDX byte 3)")
    sizes = bytes(read_at_most(stream, 4 * rank, path))
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{path}: expected {rank} sizes of 4 bytes, {4 * rank} bytes after the first 4; "
            f"found {len(sizes)}"
        )
    return DTYPE_OF_CODE[code], struct.unpack(f">{rank}I", sizes)


def _wrong_length(path, dtype, shape, header, found):
    sizes = " x ".join(str(size) for size in shape)
    expected = math.prod(shape) * dtype.itemsize
    return ValueError(
        f"{path}: the header promises {sizes} values of {dtype.newbyteorder('=')}, so expected "
        f"{expected:,} bytes after the {header}-byte header; found {found}"
    )
