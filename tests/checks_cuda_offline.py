"""CUDA kernels compiled without a GPU: for which types, and into how many registers.

``noting`` runs operations whose launches are written down instead of made: kernel, block size and
argument types, just what a GPU's first launch would compile for. ``build`` takes one of these
notes along the path that a launch takes (to LTO code, then through nvJitLink) and reads what the
assembler says of the machine code. Neither asks for a driver.
"""

import contextlib
import functools
import re
import types
from typing import NamedTuple
from unittest import mock

import numba
import numpy as np

from numcnn.kernels.cuda import _cuda, _jobs, _memory, _tape, _tiles


class Note(NamedTuple):
    """A kernel and what it would be compiled for."""

    kernel: object
    signature: tuple
    threads: int
    capabilities: tuple  # of the GPUs that would launch it

    def __str__(self):
        return f"{name_of(self.kernel)}, {self.threads} threads"


class Build(NamedTuple):
    """What the machine code of a kernel uses."""

    registers: int
    stack: int  # bytes of local memory, where the registers don't suffice or can't be indexed
    spills: int  # bytes
    double: int  # instructions on float64


def name_of(kernel):
    """Return file and function: ``relu._forward``."""
    function = getattr(kernel, "py_func", getattr(kernel, "fn", kernel))
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"


def note_of(launch, capabilities):
    """Return what a launch would compile."""
    signature = tuple(numba.typeof(argument) for argument in launch.args)
    return Note(launch.kernel, signature, launch.threads, capabilities)


@contextlib.contextmanager
def noting(capabilities):
    """Collect in a list the notes of all launches, which do nothing; arrays stay on the host.

    They are those of the first of the GPUs, and the others' must be the same.
    """
    notes = []

    def configured(kernel, blocks, threads):
        def note(*args):
            note = note_of(_tape.Launch(kernel, blocks, threads, args), capabilities)
            if note not in notes:
                notes.append(note)

        return note

    arrays = {"device_array": np.empty, "to_device": np.asarray}
    with (
        mock.patch.object(_memory.POOL, "empty", np.empty),
        mock.patch.object(_tiles, "IS_NVIDIAS", True),
        mock.patch.object(_memory, "send"),
        mock.patch.object(_jobs, "_sent", {}),
        mock.patch.object(_cuda, "IS_NVIDIAS", True),
        mock.patch.object(_cuda, "address_of", lambda array: array.ctypes.data),
        mock.patch.object(_cuda, "_configured", configured),
        mock.patch.object(_cuda, "_refuse_host_arrays"),
        mock.patch.object(_cuda, "cuda", types.SimpleNamespace(**vars(_cuda.cuda) | arrays)),
        mock.patch.object(_cuda, "capability", return_value=capabilities[0]),
        mock.patch.object(_cuda, "_constants", {}),
        mock.patch.object(_cuda, "_scratch", {}),
    ):
        yield notes


def why_not():
    """Return what is missing for ``build``, or None."""
    if _cuda.SIMULATED or getattr(_cuda.cuda, "implementation", None) != "NVIDIA":
        return "needs numba-cuda, without the simulator: tox -e cudacheck"
    try:
        from cuda.core import Linker  # noqa: F401
    except ImportError as error:
        return f"needs cuda.core and nvJitLink ({error}): tox -e cudacheck"
    return None


def build(note, capability):
    """Compile for a compute capability, as ``(9, 0)``, and link; return what came out."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    code = _compile(note, capability, device=False, abi="numba", output="ltoir")
    linker = Linker(
        ObjectCode.from_ltoir(code),
        options=LinkerOptions(
            arch="sm_{}{}".format(*capability),
            verbose=True,
            link_time_optimization=True,
            ptxas_options=["-v"],
        ),
    )
    linker.link("cubin")
    said = linker.get_info_log()
    assert "registers" in said, said

    def most(pattern):
        return max([int(number) for number in re.findall(pattern, said)], default=0)

    spills = most(r"(\d+) bytes spill stores") + most(r"(\d+) bytes spill loads")
    stack = most(r"(\d+) bytes stack frame")
    double = len(re.findall(r"\.f64\b", assembly(note)))
    return Build(most(r"[Uu]sed (\d+) registers"), stack, spills, double)


@functools.cache
def assembly(note):
    """Return the PTX of a kernel for the first of its GPUs."""
    return _compile(note, note.capabilities[0], device=False, abi="numba", output="ptx")


def _compile(note, capability, **options):
    from numba import cuda
    from numba.cuda import dispatcher

    # device functions ask the driver for the GPU's capability before they are compiled
    gpu = types.SimpleNamespace(compute_capability=capability)
    options |= {"cc": capability, "launch_bounds": _cuda.LIMITS[note.kernel].bounds}
    with mock.patch.object(dispatcher, "get_current_device", return_value=gpu):
        return cuda.compile(note.kernel.py_func, note.signature, **options)[0]
