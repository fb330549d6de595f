"""What this machine offers the engine, and what it lacks: the figures behind ``numcnn doctor``."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from .device import DeviceError, get_device
from .layers import Conv2d
from .memory import in_bytes, measure

__all__ = [
    "cache_report",
    "clear_cache",
    "compiling_processes",
    "describe_device",
    "diagnose",
    "explain_conv",
    "render",
]

PACKAGES = ("numcnn", "numpy", "numba", "llvmlite")
LAYERS = {
    "omp": "fine: several Python threads may use the engine at once",
    "tbb": "fine: several Python threads may use the engine at once",
    "workqueue": "don't use the engine from two Python threads at once: the process would be "
    "aborted; install OpenMP (Debian, Ubuntu: libgomp1) for a layer that allows it",
}
VECTORS = (  # the widest first: feature of the processor, its name, bits of a vector
    ("avx512f", "AVX-512", 512),
    ("avx2", "AVX2", 256),
    ("avx", "AVX", 256),
    ("neon", "NEON", 128),
    ("sse2", "SSE2", 128),
)
MOST_COMPILERS = 8  # each takes a quarter of a gigabyte
EXTRAS = {
    "matplotlib": "plots: numcnn train --plot, History.plot; pip install 'numcnn[plot]'",
    "numba-cuda": "NVIDIA GPUs; pip install 'numcnn[cuda13]' (or 'numcnn[cuda12]')",
    "torch": "not needed; a judge in numcnn's own tests and benchmarks",
}


def diagnose() -> dict[str, Any]:
    """Return everything that `render` shows, as numbers and strings that fit into JSON."""
    cache = cache_report()  # first, since asking for the threading layer adds a kernel to it
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "cpu": _cpu(),
        "threads": _threads(),
        "simd": simd(),
        "memory": measure(),
        "cache": cache,
        "gpu": _gpu(),
        "extras": {name: _version(name) for name in EXTRAS},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# ---- processor ------------------------------------------------------------------------------


def _cpu() -> dict[str, Any]:
    """Return the processor's cores: those it has, those this process may use, and a quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = None
    with contextlib.suppress(OSError, ValueError):  # a container's share, in microseconds
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        quota = None if share == "max" else int(share) / int(period)
    return {"cores": os.cpu_count(), "usable_cores": usable, "container_quota": quota}


def _threads() -> dict[str, Any]:
    """Run a small parallel kernel, and return which layer of Numba ran it on how many threads."""
    import numba
    import numpy as np

    found: dict[str, Any] = {"numba_threads": numba.get_num_threads(), "layer": None}
    settings: Any = numba.config  # whose attributes are made from the environment
    if settings.DISABLE_JIT:
        return found | {"meaning": "none: NUMBA_DISABLE_JIT is set, so nothing is compiled"}
    try:
        x = np.ones(64, np.float32)
        get_device("cpu").kernels.relu_forward(x, np.empty_like(x))
        found["layer"] = numba.threading_layer()
        found["meaning"] = LAYERS.get(found["layer"], "unknown to numcnn")
    except Exception as error:  # a doctor reports what is broken, whatever it is
        found["meaning"] = f"none works: {' '.join(str(error).split())}"
    return found


def simd() -> dict[str, Any]:
    """Return the widest vectors of the processor, as the compiler sees it."""
    from llvmlite import binding
    from numba.core import config

    settings: Any = config
    features: dict[str, bool] = {}
    with contextlib.suppress(RuntimeError):  # LLVM doesn't know every processor's features
        features = dict(binding.get_host_cpu_features())
    if platform.machine().lower() in ("arm64", "aarch64"):
        features["neon"] = True
    found: dict[str, Any] = {"processor": binding.get_host_cpu_name(), "fma": features.get("fma")}
    limits = {
        "NUMBA_CPU_NAME": settings.CPU_NAME,
        "NUMBA_CPU_FEATURES": settings.CPU_FEATURES,
        "NUMBA_ENABLE_AVX": None if settings.ENABLE_AVX else "0",
    }
    found["limited_by"] = [f"{name}={value}" for name, value in limits.items() if value is not None]
    for feature, name, bits in VECTORS:
        if features.get(feature):
            return found | {
                "name": name,
                "bits": bits,
                "float32": bits // 32,
                "float64": bits // 64,
            }
    return found | {"name": None, "bits": None, "float32": None, "float64": None}


