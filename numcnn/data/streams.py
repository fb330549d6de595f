"""Read files that may be gzipped, never believing a size that a header claims."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

GZIP_MAGIC = b"\x1f\x8b"
# Memory grows with what has really arrived, one piece at a time.
PIECE = 1 << 20


@contextmanager
def open_plain_or_gzip(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open a file for reading, through gzip if its first two bytes say so.

    The name is not consulted: browsers and tools unpack ``.gz`` files without renaming them.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    stream : binary file
        The content, unpacked.
    size : int or None
        The content's size in bytes; None for gzip, where only reading tells.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with Path(path).open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if magic == GZIP_MAGIC:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield cast(BinaryIO, stream), None
        else:
            yield raw, os.fstat(raw.fileno()).st_size


def read_at_most(stream: BinaryIO, count: int, path: str | os.PathLike) -> bytearray:
    """Read `count` bytes, or fewer where the stream ends first.

    Parameters
    ----------
    stream : binary file
        What `open_plain_or_gzip` yielded.
    count : int
        The largest number of bytes to read; memory is taken for bytes that exist only.
    path : path-like
        The file's name, for the error.

    Returns
    -------
    bytearray
        At most `count` bytes.

    Raises
    ------
    ValueError
        If the gzip stream is cut off or damaged.
    """
    data = bytearray()
    try:
        while len(data) < count:
            # read1 hands over what was sound before it meets the fault; read would lose it.
            piece = cast(io.BufferedReader, stream).read1(min(PIECE, count - len(data)))
            if not piece:
                break
            data += piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: the gzip stream is cut off or damaged: expected up to {count:,} more bytes "
            f"after unpacking, found {len(data):,} before the fault ({error})"
        ) from error
    return data
