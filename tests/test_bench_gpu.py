"""``numcnn bench gpu``: parts, their time, and what becomes of one that fails. No GPU is needed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from numcnn.bench import gpu
from numcnn.bench.gpu import Part
from numcnn.cli import app
from numcnn.device import DeviceError


def part(name, code, seconds=60, missing=None):
    """Return a part that runs some Python; FILE in it is where figures go."""
    return Part(
        name,
        seconds,
        lambda figures: [sys.executable, "-c", code.replace("FILE", repr(str(figures)))],
        lambda: missing,
    )


GOOD = part("good", "open(FILE, 'w').write('{\"rows\": [\"4 TB/s\"], \"x\": 4}'); print('done')")


def test_parts_run_and_their_figures_are_kept(tmp_path):
    said = []
    result = gpu.run(tmp_path / "new", [GOOD], 100, said.append)
    found = result["parts"]["good"]
    assert found["status"] == "passed"
    assert found["figures"] == {"rows": ["4 TB/s"], "x": 4}
    assert found["said"] == "done\n"
    assert said == ["good: at most 60 s", "good: passed"]
    assert (
        json.loads((tmp_path / "new" / "gpu.json").read_text("utf-8"))["parts"] == result["parts"]
    )
    text = (tmp_path / "new" / "gpu.txt").read_text("utf-8")
    assert "good" in text
    assert "    4 TB/s" in text
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"gpu.json", "gpu.txt"}


def test_what_fails_or_is_missing_stops_nothing(tmp_path):
    parts = [
        part("broken", "raise SystemExit('an illegal address')"),
        part("absent", "", missing="it isn't installed"),
        part("torn", "open(FILE, 'w').write('{\"rows\"')"),
        Part("no program", 9, lambda figures: [str(tmp_path / "nothing here")], lambda: None),
        GOOD,
    ]
    found = gpu.run(tmp_path, parts, 100)["parts"]
    assert {name: one["status"] for name, one in found.items()} == {
        "broken": "failed",
        "absent": "missing",
        "torn": "failed",
        "no program": "failed",
        "good": "passed",
    }
    assert found["broken"]["exit_code"] == 1
    assert "an illegal address" in found["broken"]["said"]
    text = (tmp_path / "gpu.txt").read_text("utf-8")
    assert "it isn't installed" in text
    assert "an illegal address" in text


def test_a_failed_part_keeps_its_figures(tmp_path):
    code = "open(FILE, 'w').write('{\"rows\": [\"lenet: WRONG\"]}'); raise SystemExit(1)"
    result = gpu.run(tmp_path, [part("parity", code)], 100)
    assert result["parts"]["parity"]["status"] == "failed"
    assert "lenet: WRONG" in gpu.table(result)


@pytest.mark.skipif(
    not hasattr(os, "killpg"), reason="ends whole groups of processes on POSIX only"
)
def test_a_part_that_hangs_is_ended_with_all_it_started(tmp_path):
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(child)!r}, 'w').write(str(p.pid)); time.sleep(600)"
    )
    begin = time.perf_counter()
    found = gpu.run(tmp_path, [part("hangs", code, seconds=5)], 100)["parts"]["hangs"]
    assert found["status"] == "out of time"
    assert 4.9 < found["seconds"] < time.perf_counter() - begin
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", child.read_text()], capture_output=True, text=True, check=False
    ).stdout
    assert state.strip()[:1] in ("", "Z")


def test_the_time_of_all_is_the_limit(tmp_path):
    parts = [part("first", "import time; time.sleep(600)", seconds=50), GOOD]
    begin = time.perf_counter()
    found = gpu.run(tmp_path, parts, 2)["parts"]
    assert found["first"]["status"] == "out of time"
    assert found["good"]["status"] == "no time"
    assert time.perf_counter() - begin < 30


def test_all_parts_fit_into_eight_minutes():
    assert sum(each.seconds for each in gpu.PARTS) < 8 * 60 - 10
    assert [each.name for each in gpu.PARTS[-3:]] == ["memcheck", "racecheck", "initcheck"]


def test_parts_by_name():
    assert [each.name for each in gpu.choose(["peak", "tests"])] == ["peak", "tests"]
    assert gpu.choose(None) == gpu.PARTS
    with pytest.raises(ValueError, match="there is no part 'nope'; choose one of parity, torch"):
        gpu.choose(["nope"])


def test_what_a_part_needs(monkeypatch, tmp_path):
    needs = {each.name: each.needs for each in gpu.PARTS}
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert "compute-sanitizer is not on the PATH" in needs["racecheck"]()
    monkeypatch.setattr(gpu, "HOME", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "checkout" in needs["tests"]()
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert "PyTorch is not installed" in needs["torch"]()
    assert needs["parity"]() is None


@pytest.mark.skipif(gpu.tests_folder() is None, reason="needs the folder of the tests")
def test_the_sanitizers_get_tests_to_run(tmp_path):
    (memcheck,) = gpu.choose(["memcheck"])
    command = memcheck.command(tmp_path / "none")
    assert command[:5] == ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "86"]
    pytest_part = [*command[command.index(sys.executable) :], "--collect-only"]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        pytest_part,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=Path(str(gpu.tests_folder())).parent,
    )
    assert done.returncode == 0, done.stdout[-500:]
    chosen = [line for line in done.stdout.splitlines() if "::" in line]
    assert 10 < len(chosen) < 100
    assert any("test_conv2d[plain" in line for line in chosen)


@pytest.fixture
def no_gpu(monkeypatch):
    def get(name):
        raise DeviceError("device 'cuda' can't be used: it was taken away by a test")

    monkeypatch.setattr("numcnn.device.get_device", get)


def test_without_a_gpu_it_says_so_and_measures_nothing(no_gpu, tmp_path):
    done = CliRunner().invoke(app, ["bench", "gpu", "--out", str(tmp_path / "out")])
    assert done.exit_code == 3
    assert "nothing was measured: device 'cuda' can't be used" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("code", "status"), [("pass", 0), ("raise SystemExit(4)", 1)])
def test_the_exit_status_of_the_command(monkeypatch, tmp_path, code, status):
    monkeypatch.setattr("numcnn.device.get_device", lambda name: None)
    monkeypatch.setattr(gpu, "PARTS", (part("only", code),))
    done = CliRunner().invoke(app, ["bench", "gpu", "--out", str(tmp_path)])
    assert done.exit_code == status, done.output
    assert (tmp_path / "gpu.json").exists()
