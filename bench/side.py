"""One side of a comparison, as its parent process sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numcnn

__all__ = ["Side"]

WORKER = Path(__file__).with_name("worker.py")
HOME = Path(numcnn.__file__).resolve().parent.parent


class Side:
    """A process of its own that builds a network and does what it is told.

    Parameters
    ----------
    name : str
        For messages.
    job : dict
        What `worker.serve` expects.
    environment : dict of str to str
        Set for this process beside the environment of this one.
    """

    def __init__(self, name: str, job: dict[str, Any], environment: dict[str, str]) -> None:
        self.name = name
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(HOME)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
        )
        self._send(job)

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended; what it said before is read next
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def receive(self) -> Any:
        """Return the next answer.

        Raises
        ------
        ValueError
            If something failed in the process; its own traceback is attached as a note.
        """
        assert self.process.stdout is not None
        try:
            kind, answer = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            code = self.process.wait()
            raise ValueError(f"the process of {self.name} ended with exit code {code}") from None
        if kind == "error":
            what, trace = answer
            raise ValueError(f"{self.name}: {what}") from RuntimeError(trace)
        return answer

    def ask(self, *order: Any) -> Any:
        """Send an order and return its answer."""
        self._send(order)
        return self.receive()

    def first_step(self) -> float:
        """Return the seconds from the start of the process to the end of its first step."""
        self.receive()  # the version: the network is built
        self.ask("turn", 1)
        return time.perf_counter() - self.started

    def close(self) -> None:
        """End the process."""
        self._send(("end",))
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # what was still to be sent has nobody to read it
                stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
