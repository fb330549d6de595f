"""The only module that imports CUDA: compiling, launching, and arrays on the GPU.

Everything else in this folder takes ``cuda``, ``kernel``, ``device``, ``launch`` and the array
functions from here, so another implementation of CUDA for Python can be put in by rewriting
this file. Importing it compiles nothing, allocates nothing and starts no driver: a kernel is
compiled at its first launch, for the argument types of that launch.

Two packages answer to ``numba.cuda``: NVIDIA's numba-cuda and the older one inside Numba.
Both work here. With ``NUMBA_ENABLE_CUDASIM=1`` in the environment both run kernels in plain
Python threads instead, slowly but on any machine.
"""

import contextlib
import functools
import warnings
from typing import NamedTuple

import numpy as np
from numba import config

from . import _recording

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 asks for a name that NumPy 2.5 dropped
    np.row_stack = np.vstack  # noqa: NPY201

try:
    from numba import cuda
except ImportError:  # a Numba without numba.cuda, and no numba-cuda: availability() says so
    cuda = None

try:
    from numba.cuda.extending import intrinsic
except ImportError:  # Numba's own CUDA, which compiles none of them, can import them still
    from numba.extending import intrinsic

__all__ = [
    "IS_NVIDIAS",
    "SIMULATED",
    "WHOLE_BLOCK",
    "address_of",
    "availability",
    "capability",
    "constant",
    "cuda",
    "device",
    "empty",
    "intrinsic",
    "is_device_array",
    "kernel",
    "launch",
    "launch_blocks",
    "running_block",
    "scratch",
    "start",
    "stream",
    "to_device",
    "to_host",
]

SIMULATED = bool(config.ENABLE_CUDASIM)
if SIMULATED:  # what a kernel calls ``cuda``; other functions have to ask for it
    from numba.cuda.simulator.kernel import _get_kernel_context as running_block
else:
    running_block = None
THREADS_PER_BLOCK = 64 if SIMULATED else 128
WHOLE_BLOCK = 32 if SIMULATED else 256  # where the threads of a block work on one number
# numba-cuda, or the simulator: what is beyond plain loops asks for things that the other lacks
IS_NVIDIAS = SIMULATED or getattr(cuda, "implementation", None) == "NVIDIA"

NO_PACKAGE = (
    "CUDA's compiler is not installed: pip install 'numcnn[cuda13]' "
    "(or 'numcnn[cuda12]' where nvidia-smi shows CUDA 12)."
)
NO_DRIVER = (
    "No NVIDIA driver was found on this machine: install it, or use device='cpu'; "
    "in a container, start that with access to the GPU (docker run --gpus all)."
)
NO_GPU = (
    "The NVIDIA driver finds no GPU: check that nvidia-smi lists one and that "
    "CUDA_VISIBLE_DEVICES does not hide it, or use device='cpu'."
)


def availability():
    """Return None when a GPU can be used, else one sentence: the cause and the remedy."""
    if SIMULATED:
        return None
    if cuda is None:
        return NO_PACKAGE
    if cuda.is_available():
        return None if len(cuda.gpus) else NO_GPU
    error = cuda.cuda_error()
    if error is None:  # the driver answers, so it is the compiler that is missing
        return NO_PACKAGE
    if "NO_DEVICE" in error:
        return NO_GPU
    if "cannot be found" in error:
        return NO_DRIVER
    return f"CUDA does not start: {' '.join(error.split())} Or use device='cpu'."


class Limits(NamedTuple):
    """What the machine code of a kernel may use; ``tests/test_cuda_offline.py`` holds it to that.

    A multiprocessor has 65,536 registers for at most 2,048 threads: from 33 on fewer threads fit,
    and there are fewer to hide one another's waits for memory.
    """

    registers: int  # for each thread
    double: bool  # float64 arithmetic in the float32 build, on purpose
    threads: int | None  # in a block, where the kernel is written for one number of them

    @property
    def bounds(self):
        """Return what the compiler is told: one block at a time may have all registers."""
        return (self.threads, 1) if self.threads else None


LIMITS = {}  # for each kernel; a new one joins by being decorated


def kernel(function=None, *, registers=64, double=False, threads=None):
    """Compile a function that every thread of a launch runs; exact arithmetic, no fastmath."""
    if function is None:
        return functools.partial(kernel, registers=registers, double=double, threads=threads)
    limits = Limits(registers, double, threads)
    bounds = {"launch_bounds": limits.bounds} if threads and IS_NVIDIAS and not SIMULATED else {}
    compiled = function if cuda is None else cuda.jit(function, **bounds)
    LIMITS[compiled] = limits
    return compiled


def device(function):
    """Compile a piece to be called inside kernels."""
    return function if cuda is None else cuda.jit(function, device=True)


