"""What decides a training, in words and numbers, so that a checkpoint knows whose it is."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .data.loader import DataLoader
from .layers import Layer
from .losses import Loss
from .optim import Optimizer
from .regularization import Penalty

__all__ = ["describe", "differences", "settings"]

DEPTH = 6  # of objects in objects; what lies deeper is known by its class alone
SAMPLES = 64  # examples that stand for all: a data set may be larger than the memory
CHANGING = ("device", "total", "divisor")  # what a loss keeps of its last call


def settings(
    model: Layer,
    loader: DataLoader,
    loss: Loss,
    optimizer: Optimizer,
    scheduler: Any,
    penalty: Penalty | None,
    clip_norm: float | None,
    validation_data: tuple[Any, Any] | None,
) -> dict[str, Any]:
    """Return everything that decides what a training makes of the same weights, for JSON."""
    told = {
        "network": repr(model).split("\n"),
        "dtype": str(model.dtype),
        "loss": describe(loss, leave_out=CHANGING),
        "optimizer": {"class": type(optimizer).__name__} | describe(optimizer.settings()),
        "scheduler": None
        if scheduler is None
        else describe(scheduler, leave_out=("optimizer", *getattr(scheduler, "moving", ()))),
        "penalty": describe(penalty),
        "clip_norm": clip_norm,
        "batches": {
            "batch_size": loader.batch_size,
            "shuffle": loader.shuffle,
            "drop_last": loader.drop_last,
            "seed": None if loader.drew_seed else loader.seed,
            "transform": describe(loader.transform),
        },
        "data": {"x": _sample(loader.x), "y": _sample(loader.y)},
        "validation_data": validation_data and [_sample(part) for part in validation_data],
    }
    return json.loads(json.dumps(told))  # as it will be read back: no tuples


def describe(value: Any, depth: int = DEPTH, leave_out: Iterable[str] = ()) -> Any:
    """Return what tells a value from others of its kind, as JSON can hold it.

    Functions are known by name and by the values that they took along when they were made; of
    other objects the public attributes count.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _array(np.asarray(value))
    inner = functools.partial(describe, depth=depth - 1)
    if depth == 0:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Mapping):
        return {str(key): inner(each) for key, each in value.items() if key not in leave_out}
    if isinstance(value, list | tuple):
        return [inner(each) for each in value]
    if isinstance(value, functools.partial):
        return {"partial": inner(value.func)} | inner({"args": value.args, **value.keywords})
    if isinstance(value, types.MethodType):
        return {"method": value.__func__.__qualname__, "of": inner(value.__self__)}
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return _named(value, inner)
    public = {key: each for key, each in _attributes(value) if not key.startswith("_")}
    return {"class": type(value).__name__} | describe(public, depth - 1, leave_out)


def _named(value: Any, inner: Any) -> Any:
    name = f"{value.__module__}.{value.__qualname__}"
    if not isinstance(value, types.FunctionType) or not value.__closure__:
        return name
    told = {"function": name}
    for free, cell in zip(value.__code__.co_freevars, value.__closure__, strict=True):
        with contextlib.suppress(ValueError):  # a name that has no value yet
            told[free] = inner(cell.cell_contents)
    return told


def _attributes(value: Any) -> Iterable[tuple[str, Any]]:
    return sorted(getattr(value, "__dict__", {}).items())


def _array(array: np.ndarray) -> Any:
    if array.ndim == 0 and array.dtype.kind in "biuf":
        return array.item()
    about = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if not array.dtype.hasobject:
        about["sha256"] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return about


def _sample(values: Any) -> Any:
    """Return shape, type and hash of some examples, the first and the last among them."""
    array = np.asarray(values)
    some = np.linspace(0, max(len(array) - 1, 0), min(SAMPLES, len(array))).astype(np.intp)
    about = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if not array.dtype.hasobject:
        chosen = np.ascontiguousarray(array[some])
        about["sha256_of_some"] = hashlib.sha256(chosen.tobytes()).hexdigest()
    return about


def differences(saved: Any, present: Any, name: str = "") -> list[str]:
    """Return where two settings differ, a sentence each."""
    if saved == present or (saved != saved and present != present):
        return []
    if isinstance(saved, dict) and isinstance(present, dict):
        found = []
        for key in [*saved, *(key for key in present if key not in saved)]:
            inner = f"{name}.{key}" if name else key
            found += differences(saved.get(key), present.get(key), inner)
        return found
    if isinstance(saved, list) and isinstance(present, list) and len(saved) == len(present):
        pairs = enumerate(zip(saved, present, strict=True))
        return [text for i, pair in pairs for text in differences(*pair, f"{name}[{i}]")]
    name = name or "settings"
    return [f"{name}: {_shown(saved)} in the checkpoint, {_shown(present)} now"]


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value).strip()
    return text if len(text) <= 200 else f"{text[:200]}…"
