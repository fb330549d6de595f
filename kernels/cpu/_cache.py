"""Compiled kernels on disk, so that only the first run of a version waits for the compiler.

Numba's own ``cache=True`` looks at the file of the function alone: it serves machine code of an
edited helper, or of other jit options, as if nothing had changed (numba issues 1833, 6845,
10821), and a half-written file crashes it. Here an entry's name is a hash of everything that
decides the machine code: every source file of this package, the jit options, Numba's
settings, its version and LLVM's, the processor, the argument types. Entries are written
to a temporary file and renamed, and begin with a checksum: one that is damaged counts as
absent. Nothing that goes wrong with the disk ever stops a run; it costs compile time.

``NUMCNN_CACHE_DIR`` moves the folder, ``NUMCNN_CACHE=0`` turns the cache off.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import re
import shutil
import tempfile
from pathlib import Path

import llvmlite
import numba
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from platformdirs import user_cache_dir

from ._compiler import LateContext

SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "ENABLE_AVX",
    "DISABLE_INTEL_SVML",
    "CPU_NAME",
    "CPU_FEATURES",
)
GENERATIONS_KEPT = 4
OUR_FOLDER = re.compile("[0-9a-f]{16}")


def enabled():
    """Return whether kernels are cached at all."""
    return os.environ.get("NUMCNN_CACHE", "1") != "0"


def root():
    """Return the folder that holds one folder per version of the kernels."""
    return Path(os.environ.get("NUMCNN_CACHE_DIR") or user_cache_dir("numcnn")) / "kernels"


@functools.cache
def sources_hash():
    """Return a hash over every source file of the kernel package; "" where there are none."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    sources = sorted(package.rglob("*.py"))
    if not sources:  # bytecode alone was installed, which tells one version from another in no way
        return ""
    for path in sources:
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def folder():
    """Return this version's folder, made if need be; forget the oldest other versions."""
    here = root() / sources_hash()[:16]
    with contextlib.suppress(OSError):
        here.mkdir(parents=True, exist_ok=True)
        os.utime(here)
        # whatever else lies there, by accident or because a user chose that folder, isn't ours
        ours = [path for path in root().iterdir() if OUR_FOLDER.fullmatch(path.name)]
        versions = sorted(ours, key=lambda path: path.stat().st_mtime, reverse=True)
        for old in versions[GENERATIONS_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    return here


class KernelCache(NullCache):
    """The interface that Numba's dispatcher expects of a cache, one file per signature."""

    def __init__(self, function, options):
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._identity = (
            self._name,
            sources_hash(),
            numba.__version__,
            llvmlite.__version__,
            sorted((key, sorted(v) if isinstance(v, set) else v) for key, v in options.items()),
            [(setting, getattr(config, setting, None)) for setting in SETTINGS],
        )

    @property
    def cache_path(self):
        """Folder of the entries, as ``dispatcher.stats`` reports it."""
        return str(folder())

    def _path(self, sig, context):
        key = repr((self._identity, str(sig), context.codegen().magic_tuple()))
        short = self._name.rpartition("kernels.")[2]
        return folder() / f"{short}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.nbc"

    def holds(self, sig, context):
        """Return whether there is an entry for one signature."""
        return os.path.exists(self._path(sig, context))  # Path.exists may raise PermissionError

    def load_overload(self, sig, target_context):
        """Return the compiled function of one signature, or None if it must be compiled."""
        try:
            blob = self._path(sig, target_context).read_bytes()
            if hashlib.sha256(blob[32:]).digest() != blob[:32]:
                return None
            # enough to run: what the compiler must know of Python and NumPy takes longer to read
            rtsys.initialize(target_context)
            context = LateContext.from_numba(target_context)
            return CompileResult._rebuild(context, *pickle.loads(blob[32:]))
        except Exception:  # a cache may only ever cost time: whatever fails here is a miss
            return None

    def save_overload(self, sig, data):
        """Keep a freshly compiled function; without a writable disk, do nothing."""
        if data.lifted or data.library.has_dynamic_globals:
            return  # holds addresses of this process
        with contextlib.suppress(Exception):
            body = dumps(data._reduce())
            final = self._path(sig, data.target_context)
            handle, temporary = tempfile.mkstemp(dir=final.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                os.replace(temporary, final)
            except BaseException:
                os.unlink(temporary)
                raise


def attach(dispatcher, options):
    """Give a dispatcher the cache; return it unchanged where caching or compiling is off.

    So it is, too, for a function from elsewhere, whose file has no part in the entry's name.
    """
    if config.DISABLE_JIT or not enabled() or not sources_hash():
        return dispatcher
    if dispatcher.py_func.__module__.startswith(f"{__package__}."):
        dispatcher._cache = KernelCache(dispatcher.py_func, options)
    return dispatcher