def _gpu() -> dict[str, Any]:
    """Return whether a GPU can be used, and which, or why none."""
    try:
        get_device("cuda")
    except DeviceError as error:
        return {"usable": False, "name": None, "reason": str(error)}
    except Exception as error:  # a broken driver or package may raise anything
        reason = f"device 'cuda' can't be used: {type(error).__name__}: {error}"
        return {"usable": False, "name": None, "reason": reason}
    return {"usable": True, "name": _gpu_name(), "reason": None}


def _gpu_name() -> str:
    from numba import config

    from .kernels.cuda._cuda import cuda

    settings: Any = config
    if settings.ENABLE_CUDASIM:
        return "simulated in Python (NUMBA_ENABLE_CUDASIM=1)"
    try:
        gpu = cuda.get_current_device()
        name = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
        major, minor = gpu.compute_capability
        return f"{name}, compute capability {major}.{minor}"
    except Exception as error:  # the name is for reading only
        return f"unnamed ({error})"


def describe_device(name: str) -> str:
    """Return a device in words, for the head of a report.

    Parameters
    ----------
    name : {"cpu", "cuda", "reference"}

    Raises
    ------
    ValueError, numcnn.DeviceError
        If there is no such device, or it can't be used here.
    """
    get_device(name)
    if name == "cuda":
        return f"cuda ({_gpu_name()})"
    if name == "reference":
        return "reference (plain Python on one core, some thousand times slower than cpu)"
    import numba

    threads = numba.get_num_threads()
    vectors = simd()
    width = f", {vectors['name']}" if vectors["name"] else ""
    return f"cpu, {threads} thread{'s' * (threads > 1)}{width}"


# ---- convolution ------------------------------------------------------------------------------


def explain_conv(sizes: tuple[int, ...] | None, *geometry: int) -> list[str]:
    """Return which file computes a convolution, for each of its passes, and why.

    Parameters
    ----------
    sizes : tuple of int
        Batch, channels, height, width, filters, kernel size.
    *geometry : int
        Stride and padding, by default 1 and 0.

    Raises
    ------
    ShapeError, TypeError, ValueError
        If no such convolution exists.
    """
    if sizes is None:
        raise ValueError("stride and padding belong to --conv N C H W K k, which is missing")
    if len(geometry) > 2:
        raise ValueError(f"behind --conv N C H W K k stand stride and padding, got {geometry}")
    batch, channels, height, width, filters, kernel = sizes
    stride, padding = (*geometry, *(1, 0)[len(geometry) :])
    if batch < 1:
        raise ValueError(f"a batch has at least 1 picture, got {batch}")
    layer = Conv2d(channels, filters, kernel, stride, padding)
    y = layer.output_shape((batch, channels, height, width))
    weight = np.empty(layer.weight.shape, np.float32)
    kernels = importlib.import_module("numcnn.kernels.cpu.conv2d")  # it brings the compiler along
    lines = [f"{layer!r} on {(batch, channels, height, width)} gives {y}"]
    first, *reasons = kernels.explain(weight, y, stride, stride, 1, 1, 1)
    lines.append(f"forward and both gradients: {first}")
    return [*lines, *(f"  {reason}" for reason in reasons)]


# ---- kernel cache -----------------------------------------------------------------------------


def cache_report() -> dict[str, Any]:
    """Return where compiled kernels are kept, how many there are, and whether more can be."""
    from .kernels.cpu import _cache

    here = _cache.folder()
    sizes = _sizes(here)
    everything = _sizes(_cache.root())
    writable = False
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=here):
        writable = True
    return {
        "enabled": _cache.enabled(),
        "folder": str(here),
        "kernels": len(sizes),
        "bytes": sum(sizes),
        "bytes_of_all_versions": sum(everything),
        "writable": writable,
    }


