"""``numcnn bench gpu``: everything that only a GPU can show, in one command with a time limit.

Each part is a process of its own, since a kernel that goes wrong takes the whole process's use of
the GPU with it. A part has so many seconds, and less where earlier parts took more than theirs; it
is ended then. Results are written after every part, so that nothing is lost if the machine is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .compare import surroundings
from .side import HOME

__all__ = ["PARTS", "Part", "choose", "run", "table"]

TAIL = 3000  # characters of a part's output that the results keep
SMALL = (
    "test_relu or test_linear or test_sgd or test_softmax_cross_entropy or plain "
    "or test_several_warps or test_sums_in_slices"
)
FILES = {"test_kernels_cuda", "test_kernels_cuda_tiles"}  # one for every way of launching
SANITIZERS = ("memcheck", "racecheck", "initcheck")
MARK = 86  # what compute-sanitizer exits with when it found something


class Part(NamedTuple):
    """A part: its command, its seconds, and what it can't do without.

    Attributes
    ----------
    command : callable
        Gets the file that figures go to and returns the command.
    needs : callable
        Returns what is missing, or None.
    """

    name: str
    seconds: float
    command: Callable[[Path], list[str]]
    needs: Callable[[], str | None]


def tests_folder() -> Path | None:
    """Return the folder of the tests; an installation has none."""
    for home in (Path.cwd(), HOME):
        if (home / "tests" / "checks_cuda.py").is_file():
            return home / "tests"
    return None


def _needs_tests() -> str | None:
    if tests_folder() is None:
        return "the tests are not here; run this in a checkout of numcnn"
    if importlib.util.find_spec("pytest") is None:
        return "pytest is not installed; pip install 'numcnn[test]'"
    return None


def _needs_sanitizer() -> str | None:
    if shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer is not on the PATH; it comes with NVIDIA's CUDA toolkit"
    return _needs_tests()


def _needs_torch() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed, so there is nothing to compare with; pip install torch"
    return None


def _pytest(*options: str) -> list[str]:
    quiet = ("-q", "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *quiet, *options]


def _tests(figures: Path) -> list[str]:
    folder = str(tests_folder())
    several = ["-n", "8"] if importlib.util.find_spec("xdist") else []
    return _pytest(folder, "-k", "test_kernels_cuda or test_pictures_cuda", *several)


def _sanitizer(tool: str) -> Part:
    def command(figures: Path) -> list[str]:
        check = ["compute-sanitizer", "--tool", tool, "--error-exitcode", str(MARK)]
        folder = Path(str(tests_folder()))
        files = sorted(
            map(str, (p for p in folder.glob("test_kernels_cuda*.py") if p.stem in FILES))
        )
        return [*check, "--target-processes", "all", *_pytest(*files, "-x", "-k", SMALL)]

    return Part(tool, 37, command, _needs_sanitizer)


def _own(name: str, seconds: float, needs: Callable[[], str | None] = lambda: None) -> Part:
    """Return a part that is a function of ``gpu_parts.py``."""

    def command(figures: Path) -> list[str]:
        home = f"import sys; sys.path.insert(0, {str(HOME)!r})"
        call = f"from numcnn.bench.gpu_parts import main; main({name!r}, {str(figures)!r})"
        return [sys.executable, "-c", f"{home}; {call}"]

    return Part(name, seconds, command, needs)


PARTS = (
    _own("parity", 50),
    _own("torch", 75, _needs_torch),
    _own("peak", 30),
    _own("launches", 25),
    _own("algorithms", 70),
    Part("tests", 105, _tests, _needs_tests),
    *(_sanitizer(tool) for tool in SANITIZERS),
)


def choose(names: Iterable[str] | None) -> tuple[Part, ...]:
    """Return the parts of these names, all where none is given."""
    known = {part.name: part for part in PARTS}
    for name in names or ():
        if name not in known:
            raise ValueError(f"there is no part {name!r}; choose one of {', '.join(known)}")
    return tuple(known[name] for name in names) if names else PARTS


def _end(process: subprocess.Popen) -> None:
    """End a part and all that it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _one(part: Part, out: Path, seconds: float) -> dict[str, Any]:
    """Run one part; return its status, its figures and the end of what it said."""
    missing = part.needs()
    if missing is not None:
        return {"status": "missing", "said": missing}
    if seconds < 1:
        return {"status": "no time", "said": "the parts before it took all the time"}
    figures, log = (out / f"gpu-{part.name}.{ending}" for ending in ("json", "log"))
    figures.unlink(missing_ok=True)
    begin = time.perf_counter()
    with log.open("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            part.command(figures),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            code = None
    found: dict[str, Any] = {"status": "passed" if code == 0 else "failed", "exit_code": code}
    if code is None:
        found["status"] = "out of time"
    found["seconds"] = time.perf_counter() - begin
    found["said"] = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    log.unlink()
    if figures.exists():
        found["figures"] = json.loads(figures.read_text(encoding="utf-8"))
        figures.unlink()
    return found


def run(
    out: Path, parts: Iterable[Part], seconds: float, say: Callable[[str], Any] = lambda _: None
) -> dict[str, Any]:
    """Run parts one after the other within so many seconds; return and write what they gave."""
    out.mkdir(parents=True, exist_ok=True)
    end = time.perf_counter() + seconds
    result: dict[str, Any] = {"benchmark": "gpu", **surroundings(), "parts": {}}
    for part in parts:
        left = end - time.perf_counter()
        say(f"{part.name}: at most {min(part.seconds, max(0, left)):.0f} s")
        try:
            found = _one(part, out, min(part.seconds, left))
        except (OSError, ValueError) as error:  # one that can't start, or whose figures are cut off
            found = {"status": "failed", "said": f"{type(error).__name__}: {error}"}
        result["parts"][part.name] = found
        say(f"{part.name}: {found['status']}")
        (out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (out / "gpu.txt").write_text(table(result) + "\n", encoding="utf-8")
    return result


def table(result: dict[str, Any]) -> str:
    """Return a line for each part, and below it those of its figures."""
    lines = []
    for name, part in result["parts"].items():
        took = f"{part['seconds']:.0f} s" if "seconds" in part else ""
        lines.append(f"{name:<10} {part['status']:<12} {took}")
        rows = part.get("figures", {}).get("rows", [])
        lines += [f"    {row}" for row in rows]
        if part["status"] != "passed" or not rows:
            said = part["said"].strip().splitlines()
            lines += [f"    {line}" for line in said[-1 if part["status"] == "passed" else -5 :]]
    return "\n".join(lines)
