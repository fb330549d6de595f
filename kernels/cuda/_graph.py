"""Launches that the driver is told once and then starts as one: a CUDA graph.

To launch a kernel costs the host some microseconds, more than many a kernel takes. So the launches
of a step (``_tape.py``) are made once on a stream that only listens, and what it has heard becomes
a graph, which a single call starts from then on. Nothing happens while the stream listens but these
launches: no memory is asked for, nothing is compiled, copied or waited for, and nobody else knows
the stream. Whatever goes wrong, at first or later, the launches are made one by one, which gives
the same numbers; ``trouble`` says what it was.

In the simulator there is no driver to tell, and the launches are always made one by one.
"""

import contextlib

from . import _cuda

__all__ = ["Graph", "problem"]

NOT_NVIDIAS = (
    "Numba's own CUDA can't capture graphs: pip install 'numcnn[cuda13]' "
    "(or 'numcnn[cuda12]' where nvidia-smi shows CUDA 12)"
)
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: what others do on the default stream must not matter


def problem():
    """Return why nothing can be captured with the CUDA package at hand, or None."""
    return None if _cuda.IS_NVIDIAS else NOT_NVIDIAS


class Graph:
    """Launches, and the graph that they become at their second run.

    At the first run they are made one by one: kernels are compiled and loaded then.

    Parameters
    ----------
    launches : list of Launch
        Kept, and with them the arrays that they name.
    driver : module, optional
        Has ``driver``, whose functions are CUDA's and raise an exception where one of them fails,
        and ``binding`` with CUDA's constants; by default Numba's.

    Attributes
    ----------
    trouble : str or None
        Why there is no graph.
    """

    def __init__(self, launches, driver=None):
        self.launches = launches
        self.trouble = None
        self._ran = False
        self._graph = None
        self._driver = driver
        if driver is None and not _cuda.SIMULATED:
            self._driver = _cuda.cuda.cudadrv.driver

    def run(self):
        """Start all launches, in their order, on the stream of all kernels."""
        if self._graph is None and self._may_capture():
            self._attempt(self._capture)
        if self._graph is None or not self._attempt(self._start):
            for launch in self.launches:
                launch.again()
        self._ran = True

    def _may_capture(self):
        return self._ran and self._driver is not None and self.trouble is None and self.launches

    def _attempt(self, action):
        """Return whether `action` worked; if not, there is no graph any more."""
        try:
            action()
        except Exception as error:  # the driver's, Numba's or the binding's, each with its classes
            self.trouble = f"{type(error).__name__}: {error}"
            with contextlib.suppress(Exception):
                self.close()
            return False
        return True

    def _start(self):
        self._driver.driver.cuGraphLaunch(self._graph, int(_cuda.stream().handle))

    def _capture(self):
        calls = self._driver.driver
        handle = int(calls.cuStreamCreate(NON_BLOCKING))
        try:
            heard = self._listen(calls, handle)
            try:
                self._graph = calls.cuGraphInstantiate(heard, 0)
            finally:
                calls.cuGraphDestroy(heard)
        finally:
            calls.cuStreamDestroy(handle)

    def _listen(self, calls, handle):
        """Return what a stream hears of all launches, as the driver describes it."""
        relaxed = self._driver.binding.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        calls.cuStreamBeginCapture(handle, relaxed)
        try:
            listener = _cuda.cuda.external_stream(handle)
            with _cuda.cuda.defer_cleanup():
                for launch in self.launches:
                    launch.again(listener)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                calls.cuGraphDestroy(calls.cuStreamEndCapture(handle))
            raise
        return calls.cuStreamEndCapture(handle)

    def close(self):
        """Give the graph back to the driver; the launches can still be run, one by one."""
        graph, self._graph = self._graph, None
        if graph is not None:
            _cuda.stream().synchronize()
            self._driver.driver.cuGraphExecDestroy(graph)