def launch(kernel, size, *args):
    """Run a kernel with (at least) one thread for each of ``size`` outputs.

    Threads come in whole blocks, so a kernel begins by asking whether its ``cuda.grid(1)`` is
    below ``size``.
    """
    launch_blocks(kernel, -(-size // THREADS_PER_BLOCK), THREADS_PER_BLOCK, *args)


def launch_blocks(kernel, blocks, threads, *args):
    """Run a kernel in ``blocks`` blocks, a number or up to three, of ``threads`` threads each.

    An array of the host among the arguments is an error: Numba would copy it to the GPU and back
    without a word, at every launch. A thread that writes a step down (``_tape.py``) notes the
    launch instead of making it.
    """
    _refuse_host_arrays(kernel, args)
    blocks = (blocks,) if isinstance(blocks, int) else blocks
    if min(blocks) == 0:
        return
    if (tape := _recording.tape()) is not None:
        tape.note(kernel, blocks, threads, args)
        return
    if (log := _recording.log()) is not None:
        log.append((kernel, blocks, threads, tuple(map(_recording.described, args))))
    _configured(kernel, blocks, threads)(*args)


def start(kernel, blocks, threads, args, on=None):
    """Run a kernel as `launch_blocks` does, without its checks; on another stream if one is named.

    What runs on another stream is not waited for by what runs on the usual one.
    """
    if on is None:
        _configured(kernel, blocks, threads)(*args)
    else:
        with _few_blocks_are_fine():
            kernel[blocks, threads, on](*args)


def _refuse_host_arrays(kernel, args):
    for position, argument in enumerate(args):
        if isinstance(argument, np.ndarray):
            raise TypeError(
                f"argument {position} of {kernel.__name__} in {kernel.__module__} is a NumPy "
                f"array of shape {argument.shape}, on the host: move it with to_device() first"
            )


def _configured(kernel, blocks, threads):
    """Return the kernel with its grid chosen, ready to be called."""
    with _few_blocks_are_fine():
        return kernel[blocks, threads, stream()]


@contextlib.contextmanager
def _few_blocks_are_fine():
    """Keep Numba from warning of grids that leave most of a large GPU idle.

    Small layers have them, and there is nothing that the user could do.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size .* low occupancy")
        yield


# A network launches the same few hundred pairs (kernel, blocks) at every step. Numba keeps 128
# of them and builds the others afresh, warning included. The simulator can't be cached: its
# ``kernel[...]`` returns the kernel itself, whose grid is whatever was asked for last.
if not SIMULATED:
    _configured = functools.lru_cache(maxsize=4096)(_configured)


@functools.cache
def stream():
    """Return the stream that every kernel runs on, one after the other.

    Copies that don't name it wait for it, and it for them; only another stream runs beside it.
    """
    return cuda.stream()


def empty(shape, dtype):
    """Return an array on the GPU, its contents undefined."""
    return cuda.device_array(shape, dtype)


_constants, _scratch = {}, {}


def constant(make, *numbers):
    """Return ``make(*numbers)``, an array of the host, on the GPU: copied there the first time."""
    key = (make, *numbers)
    if key not in _constants:
        _constants[key] = to_device(make(*numbers))
    return _constants[key]


def scratch(purpose, size, dtype):
    """Return an array of ``size`` numbers on the GPU, its contents undefined.

    It begins at the same place whenever the purpose is the same: launches run one after the other,
    so the next may write where the one before has read. It is no longer than asked for, so that a
    training step launches the same after another has asked for more (``_tape.py`` compares).
    """
    key = purpose, np.dtype(dtype)
    if key not in _scratch or _scratch[key].size < size:
        _scratch[key] = empty(size, dtype)
    whole = _scratch[key]
    return whole if whole.size == size else whole[:size]


@functools.cache
def capability():
    """Return the GPU's compute capability, as ``(9, 0)``; the newest in the simulator."""
    return (99, 0) if SIMULATED else tuple(cuda.get_current_device().compute_capability)


def to_device(host):
    """Return a copy on the GPU, in C order."""
    _recording.refuse("copies an array to the GPU")
    return cuda.to_device(np.asarray(host, order="C"))


def to_host(device_array):
    """Return a copy on the host, once every kernel launched so far is done."""
    _recording.refuse("reads an array of the GPU")
    return device_array.copy_to_host()


def is_device_array(a):
    """Return whether ``a`` is an array on the GPU."""
    return bool(getattr(a, "__cuda_ndarray__", False))


def address_of(device_array):
    """Return where an array on the GPU begins; in the simulator, where in the host's memory."""
    if isinstance(device_array, np.ndarray):
        raise TypeError(
            f"a NumPy array of shape {device_array.shape} has no address on the GPU: move it with "
            f"to_device() first"
        )
    if SIMULATED:
        return device_array._ary.ctypes.data
    return device_array.device_ctypes_pointer.value
