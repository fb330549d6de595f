"""Weights on disk, as safetensors: numbers and names, nothing that could run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

__all__ = ["load_weights", "save_weights"]


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
    target = Path(path)
    handle, temporary = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
    )
    try:
        with os.fdopen(handle, "wb") as file:
            # not ascontiguousarray, which gives a single number an axis
            arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
            file.write(save(arrays, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


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
