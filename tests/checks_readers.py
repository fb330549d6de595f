"""The readers of files from outside, and what may come of any bytes that they are handed.

`outcome` gives bytes to a reader as a file. It returns what was read, or the error if it is one
that a user may see: a ValueError that names the file. Whatever else comes is a fault.

Compression, checksums and lengths keep a fuzzer's changes from what lies behind them, so some
readers have a second entry whose `wrap` packs the bytes soundly. A checkpoint is two files; what
isn't under test comes from `beside`.
"""

import functools
import gzip
import hashlib
import io
import json
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save

from numcnn import History, digit
from numcnn.callbacks import CSVLogger
from numcnn.checkpoint import load_weights
from numcnn.checkpoint_folder import Checkpoint, CheckpointFolder
from numcnn.data import read_cifar10, read_idx
from numcnn.data.cifar import RECORD, read_cifar10_archive
from numcnn.models import ZOO
from numcnn.runs import restore


class Reader(NamedTuple):
    """A function of a path, files that it can read, what a result must be, bytes as a file.

    And the name that the file must have, and what lies beside it, given its bytes, by name.
    """

    read: Callable
    sound: tuple
    right: Callable
    wrap: Callable = bytes
    name: str = "the file"
    beside: Callable = lambda data: {}


def chunk(kind, data):
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, bits=8, colours=0, before=b""):
    """Return a PNG file that claims a size, and holds `rows`, each after its filter's number."""
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def mended_png(data):
    """Return `data` with every checksum right that stands where a PNG has one."""
    data, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)


def safetensors(header, body=b""):
    """Return a safetensors file with this header, as bytes or as what JSON makes of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tar_of(name, data):
    """Return a tar file that holds one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def as_gzip(data):
    return gzip.compress(data, 1, mtime=0)


def pictures():
    """Return small pictures in the formats that are read most."""
    from PIL import Image

    values = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
    found = []
    for kind, mode in (("PNG", "RGB"), ("GIF", "P"), ("BMP", "L"), ("JPEG", "RGB"), ("TIFF", "F")):
        buffer = io.BytesIO()
        Image.fromarray(values).convert(mode).save(buffer, kind)
        found.append(buffer.getvalue())
    return (*found, png(4, 4, b"".join(b"\0" + bytes([0, 9, 250, 3]) for _ in range(4))))


@functools.cache
def _trained():
    return ZOO["mlp"](10, seed=0).state_dict()


def weights_of_run(data):
    """Return a weights file such as ``numcnn train`` writes, with these lines in its header."""
    lines = data.decode("utf-8", "replace").split("\n")
    keys = ("model", "data", "mean", "std", "classes")
    return save(_trained(), dict(zip(keys, lines, strict=False)))


def go_on(path):
    """Read a table of figures as a training does that is to go on with it."""
    log = CSVLogger(path, append=True)
    try:
        log.on_train_begin(None)
        log.on_epoch_end(1, {"epoch": 1, "loss": 0.5})
    finally:
        log.on_train_end()


