"""Weights on disk, as safetensors: numbers and names, nothing that could run."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .layers import Layer

__all__ = [
    "as_safetensors",
    "load_weights",
    "save_weights",
    "sync_folder",
    "weights_hash",
    "write_whole",
]


def save_weights(
    path: str | os.PathLike, state: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write weights to `path`: the whole file, or an error and what was there before.

    Parameters
    ----------
    path : path
        Usually ends in ``.safetensors``.
    state : dict of str to ndarray
    metadata : dict of str to str
        Kept in the file's header.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    write_whole(path, as_safetensors(state, metadata))


def as_safetensors(state: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return the content of a safetensors file."""
    # not ascontiguousarray, which gives a single number an axis
    arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
    return save(arrays, metadata)


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file as a whole, or raise and leave what was there before.

    The content goes to a temporary file beside it, which takes the file's name once all of it
    is on the disk. Whoever looks finds the old file or the new one, even after a power cut.

    Parameters
    ----------
    path : path
    content : bytes

    Raises
    ------
    OSError
        If the disk is full, the folder can't be written to, or the like; the text names the file
        and says what became of it.
    """
    target = Path(path)
    temporary = ""
    fate = "it is as it was before"
    try:
        handle, temporary = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        fate = "the file is there, but a power cut might still undo it"
        sync_folder(target.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
            reason = f"there is no folder {target.parent}"
        failure = type(error)(f"{target} can't be written ({reason}); {fate}")
        failure.errno = error.errno
        raise failure from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def sync_folder(folder: Path) -> None:
    """Have the disk remember which names the folder holds."""
    if os.name == "nt":  # has no such call for folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such call
            raise
    finally:
        os.close(handle)


def load_weights(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read weights and metadata from `path`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no safetensors file, or damaged; the text names it.
    """
    target = Path(path)
    if not target.is_file():
        raise FileNotFoundError(f"there is no file {target}")
    try:
        with safe_open(target, framework="numpy") as file:
            return {
                name: file.get_tensor(name) for name in list(file.keys())
            }, file.metadata() or {}
    except OSError:
        raise
    except SafetensorError as error:
        raise ValueError(
            f"{target} is no safetensors file, or it is damaged ({error}); "
            f"it has {target.stat().st_size} bytes"
        ) from None
    except Exception as error:  # NumPy's, of a type or a shape that it hasn't: bfloat16, float8
        raise ValueError(
            f"{target} holds an array that NumPy can't ({error}); save it as float32 first"
        ) from None


def weights_hash(model: Layer) -> str:
    """Return the SHA-256 of a network's weights: equal for equal bits, and for nothing else.

    Parameters
    ----------
    model : Layer
        A network, or one layer. Its parameters and buffers count, with their names, precisions
        and shapes; where they lie doesn't.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> from numcnn import Linear, Sequential, weights_hash
    >>> weights_hash(Sequential(Linear(2, 1), seed=1)) == weights_hash(
    ...     Sequential(Linear(2, 1), seed=1)
    ... )
    True
    """
    digest = hashlib.sha256()
    for name, array in model.state_dict().items():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