def compiling_processes(report: dict[str, Any]) -> int:
    """Return how many processes should compile: without a cache to hand over in, one.

    report is what `cache_report` returned.
    """
    import numba

    if not (report["enabled"] and report["writable"]):
        return 1
    return min(numba.get_num_threads(), MOST_COMPILERS)


def _sizes(folder: Path) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for path in folder.rglob("*.nbc"):
            with contextlib.suppress(OSError):  # another process may just have removed it
                found.append(path.stat().st_size)
    return found


def clear_cache() -> tuple[int, int]:
    """Delete compiled kernels of every version, and nothing else; return files and bytes.

    Raises
    ------
    OSError
        If a file can't be deleted.
    """
    from .kernels.cpu import _cache

    count = size = 0
    for folder in sorted(_cache.root().glob("[0-9a-f]" * 16)):
        for path in [*folder.glob("*.nbc"), *folder.glob("*.tmp")]:
            length = path.stat().st_size
            path.unlink()
            count, size = count + 1, size + length
        with contextlib.suppress(OSError):  # something else lies in it
            folder.rmdir()
    return count, size


# ---- words ------------------------------------------------------------------------------------


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (label, fact, remark) for each line."""
    cpu, threads, vectors = found["cpu"], found["threads"], found["simd"]
    memory, cache, gpu = found["memory"], found["cache"], found["gpu"]
    rows = [(name, version or "missing", "") for name, version in found["versions"].items()]
    rows.append(("system", found["system"], ""))
    remark = ""
    if cpu["usable_cores"] != cpu["cores"]:
        remark = f"this process may use {cpu['usable_cores']}"
    quota = cpu["container_quota"]
    if quota is not None and quota < threads["numba_threads"]:
        remark = f"the container may use {quota:g}: set NUMBA_NUM_THREADS={max(1, round(quota))}"
    rows.append(("cores", str(cpu["cores"]), remark))
    rows.append(("threads", str(threads["numba_threads"]), "NUMBA_NUM_THREADS changes it"))
    rows.append(("threading layer", threads["layer"] or "none", threads["meaning"]))
    if vectors["bits"]:
        fact = f"{vectors['name']}, {vectors['bits']} bits"
        remark = f"{vectors['float32']} float32 or {vectors['float64']} float64 per vector"
    else:
        fact, remark = "unknown", "the compiler decides"
    remark += "".join(f"; limited by {limit}" for limit in vectors["limited_by"])
    rows.append(("SIMD", fact, f"{remark} ({vectors['processor']})"))
    remark = f"{in_bytes(memory['available'])} free" if memory["available"] is not None else ""
    if memory["container_limit"] is not None:
        remark += f"; the container may use {in_bytes(memory['container_limit'])}"
    rows.append(("memory", in_bytes(memory["total"]), remark))
    rows.append(("kernel cache", *_cache_words(cache)))
    rows.append(("", cache["folder"], ""))
    rows.append(("GPU", gpu["name"] or "none", "usable: --device cuda" if gpu["usable"] else ""))
    if gpu["reason"]:
        rows.append(("", gpu["reason"], ""))
    rows += [(name, found["extras"][name] or "missing", why) for name, why in EXTRAS.items()]
    return rows


def _cache_words(cache: dict[str, Any]) -> tuple[str, str]:
    if not cache["enabled"]:
        return "off", "NUMCNN_CACHE=0 is set, so every run compiles its kernels anew"
    fact = f"{cache['kernels']} kernels, {in_bytes(cache['bytes'])}"
    if not cache["writable"]:
        return fact, "not writable, so every run compiles anew; set NUMCNN_CACHE_DIR"
    if not cache["kernels"]:
        return fact, "writable; the first run fills it, which takes about half a minute"
    return fact, "writable; --clear-cache empties it"


def render(found: dict[str, Any]) -> Any:
    """Return the findings of `diagnose` as something that rich prints.

    Parameters
    ----------
    found : dict

    Returns
    -------
    rich.console.RenderableType
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for label, fact, remark in _rows(found):
        text = Text(fact)
        if remark:
            text.append(f"  {remark}", style="dim")
        table.add_row(label, text)
    return table