SAVED = Checkpoint(
    12,
    {"model.1.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3)},
    {
        "settings": {"batch_size": 8, "loss": "MSELoss()", "rates": [0.1, 1e-05]},
        "position": {"epoch": 1, "batch": 2, "stopped": False},
        "scheduler": None,
        "history": [{"epoch": 1, "loss": 0.25}],
    },
)


def files_of_checkpoint():
    """Return the bytes of `SAVED`'s two files: what vouches for the arrays, and the arrays."""
    with tempfile.TemporaryDirectory() as folder:
        CheckpointFolder(folder).write(SAVED)
        return tuple((Path(folder) / name).read_bytes() for name in (VOUCHER, ARRAYS))


def newest(path):
    """Read a checkpoint as a training does that goes on from a folder."""
    return CheckpointFolder(path.parent).newest()


def vouched(data):
    """Return a checkpoint's JSON file with this content, and a SHA-256 that is right."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):  # no content at all
        return b'{"sha256": "", "content": ' + data + b"}"
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    whole = {"sha256": hashlib.sha256(text).hexdigest(), "content": content}
    return json.dumps(whole).encode()


def voucher_for(data):
    """Return the JSON file of a checkpoint whose arrays' file has these bytes."""
    content = json.loads(CHECKPOINT)["content"]
    about = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {VOUCHER: vouched(json.dumps(content | {"arrays": about}).encode())}


VOUCHER, ARRAYS = "step-00000012.json", "step-00000012.safetensors"
CHECKPOINT, NUMBERS = files_of_checkpoint()
CONTENT = json.dumps(json.loads(CHECKPOINT)["content"]).encode()
IDX = struct.pack(">HBBII", 0, 8, 2, 2, 3) + bytes(range(6))
FLOATS = struct.pack(">HBBI", 0, 0x0D, 1, 2) + struct.pack(">2f", 1.5, -2)
CIFAR = bytes([3]) + bytes(RECORD - 1)
WEIGHTS = save({"a": np.ones((2, 3), np.float32), "b": np.arange(3)}, {"model": "lenet"})
HISTORY = b'{"epochs": [{"epoch": 1, "loss": 0.5}], "batch_losses": [0.7, 0.5]}'
BATCH = "test_batch.bin"


def is_array(found):
    return isinstance(found, np.ndarray) and found.dtype.isnative and found.flags.c_contiguous


def is_cifar10(found):
    images, labels = found
    return images.shape == (len(labels), 3, 32, 32) and labels.max() < 10


def is_picture(found):
    x = found.x
    return x.shape == (1, 28, 28) and x.dtype == np.float32 and bool(((x >= 0) & (x <= 1)).all())


def are_weights(found):
    arrays, metadata = found
    texts = all(isinstance(text, str) for text in metadata.values())
    return texts and all(isinstance(array, np.ndarray) for array in arrays.values())


def is_run(found):
    shape = (1, *found.examples.shape)
    return bool(np.isfinite(found.normalize(np.ones(shape, np.float32))).all())


def is_history(found):
    return repr(found).startswith("History(") and len(found) == len(found.epochs)


def is_a_checkpoint(found):
    arrays = all(isinstance(array, np.ndarray) for array in found.arrays.values())
    return found.step == SAVED.step and isinstance(found.content, dict) and arrays


def is_what_was_saved(found):
    arrays = found.arrays.items()
    same = all(np.array_equal(array, SAVED.arrays[name]) for name, array in arrays)
    whole = found.arrays.keys() == SAVED.arrays.keys() and SAVED.content.items()
    return is_a_checkpoint(found) and same and whole <= found.content.items()


def is_none(found):
    return found is None


def _archive(path):
    return read_cifar10_archive(path, [BATCH])


READERS = {
    "idx": Reader(read_idx, (IDX, FLOATS, as_gzip(IDX)), is_array),
    "idx-packed": Reader(read_idx, (IDX, FLOATS), is_array, as_gzip),
    "cifar10": Reader(read_cifar10, (CIFAR, as_gzip(CIFAR)), is_cifar10),
    "cifar10-archive": Reader(_archive, (as_gzip(tar_of(BATCH, CIFAR)),), is_cifar10),
    "cifar10-archive-packed": Reader(_archive, (tar_of(BATCH, CIFAR),), is_cifar10, as_gzip),
    "picture": Reader(digit.prepare, pictures(), is_picture),
    "picture-png": Reader(digit.prepare, (pictures()[0], pictures()[-1]), is_picture, mended_png),
    "weights": Reader(load_weights, (WEIGHTS,), are_weights),
    "weights-header": Reader(
        load_weights, (WEIGHTS[8:-48],), are_weights, lambda data: safetensors(data, bytes(48))
    ),
    "run": Reader(restore, (b"mlp\ndigits\n[0.1]\n[0.3]",), is_run, weights_of_run),
    "history": Reader(History.load, (HISTORY,), is_history),
    "checkpoint": Reader(
        newest, (CHECKPOINT,), is_what_was_saved, name=VOUCHER, beside=lambda _: {ARRAYS: NUMBERS}
    ),
    "checkpoint-content": Reader(
        newest, (CONTENT,), is_a_checkpoint, vouched, VOUCHER, lambda _: {ARRAYS: NUMBERS}
    ),
    "checkpoint-arrays": Reader(
        newest, (NUMBERS,), is_what_was_saved, name=ARRAYS, beside=lambda _: {VOUCHER: CHECKPOINT}
    ),
    "checkpoint-arrays-vouched": Reader(
        newest, (NUMBERS,), is_a_checkpoint, name=ARRAYS, beside=voucher_for
    ),
    "table": Reader(go_on, (b"epoch,loss\r\n1,0.5\r\n",), is_none),
}


def outcome(reader, data, folder):
    """Return what `reader` makes of a file of these bytes, or the error that says what is wrong."""
    path, content = Path(folder) / reader.name, reader.wrap(data)
    files = {reader.name: content} | reader.beside(content)
    for name, each in files.items():
        path.with_name(name).write_bytes(each)
    try:
        found = reader.read(path)
    except ValueError as error:
        # where one file lies about the other, either may be the damaged one
        named = any(str(path.with_name(name)) in str(error) for name in files)
        assert named, f"the error doesn't name the file: {error}"
        return error
    assert reader.right(found), f"this isn't what the reader promises: {found!r:.200}"
    return found
