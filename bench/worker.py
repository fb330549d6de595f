"""What runs in the process of one side. It is started as a file, and imports no numcnn itself.

Each side has a process of its own: two thread pools in one process disturb each other, and neither
start nor memory could be told apart. A peer's process holds nothing but NumPy and the peer. Orders
come through standard input and answers leave through standard output, both pickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINUX_STATUS = Path("/proc/self/status")
LINUX_RESET = Path("/proc/self/clear_refs")


def _status(field: str) -> int | None:
    """Return a line of Linux's account of this process, in bytes."""
    try:
        for line in LINUX_STATUS.read_text("ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _peak() -> int | None:
    """Return the most memory that this process ever held, or held since `_forget_peak`."""
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _forget_peak() -> int | None:
    """Let the account of the peak begin here; return what is held now."""
    try:
        LINUX_RESET.write_text("5", "ascii")
    except OSError:  # no Linux, or not allowed: what was held by imports counts as held before
        return _peak()
    return _status("VmRSS")


def _load(side: str) -> Any:
    """Return the module of a side: numcnn's by its name, a peer's from its file alone."""
    if side == "numcnn":
        return importlib.import_module("numcnn.bench.ours")
    path = Path(__file__).with_name("peers") / f"{side}.py"
    spec = importlib.util.spec_from_file_location(f"numcnn_bench_peer_{side}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pickled functions and dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _batch(job: dict[str, Any]) -> tuple[Any, Any]:
    """Return the same numbers in every process; `networks.batch` says it too."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal(job["shape"], dtype=np.float32)
    return x, rng.integers(0, job["classes"], job["shape"][0])


def _operations(job: dict[str, Any], module: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return two functions: one does the task and waits for its end, one gives its results."""
    x, y = _batch(job)
    if job["task"] == "infer":
        network = module.Inference(job["network"], x.shape, **job["options"])
        return (lambda: network.run(x)), (lambda: {"output": network.run(x)})
    training = module.Training(job["network"], x.shape, job["lr"], **job["options"])
    return (lambda: training.step(x, y)), (lambda: training.results(x, y))


def _turn(operation: Callable[[], Any], repeats: int) -> float:
    """Return the seconds that one repetition took."""
    started = time.perf_counter()
    for _ in range(repeats):
        operation()
    return (time.perf_counter() - started) / repeats


def serve(receive: Callable[[], Any], send: Callable[[Any], None]) -> None:
    """Build what the first message asks for; then obey until "end"."""
    job = receive()
    import numpy  # noqa: F401 - everybody has it, so it doesn't count as the network's memory

    module = _load(job["side"])
    held = _forget_peak()
    operation, results = _operations(job, module)
    send(module.VERSION)
    while (order := receive())[0] != "end":
        if order[0] == "results":
            send(results())
        elif order[0] == "memory":
            peak = _peak()
            send(None if peak is None or held is None else peak - held)
        else:
            send(_turn(operation, order[1]))


def main() -> None:
    """Talk to the process that started this one."""
    sys.path[0] = sys.argv[1]  # where numcnn lies, in place of this file's folder
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints must not get between the answers

    def receive() -> Any:
        return pickle.load(sys.stdin.buffer)

    def send(answer: Any) -> None:
        pickle.dump(("answer", answer), answers)
        answers.flush()

    try:
        serve(receive, send)
    except EOFError:  # the other end has gone
        pass
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        pickle.dump(("error", (what, traceback.format_exc())), answers)
        answers.flush()


if __name__ == "__main__":
    main()
