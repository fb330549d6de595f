"""What ``numcnn doctor`` finds out, and the kernel cache that it empties."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import numcnn
from numcnn import doctor


def run(*args, **env):
    """Run ``numcnn doctor`` in a process of its own: caches and layers are chosen once."""
    return subprocess.run(
        [sys.executable, "-m", "numcnn", "doctor", *args],
        env=os.environ | env,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def found():
    """The findings on this machine."""
    result = run("--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_versions_and_extras(found):
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numcnn"] == numcnn.__version__
    assert all(found["versions"].values())
    assert set(found["extras"]) == {"matplotlib", "numba-cuda", "torch"}


def test_threads(found):
    assert found["threads"]["numba_threads"] >= 1
    assert found["cpu"]["usable_cores"] <= found["cpu"]["cores"]
    if not os.environ.get("NUMBA_DISABLE_JIT"):
        assert found["threads"]["layer"] in ("omp", "tbb", "workqueue")


def test_simd(found):
    simd = found["simd"]
    if platform.machine().lower() in ("x86_64", "amd64", "arm64", "aarch64"):
        assert simd["bits"] in (128, 256, 512)
        assert simd["float32"] == simd["bits"] // 32 == 2 * simd["float64"]


def test_memory(found):
    if sys.platform == "linux":
        assert 0 < found["memory"]["available"] <= found["memory"]["total"]


def test_gpu_or_why_none(found):
    gpu = found["gpu"]
    assert gpu["usable"] == (gpu["reason"] is None) == (gpu["name"] is not None)
    if not gpu["usable"]:
        with pytest.raises(numcnn.DeviceError) as caught:
            numcnn.get_device("cuda")
        assert gpu["reason"] == str(caught.value)


def test_a_gpu_that_fails_in_an_unknown_way_is_reported(monkeypatch):
    def broken(name):
        raise OSError("driver library is half installed")

    monkeypatch.setattr(doctor, "get_device", broken)
    assert doctor._gpu()["reason"] == (
        "device 'cuda' can't be used: OSError: driver library is half installed"
    )


def test_text(found):
    result = run()
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    for label in ("python", "threading layer", "SIMD", "memory", "kernel cache", "GPU", "torch"):
        assert f"\n{label}  " in "\n" + result.stdout
    assert found["versions"]["numba"] in result.stdout


def test_words_for_odd_machines(found):
    odd = json.loads(json.dumps(found))
    odd["cpu"] |= {"cores": 64, "usable_cores": 64, "container_quota": 2.0}
    odd["threads"] = {
        "numba_threads": 64,
        "layer": "workqueue",
        "meaning": doctor.LAYERS["workqueue"],
    }
    odd["simd"] |= {"bits": None, "limited_by": ["NUMBA_CPU_NAME=generic"]}
    odd["memory"] = {"total": None, "available": None, "container_limit": 2**30}
    odd["gpu"] = {"usable": True, "name": "Some GPU", "reason": None}
    rows = {label: f"{fact} {remark}" for label, fact, remark in doctor._rows(odd)}
    assert "set NUMBA_NUM_THREADS=2" in rows["cores"]
    assert "two Python threads" in rows["threading layer"]
    assert "limited by NUMBA_CPU_NAME=generic" in rows["SIMD"]
    assert "the container may use 1.1 GB" in rows["memory"]
    assert "--device cuda" in rows["GPU"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"enabled": False}, "every run compiles its kernels anew"),
        ({"writable": False}, "set NUMCNN_CACHE_DIR"),
        ({"kernels": 0}, "the first run fills it"),
    ],
)
def test_words_for_the_cache(state, words):
    cache = {"enabled": True, "kernels": 3, "bytes": 2_500_000, "writable": True}
    assert words in " ".join(doctor._cache_words(cache | state))
    assert doctor._cache_words(cache)[0] == "3 kernels, 2.5 MB"


def test_clearing_the_cache_deletes_kernels_alone(tmp_path):
    env = {"NUMCNN_CACHE_DIR": str(tmp_path)}
    version = tmp_path / "kernels" / "0123456789abcdef"
    version.mkdir(parents=True)
    (version / "a.nbc").write_bytes(bytes(1000))
    (version / "note.txt").touch()
    other = tmp_path / "kernels" / "thesis"
    other.mkdir()
    (other / "b.nbc").touch()
    result = run("--clear-cache", **env)
    assert result.stdout == "deleted 1 compiled kernels, 1.0 kB\n"
    assert not (version / "a.nbc").exists()
    assert (version / "note.txt").exists()
    assert (other / "b.nbc").exists()


def test_cache_counts_its_kernels(tmp_path):
    env = {"NUMCNN_CACHE_DIR": str(tmp_path)}
    first = json.loads(run("--json", **env).stdout)["cache"]
    assert first["kernels"] == 0
    assert first["writable"]
    assert Path(first["folder"]).is_relative_to(tmp_path)
    second = json.loads(run("--json", **env).stdout)["cache"]
    if not os.environ.get("NUMBA_DISABLE_JIT"):
        assert second["kernels"] == 1  # the one that asked for the threading layer
        assert second["bytes"] > 0
