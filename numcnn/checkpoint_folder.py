"""A folder of checkpoints: each a JSON file and the safetensors file that it vouches for.

``step-00000120.safetensors`` holds the arrays, ``step-00000120.json`` everything else, together
with the SHA-256 of both. The JSON file is written last, so a checkpoint exists as a whole or not
at all, whenever the process or the machine dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from .checkpoint import as_safetensors, sync_folder, write_whole

__all__ = ["Checkpoint", "CheckpointFolder"]

FORMAT = 1
NAME = re.compile(r"step-(\d+)\.json")


class Checkpoint(NamedTuple):
    """What a training wrote: numbers by name, and everything that is no array."""

    step: int
    arrays: dict[str, np.ndarray]
    content: dict[str, Any]


class CheckpointFolder:
    """Writes checkpoints to a folder and finds the newest that is whole.

    Parameters
    ----------
    path : path
        Made when the first is written.
    keep : int
        Older ones are deleted as soon as so many newer ones are on the disk.
    """

    def __init__(self, path: str | os.PathLike, keep: int = 3) -> None:
        self.path = Path(path)
        self.keep = keep
        self._damaged: set[int] = set()

    def steps(self) -> list[int]:
        """Return the steps of which there is a checkpoint, damaged or not, in order."""
        if not self.path.is_dir():
            return []
        found = (NAME.fullmatch(entry.name) for entry in self.path.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def prepare(self) -> None:
        """Make the folder, and clear away what a process that was killed left half-written.

        Raises
        ------
        OSError
            If it can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise type(error)(f"checkpoints can't be written to {self.path} ({reason})") from error
        sync_folder(self.path.parent)
        complete = {self._file(step, "safetensors").name for step in self.steps()}
        for entry in self.path.glob(".step-*.tmp"):
            _delete(entry)
        for entry in self.path.glob("step-*.safetensors"):
            if entry.name not in complete:
                _delete(entry)

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then delete those that are too old.

        Raises
        ------
        OSError
            If it can't be written; those that were there are as they were.
        """
        step, arrays, content = checkpoint
        packed = as_safetensors(arrays, {})
        about = {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
        content = {"format": FORMAT, "step": step} | content | {"arrays": about}
        content = json.loads(json.dumps(content, default=_plain))  # as it will be read
        text = json.dumps({"sha256": _digest(content), "content": content}, indent=1)
        # The same step twice: until the new JSON file is there, the old one must not vouch for
        # arrays that aren't its own.
        _delete(self._file(step, "json"))
        write_whole(self._file(step, "safetensors"), packed)
        write_whole(self._file(step, "json"), text.encode())
        self._damaged.discard(step)
        self._prune(step)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; None if there is none at all.

        Warns
        -----
        UserWarning
            Of each newer one that is damaged, by name.

        Raises
        ------
        ValueError
            If there are some, but all are damaged; the text lists them.
        """
        problems = []
        steps = self.steps()
        for step in reversed(steps):
            try:
                found = self._read(step)
            except (ValueError, OSError) as error:
                self._damaged.add(step)
                problems.append(str(error))
                continue
            for problem in problems:
                warnings.warn(f"{problem}; going on from step {step} instead", stacklevel=2)
            return found
        if steps:
            raise ValueError(
                f"no checkpoint in {self.path} can be used:\n  " + "\n  ".join(problems)
            )
        return None

    def _file(self, step: int, kind: str) -> Path:
        return self.path / f"step-{step:08d}.{kind}"

    def _read(self, step: int) -> Checkpoint:
        path = self._file(step, "json")
        try:
            # bytes that are no text, or nesting without end, are no JSON either
            whole = json.loads(path.read_bytes())
            content, digest = whole["content"], whole["sha256"]
            right = _digest(content) == digest
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(f"{path} is damaged (it is no checkpoint's JSON)") from None
        if not right:
            raise ValueError(f"{path} is damaged (its content has another SHA-256)")
        try:
            kind, holds, about = (content[name] for name in ("format", "step", "arrays"))
            size, hashed = about["bytes"], about["sha256"]
        except (TypeError, KeyError):
            raise ValueError(
                f"{path} is no checkpoint: it has no format, step or arrays of one"
            ) from None
        if kind != FORMAT:
            raise ValueError(f"{path} has format {kind}, and this numcnn reads {FORMAT}")
        if holds != step:
            raise ValueError(f"{path} holds step {holds}; it was renamed")
        return Checkpoint(step, self._read_arrays(step, size, hashed), content)

    def _read_arrays(self, step: int, size: int, digest: str) -> dict[str, np.ndarray]:
        path = self._file(step, "safetensors")
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        packed = path.read_bytes()
        if len(packed) != size:
            raise ValueError(f"{path} is damaged (it has {len(packed)} bytes of {size})")
        if hashlib.sha256(packed).hexdigest() != digest:
            raise ValueError(f"{path} is damaged (it has another SHA-256)")
        try:
            return load(packed)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error})") from None
        except Exception as error:  # NumPy's, of a type or a shape that it hasn't: bfloat16, float8
            raise ValueError(f"{path} holds an array that NumPy can't ({error})") from None

    def _prune(self, newest: int) -> None:
        """Delete what is older than the last few; one known to be damaged isn't one of those."""
        older = [step for step in self.steps() if step < newest and step not in self._damaged]
        for step in older[: max(len(older) - self.keep + 1, 0)]:
            _delete(self._file(step, "json"))  # first: it vouches for the other
            _delete(self._file(step, "safetensors"))


def _digest(content: Any) -> str:
    """Return the SHA-256 of JSON content, however it is written down."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a NumPy number as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"a checkpoint holds numbers, texts, lists, dicts and arrays; a state_dict() of a callback "
        f"or scheduler has a {type(value).__name__}: {value!r}"
    )


def _delete(path: Path) -> None:
    """Delete a file; one that can't be deleted does no harm."""
    with contextlib.suppress(OSError):
        path.unlink()
