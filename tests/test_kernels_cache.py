"""The cache of compiled kernels: it saves time, never serves what is stale, and never stops a run.

Every case runs in processes of its own, since a process compiles a kernel once. One kernel, the
sum of two arrays, stands for all.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import config, types

from numcnn import kernels
from numcnn.kernels.cpu import _cache, _jit
from numcnn.kernels.cpu.add import add_forward as add_kernel

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT=1: nothing is compiled, nothing is cached"
)

ADD = """
import numpy as np
from {package}.cpu import _jit
from {package}.cpu.add import add_forward

_jit.SMALL = 0  # let all cores add three numbers
a = np.array([1.0, 2.0, 3.0])
y = np.full(3, np.nan)
add_forward(a, a, y)
stats = add_forward.for_all.stats
print(*y, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
SUM = "2.0 4.0 6.0"
LOADED, COMPILED = f"{SUM} 1 0", f"{SUM} 0 1"
# Settings of this test run must not decide what the processes below do.
OURS = ("NUMCNN_CACHE", "NUMCNN_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")


def start(code, folder, cwd=None, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=kept | {"NUMCNN_CACHE_DIR": str(folder)} | environment,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def add(folder, **environment):
    """Add two arrays in a process of its own; return the sum, cache hits and cache misses."""
    return finish(start(ADD.format(package="numcnn.kernels"), folder, **environment))


def entries(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def contents(folder):
    return {path: path.read_bytes() for path in entries(folder)}


def add_options():
    """Return the jit options that the kernel's entry is named after."""
    return _jit.OPTIONS | {"parallel": True}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a cache folder into which a process has put the compiled kernel."""
    folder = tmp_path_factory.mktemp("cache")
    assert add(folder) == COMPILED
    return folder


@pytest.fixture
def copied(filled, tmp_path):
    """Return a copy of the filled folder, to be damaged."""
    shutil.copytree(filled / "kernels", tmp_path / "kernels")
    return tmp_path


def test_a_second_process_loads_what_the_first_compiled(filled):
    before = contents(filled)
    (entry,) = before
    assert entry.parent.parent == filled / "kernels"
    assert "add" in entry.name
    assert add(filled) == LOADED
    assert contents(filled) == before


def test_machine_code_for_another_processor_is_not_loaded(copied):
    (entry,) = entries(copied)
    assert add(copied, NUMBA_CPU_NAME="generic") == COMPILED
    assert len(entries(copied)) == 2
    assert entry in entries(copied)


def test_a_damaged_entry_costs_only_time_and_is_written_again(copied):
    (entry,) = entries(copied)
    entry.write_bytes(entry.read_bytes()[:-100])
    assert add(copied) == COMPILED
    assert entries(copied) == [entry]
    checksum, body = entry.read_bytes()[:32], entry.read_bytes()[32:]
    assert hashlib.sha256(body).digest() == checksum


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda blob: b"", id="empty"),
        pytest.param(lambda blob: blob[:20], id="cut-in-the-checksum"),
        pytest.param(lambda blob: blob[: len(blob) // 2], id="cut-in-the-middle"),
        pytest.param(lambda blob: blob[:-1], id="cut-at-the-end"),
        pytest.param(lambda blob: blob[:-9] + b"123456789", id="other-bytes"),
        pytest.param(lambda blob: bytes(len(blob)), id="zeros"),
        pytest.param(
            lambda blob: hashlib.sha256(b"not a pickle").digest() + b"not a pickle",
            id="right-checksum-no-pickle",
        ),
    ],
)
def test_a_damaged_entry_counts_as_absent(copied, damage, monkeypatch):
    (entry,) = entries(copied)
    monkeypatch.setattr(_cache, "folder", lambda: entry.parent)
    cache = _cache.KernelCache(add_kernel.py_func, add_options())
    arguments = (types.Array(types.float64, 1, "C"),) * 3

    def load():
        return cache.load_overload(arguments, add_kernel.for_all.targetctx)

    assert load() is not None
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert load() is None
    entry.unlink()
    assert load() is None
    entry.write_bytes(whole)
    assert load() is not None


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("here is no room for a folder")
    assert add(blocker / "cache") == COMPILED
    assert entries(tmp_path) == [blocker]


def test_the_cache_can_be_turned_off(copied):
    before = contents(copied)
    assert add(copied, NUMCNN_CACHE="0").startswith(SUM)
    assert contents(copied) == before
    assert list((copied / "kernels").iterdir()) == [entries(copied)[0].parent]


def test_two_processes_that_start_at_once_both_succeed(tmp_path):
    code = ADD.format(package="numcnn.kernels")
    both = [start(code, tmp_path) for _ in range(2)]
    for found in [finish(process) for process in both]:
        assert found in (COMPILED, LOADED)
    (entry,) = entries(tmp_path)  # and no temporary file is left
    assert entry.suffix == ".nbc"


def test_old_versions_are_forgotten_and_nothing_else(copied):
    (entry,) = entries(copied)
    for age in range(1, 9):
        old = copied / "kernels" / f"{age:016x}"
        old.mkdir()
        (old / "cpu.add.nbc").write_bytes(b"old")
        os.utime(old, (1e9 - age, 1e9 - age))
    other = copied / "kernels" / "thesis"  # somebody chose a folder that was in use
    other.mkdir()
    (other / "chapter1.txt").write_text("...")
    os.utime(other, (1e8, 1e8))
    assert add(copied) == LOADED
    left = {path.name for path in (copied / "kernels").iterdir()}
    newest = {f"{age:016x}" for age in (1, 2, 3)}
    assert left == {entry.parent.name, "thesis"} | newest
    assert (other / "chapter1.txt").exists()


# ---- edited sources ---------------------------------------------------------------------------

HELPER = """
from ._jit import helper

@helper
def double(number):
    return 2 * number
"""
KERNEL = """
from ._jit import kernel, prange
from ._planes import double

@kernel
def double_all(x, y):
    for i in prange(x.shape[0]):
        y[i] = double(x[i])
"""
DOUBLE = """
import numpy as np
from kernels.cpu.doubling import double_all

y = np.full(2, np.nan)
double_all(np.array([1.0, 5.0]), y)
print(*y, sum(double_all.for_one.stats.cache_hits.values()))
"""


@pytest.fixture
def package(tmp_path):
    """Return a copy of the kernels, importable as `kernels`."""
    copy = tmp_path / "kernels"
    shutil.copytree(
        Path(kernels.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    return copy


def run_copy(package):
    # No bytecode: an edit within the same second must not be hidden by Python's own cache.
    environment = {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return finish(start(DOUBLE, package.parent / "cache", package.parent, **environment))


def folders(package):
    return {path.name for path in (package.parent / "cache" / "kernels").iterdir()}


def test_an_edited_helper_is_compiled_into_the_kernels_that_call_it(package):
    # Numba's own cache looks at the file of the kernel alone, and would answer 2.0 10.0 to the end.
    planes = package / "cpu" / "_planes.py"
    source = planes.read_text()
    planes.write_text(source + HELPER)
    (package / "cpu" / "doubling.py").write_text(KERNEL)
    assert run_copy(package) == "2.0 10.0 0"
    assert run_copy(package) == "2.0 10.0 1"
    first = folders(package)
    planes.write_text(source + HELPER.replace("2 *", "3 *"))
    assert run_copy(package) == "3.0 15.0 0"
    assert len(folders(package) - first) == 1


# ---- disks and folders that fail ----------------------------------------------------------------

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as if the disk were full
"""
KILLED = """
import os, signal
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)  # when the entry is all but there
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of this kind are those of POSIX")
def test_a_full_disk_costs_only_time(tmp_path):
    code = LIMITED + ADD.format(package="numcnn.kernels")
    assert finish(start(code, tmp_path)) == COMPILED
    assert entries(tmp_path) == []  # nothing half-written is left
    assert add(tmp_path) == COMPILED
    assert add(tmp_path) == LOADED


@pytest.mark.skipif(sys.platform == "win32", reason="this signal is one of POSIX")
def test_a_process_that_is_killed_while_it_writes_spoils_nothing(tmp_path):
    process = start(KILLED + ADD.format(package="numcnn.kernels"), tmp_path)
    process.communicate(timeout=120)
    assert process.returncode < 0
    (left,) = entries(tmp_path)
    assert left.suffix == ".tmp"
    assert add(tmp_path) == COMPILED
    assert add(tmp_path) == LOADED


@pytest.fixture
def cache(copied, monkeypatch):
    """Return a cache of the kernel, its entry's path, and the types of the entry's arguments."""
    (entry,) = entries(copied)
    monkeypatch.setattr(_cache, "folder", lambda: entry.parent)
    cache = _cache.KernelCache(add_kernel.py_func, add_options())
    return cache, entry, (types.Array(types.float64, 1, "C"),) * 3


def test_an_entry_cut_at_any_length_counts_as_absent(cache):
    cache, entry, arguments = cache
    whole = entry.read_bytes()
    target = add_kernel.for_all.targetctx
    for length in [*range(64), *range(64, len(whole), len(whole) // 50), len(whole) - 1]:
        entry.write_bytes(whole[:length])
        assert cache.load_overload(arguments, target) is None, length
    entry.write_bytes(whole)
    assert cache.load_overload(arguments, target) is not None


def test_any_byte_that_is_wrong_makes_an_entry_count_as_absent(cache):
    cache, entry, arguments = cache
    whole = entry.read_bytes()
    for place in range(0, len(whole), len(whole) // 60):
        entry.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache.load_overload(arguments, add_kernel.for_all.targetctx) is None, place


def test_a_folder_in_the_place_of_an_entry_counts_as_absent(copied):
    (entry,) = entries(copied)
    entry.unlink()
    entry.mkdir()
    assert add(copied) == COMPILED
    assert entries(copied) == []


@pytest.mark.parametrize(
    "error", [PermissionError(13, "no"), OSError(5, "the disk is broken"), MemoryError()]
)
def test_a_disk_that_fails_is_as_if_there_were_no_cache(cache, error, monkeypatch):
    cache, _, arguments = cache
    target = add_kernel.for_all.targetctx

    def fail(*_, **__):
        raise error

    def add_it():
        y = np.full(3, np.nan)
        _jit.kernel(add_kernel.py_func)(np.arange(3.0), np.ones(3), y)
        return y.tolist()

    monkeypatch.setattr(Path, "read_bytes", fail)
    monkeypatch.setattr(_cache.tempfile, "mkstemp", fail)
    assert cache.load_overload(arguments, target) is None
    assert add_it() == [1, 2, 3]


def test_a_kernel_whose_file_has_no_part_in_the_name_is_not_cached():
    def elsewhere(x, y):
        y[0] = x[0]

    inside, outside = _jit.kernel(add_kernel.py_func), _jit.kernel(elsewhere)
    assert isinstance(inside.for_all._cache, _cache.KernelCache)
    assert not isinstance(outside.for_all._cache, _cache.KernelCache)


def test_without_sources_there_is_no_cache(monkeypatch):
    monkeypatch.setattr(_cache, "sources_hash", lambda: "")
    assert not isinstance(_jit.kernel(add_kernel.py_func).for_all._cache, _cache.KernelCache)
